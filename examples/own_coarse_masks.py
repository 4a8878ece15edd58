"""Swap a stage: your own coarse masks, from any function of a photo, teach the network.

python examples/own_coarse_masks.py PHOTOS RUN
"""

import sys
from pathlib import Path

import numpy as np

import coarse2fine
from coarse2fine.config import CoarseConfig, CoarseFolderConfig
from coarse2fine.masks.png import mask_path


def warm_colors(image: np.ndarray) -> np.ndarray:
    """Foreground where a photo is redder than blue: put your own idea here; (H, W, 3) in, (H, W) of 0 and 1 out."""
    return (image[..., 0].astype(int) > image[..., 2].astype(int) + 20).astype(np.uint8)


def main(photos: Path, run: Path) -> None:
    """Write a mask for every photo, then fit from that folder."""
    masks = run.with_name(f"{run.name}-own-masks")
    for photo in coarse2fine.open_dataset(photos).photos:
        coarse2fine.write_mask(mask_path(masks, photo.name), warm_colors(coarse2fine.read_image(photo.path)))
    settings = coarse2fine.load_recipe("demo")
    coarse = CoarseConfig(method="folder", folder=CoarseFolderConfig(path=masks))
    coarse2fine.fit(photos, run, settings.model_copy(update={"coarse": coarse}), quiet=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
