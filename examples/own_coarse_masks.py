"""Replace stage 1: train from coarse masks that your own function makes.

python examples/own_coarse_masks.py PHOTOS RUN
"""

import sys
from pathlib import Path

import numpy as np

import coarse2fine
from coarse2fine.config import CoarseConfig, CoarseFolderConfig
from coarse2fine.masks.png import mask_path


def segment_warm_colors(image: np.ndarray) -> np.ndarray:
    """Mark pixels that are more red than blue as foreground; replace this with your own method.

    Args:
        image: RGB image, shape (H, W, 3), uint8.

    Returns:
        Binary mask, shape (H, W), uint8: 1 for foreground.
    """
    return (image[..., 0].astype(int) > image[..., 2].astype(int) + 20).astype(np.uint8)


def main(photos: Path, run: Path) -> None:
    """Write a coarse mask for every photo, then start fit with this folder of masks."""
    masks = run.with_name(f"{run.name}-own-masks")
    for photo in coarse2fine.open_dataset(photos).photos:
        coarse2fine.write_mask(mask_path(masks, photo.name), segment_warm_colors(coarse2fine.read_image(photo.path)))
    settings = coarse2fine.load_recipe("demo")
    coarse = CoarseConfig(method="folder", folder=CoarseFolderConfig(path=masks))
    coarse2fine.fit(photos, run, settings.model_copy(update={"coarse": coarse}), quiet=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
