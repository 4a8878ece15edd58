"""How good is the coarse method that ``coarse.method = auto`` chooses, compared with each single method?

    python benchmarks/coarse_choice.py --photos DIR --masks DIR --weights FILE --sample 300 --draws 5

For each of several seeds, ``auto`` compares the methods without ground truth, on photos drawn with that seed. Then
the masks of all methods, through GrabCut as ``fit`` starts it, are measured on the same evenly spaced photos: mean IoU
of the foreground of any class. ``regret`` is the IoU of the best single method (box, student, saliency) minus that of
the chosen method.
"""

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
from common import find_masks, keep, take_evenly

from coarse2fine.coarse import binarize, centered_box
from coarse2fine.config import FitConfig, NetworkConfig
from coarse2fine.data import read_image
from coarse2fine.enhance import enhancer_from
from coarse2fine.evaluation.ground_truth import open_ground_truth
from coarse2fine.evaluation.metrics import binary_iou
from coarse2fine.masks.png import read_mask
from coarse2fine.pipeline.coarse_choice import CANDIDATES, choose_coarse_method, prepare_candidates
from coarse2fine.pipeline.job import FitJob
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.files import read_json
from coarse2fine.runtime.threads import map_threads
from coarse2fine.store.run import Run
from coarse2fine.types import Dataset, Image, Mask, Photo

SINGLE = ("box", "student", "saliency")


def main() -> None:
    """Choose with every seed, measure all methods; print one line per choice, then one line of JSON."""
    options = read_options()
    config = FitConfig(network=NetworkConfig(encoder=options.encoder, encoder_weights=options.weights))
    pairs = list_pairs(options.photos, options.masks)
    iou = measure(config, take_evenly(pairs, options.sample))
    print(*(f"{name} {value:.3f}" for name, value in iou.items()), sep="  ")
    best = max(iou[name] for name in SINGLE)
    choices = [choose(config.model_copy(update={"seed": seed}), pairs) for seed in range(options.draws)]
    for choice in choices:
        print(f"{choice['method']:15} regret {best - iou[choice['method']]:+.3f}  {choice['scores']}")
    regrets = [best - iou[choice["method"]] for choice in choices]
    chosen = [choice["method"] for choice in choices]
    result = {
        "photos": min(options.sample, len(pairs)),
        "iou": iou,
        "chosen": chosen,
        "scores": [choice["scores"] for choice in choices],
    }
    keep(
        f"coarse-choice-{options.name}", result | {"mean_regret": statistics.fmean(regrets), "max_regret": max(regrets)}
    )


def read_options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos (.jpg or .png)")
    parser.add_argument("--masks", type=Path, required=True, help="folder of ground-truth masks (.png)")
    parser.add_argument("--weights", required=True, help="ImageNet weights of the encoder, a safetensors file")
    parser.add_argument("--encoder", default="mobilenetv2_100", help="encoder that compares the methods")
    parser.add_argument("--sample", type=int, default=300, help="number of measured photos, evenly spaced")
    parser.add_argument("--draws", type=int, default=5, help="number of choices, with seeds from 0")
    parser.add_argument("--name", default="set", help="name of the result file")
    return parser.parse_args()


def list_pairs(photos: Path, masks: Path) -> list[tuple[Photo, Path]]:
    """Pair masks with photos; the label of a photo is the number of its folder."""
    found = find_masks(masks)
    folders = sorted({mask.parent for mask in found})
    pairs = []
    for mask in found:
        name = mask.relative_to(masks).with_suffix("")
        path = next(path for ending in (".jpg", ".png") if (path := photos / f"{name}{ending}").exists())
        pairs.append((Photo(path, name.as_posix(), 1 + folders.index(mask.parent)), mask))
    return pairs


def choose(config: FitConfig, pairs: Sequence[tuple[Photo, Path]]) -> dict[str, Any]:
    """Return the choice of ``auto`` among the methods, from the photos alone."""
    photos = tuple(photo for photo, _ in pairs)
    classes = ("background", *(f"class {label}" for label in sorted({photo.label for photo in photos})))
    dataset = Dataset(classes, photos)
    with TemporaryDirectory() as folder:
        run = Run(Path(folder))
        context = Context(console=Console(quiet=True))
        choose_coarse_method(FitJob(run, dataset, config, context, open_ground_truth([], dataset)))
        choice: dict[str, Any] = read_json(run.coarse_choice)
    return choice


def measure(config: FitConfig, pairs: Sequence[tuple[Photo, Path]]) -> dict[str, float]:
    """Compute the mean IoU of each method with the ground truth, after GrabCut."""
    make = prepare_candidates(config, Console(quiet=True))
    enhance_box = enhancer_from(config.enhance, "box", config.seed)

    def measure_one(pair: tuple[Photo, Path]) -> list[float]:
        image, expected = read_image(pair[0].path), read_mask(pair[1])
        masks: list[Mask] = [enhance_box(image, box_of(image, config)).mask, *make(image)]
        return [binary_iou(mask, expected) for mask in masks]

    measured = list(map_threads(measure_one, pairs, Context().threads))
    return {
        name: statistics.fmean(ious)
        for name, ious in zip(("box", *CANDIDATES), zip(*measured, strict=True), strict=True)
    }


def box_of(image: Image, config: FitConfig) -> Mask:
    """Return the mask of the method box."""
    return binarize(centered_box(image, config.coarse.box.share))


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
