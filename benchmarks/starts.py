"""What should GrabCut start from between rounds: box, mask or probabilities? Does the engine matter?

    python benchmarks/starts.py --run RUN --round 1 --photos DIR --masks DIR

RUN is a run of ``coarse2fine fit DIR`` that kept the class probabilities of its rounds (``--enhance.start
probabilities``). The masks are the ground truth of its training photos (PNG, 0 background, 255 ignored), named like the
photos; photos without a mask are not used. Every variant starts from the same probabilities or from the mask at
threshold 0.5. ``iou`` is the mean over photos, ``gain`` its difference to the mask before GrabCut, with the standard
error. ``ms`` is the mean processor time per photo after a warm-up, ``ms_quartiles`` are its quartiles.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import cv2
import numpy as np
from common import find_masks, keep, take_evenly

from coarse2fine.config import EnhanceConfig, GrabCutConfig, Start
from coarse2fine.data import read_image
from coarse2fine.enhance import enhancer_from, grabcut
from coarse2fine.evaluation.metrics import binary_iou
from coarse2fine.masks.png import read_mask, read_soft
from coarse2fine.masks.resize import resize_soft
from coarse2fine.runtime.device import count_cores
from coarse2fine.runtime.threads import map_threads
from coarse2fine.store.run import Run
from coarse2fine.types import Enhanced, Image, Mask, SoftMask

VARIANTS: dict[str, tuple[Start, dict[str, Any], dict[str, float]]] = {
    "opencv box": ("box", {"engine": "opencv"}, {}),
    "opencv band .10": ("mask", {"engine": "opencv"}, {"BAND_SHARE": 0.1}),
    "fast box": ("box", {}, {}),
    "fast band .10": ("mask", {}, {"BAND_SHARE": 0.1}),
    "fast band .15": ("mask", {}, {"BAND_SHARE": 0.15}),
    "fast probabilities .02, no weight": ("probabilities", {}, {"PROBABILITY_WEIGHT": 0.0}),
    "fast probabilities .20, no weight": ("probabilities", {}, {"PROBABILITY_WEIGHT": 0.0, "CERTAIN_PROBABILITY": 0.2}),
    "fast probabilities .02, weight 0.5": ("probabilities", {}, {"PROBABILITY_WEIGHT": 0.5}),
    "fast probabilities .02, weight 1": ("probabilities", {}, {"PROBABILITY_WEIGHT": 1.0}),
    "fast probabilities .02, weight 1.5": ("probabilities", {}, {"PROBABILITY_WEIGHT": 1.5}),
    "fast probabilities .02, weight 2.5": ("probabilities", {}, {}),
    "fast probabilities .05, weight 2.5": ("probabilities", {}, {"CERTAIN_PROBABILITY": 0.05}),
    "fast probabilities .20, weight 2.5": ("probabilities", {}, {"CERTAIN_PROBABILITY": 0.2}),
}
"""Start, settings of GrabCut, and constants of `coarse2fine.enhance.grabcut`."""


class Case(NamedTuple):
    """One photo with its ground truth, its foreground probability and the mask at threshold 0.5."""

    image: Image
    ground_truth: Mask
    soft: SoftMask
    rough: Mask


def main() -> None:
    """Measure every variant on the same photos; print one line per variant, then one line of JSON."""
    cv2.setNumThreads(1)
    options = read_options()
    cases = load_cases(options)
    network = [binary_iou(case.rough, case.ground_truth) for case in cases]
    print(f"masks of the network: IoU {statistics.fmean(network):.4f}, {len(cases)} photos")
    results: dict[str, Any] = {"network": {"iou": round(statistics.fmean(network), 4)}}
    for name, (start, changes, constants) in VARIANTS.items():
        with patch.multiple(grabcut, **constants) if constants else nullcontext():
            results[name] = measure(cases, network, start, EnhanceConfig(grabcut=GrabCutConfig(**changes)))
        print(f"{name:40}", *(f"{key} {value}" for key, value in results[name].items()), sep="  ", flush=True)
    keep(f"starts-round-{options.round}", {"photos": len(cases), "round": options.round, "contestants": results})


def read_options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="run folder of fit")
    parser.add_argument("--round", type=int, default=1, help="round that provides the probabilities")
    parser.add_argument("--photos", type=Path, required=True, help="photos of the run: class folders of .jpg files")
    parser.add_argument("--masks", type=Path, required=True, help="folder of ground-truth masks (.png)")
    parser.add_argument("--sample", type=int, default=200, help="number of photos, evenly spaced")
    return parser.parse_args()


def load_cases(options: argparse.Namespace) -> list[Case]:
    """Read evenly spaced photos that have ground truth."""
    chosen = take_evenly(find_masks(options.masks), options.sample)
    return [load_case(options, mask.relative_to(options.masks)) for mask in chosen]


def load_case(options: argparse.Namespace, name: Path) -> Case:
    """Read one photo, its ground truth and its foreground probability."""
    ground_truth = read_mask(options.masks / name)
    soft = read_soft(Run(options.run).soft_masks(options.round) / name)
    rough = (resize_soft(soft, *ground_truth.shape) > 0.5).astype(np.uint8)
    return Case(read_image((options.photos / name).with_suffix(".jpg")), ground_truth, soft, rough)


def measure(cases: Sequence[Case], network: Sequence[float], start: Start, config: EnhanceConfig) -> dict[str, Any]:
    """Measure the IoU and the time of one variant."""
    enhance = enhancer_from(config, start, seed=0)
    enhance(cases[0].image, cases[0].rough, cases[0].soft)

    def enhance_case(case: Case) -> tuple[Enhanced, float]:
        began = time.thread_time()
        enhanced = enhance(case.image, case.rough, case.soft)
        return enhanced, 1e3 * (time.thread_time() - began)

    made, spent_ms = zip(*map_threads(enhance_case, cases, count_cores()), strict=True)
    ious = [binary_iou(one.mask, case.ground_truth) for one, case in zip(made, cases, strict=True)]
    gains = [after - before for after, before in zip(ious, network, strict=True)]
    return {
        "iou": round(statistics.fmean(ious), 4),
        "gain": round(statistics.fmean(gains), 4),
        "gain_standard_error": round(statistics.stdev(gains) / len(gains) ** 0.5, 4),
        "ms": round(statistics.fmean(spent_ms), 1),
        "ms_quartiles": [round(value, 1) for value in statistics.quantiles(spent_ms, n=4)],
        "kept_input": sum(one.note is not None for one in made),
    }


if __name__ == "__main__":
    main()
