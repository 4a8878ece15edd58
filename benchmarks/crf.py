"""How much does a CRF after the network improve the mIoU, and how long does it take?

    python benchmarks/crf.py --run RUN --photos val/images --masks val/masks [--batch 8]

RUN is a finished run of ``coarse2fine fit``; the masks are ground truth in its class indices (PNG, 0 background, 255
ignored), named like the photos. Every variant starts from the same class probabilities of the network. ``ms`` is the
wall-clock time of the CRF per photo, with probabilities and photo in memory, one photo at a time, after a warm-up:
median and quartiles. Photos larger than ``--side-px`` are reduced to it. ``ms_together`` is the time per photo in
batches of ``--batch``, as ``predict`` processes them on a GPU; ``labels_apart`` is the share of pixels whose class
differs between batched and single processing. On a GPU, ``peak_mb`` and ``peak_mb_together`` are the peak memory.
"""

import argparse
import math
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from common import keep, take_evenly
from numpy.typing import NDArray

from coarse2fine.config import CrfConfig
from coarse2fine.data import list_photos, read_image
from coarse2fine.enhance.crf import dense_crf, dense_crf_many
from coarse2fine.evaluation.metrics import confusion_matrix, mean_iou
from coarse2fine.evaluation.pairing import pair_by_name
from coarse2fine.inference.files import predict_files
from coarse2fine.inference.segmenter import Segmenter, decide_classes
from coarse2fine.masks.png import read_mask
from coarse2fine.runtime.device import pick_device
from coarse2fine.types import Image, Mask, Probabilities

VARIANTS: dict[str, dict[str, Any] | None] = {
    "network alone": None,
    "published": {},
    "5 steps": {"steps": 5},
    "sigma rgb 5": {"color_sigma": 5.0},
    "sigma rgb 10": {"color_sigma": 10.0},
    "sigma xy 40": {"bilateral_sigma_px": 40.0},
    "bilateral weight 2": {"bilateral_weight": 2.0},
    "position kernel alone": {"bilateral_weight": 0.0},
}


class Case(NamedTuple):
    """One photo with its ground truth and the class probabilities of the network."""

    image: Image
    ground_truth: Mask
    probabilities: Probabilities


def main() -> None:
    """Measure every variant on the same photos; print one line per variant, then one line of JSON."""
    options = read_options()
    segmenter = Segmenter.load(options.run)
    cases = load_cases(options, segmenter)
    device = pick_device()
    results: dict[str, Any] = {}
    for name, changes in VARIANTS.items():
        config = None if changes is None else CrfConfig(max_side_px=options.side_px, **changes)
        results[name] = measure(cases, config, segmenter, device)
        if config and options.batch > 1:
            results[name] |= measure_together(cases, config, device, options.batch)
        print(f"{name:24}", *(f"{key} {value}" for key, value in results[name].items()), sep="  ", flush=True)
    keep(options.name, {"photos": len(cases), "device": device.type, "batch": options.batch, "contestants": results})


def read_options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="run folder of fit, or its model folder")
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos")
    parser.add_argument("--masks", type=Path, required=True, help="folder of their ground-truth masks")
    parser.add_argument("--sample", type=int, default=100, help="number of photos, evenly spaced")
    parser.add_argument("--side-px", type=int, default=500, help="maximum longer side of a photo for the CRF")
    parser.add_argument("--batch", type=int, default=1, help="also measure batches of this many photos")
    parser.add_argument("--name", default="crf", help="name of the result file")
    return parser.parse_args()


def load_cases(options: argparse.Namespace, segmenter: Segmenter) -> list[Case]:
    """Predict the class probabilities of evenly spaced photos."""
    pairs = take_evenly(pair_by_name(list_photos([options.photos]), options.photos, options.masks), options.sample)
    found = predict_files(segmenter.with_crf(False), [photo for photo, _ in pairs])
    return [Case(read_image(pairs[one.index][0]), read_mask(pairs[one.index][1]), one.probabilities) for one in found]


def measure(
    cases: Sequence[Case], config: CrfConfig | None, segmenter: Segmenter, device: torch.device
) -> dict[str, Any]:
    """Measure the mIoU and the time of one variant; without settings, the mIoU of the network alone."""
    classes = len(segmenter.classes)
    total: NDArray[np.int64] = np.zeros((classes, classes), np.int64)
    spent: list[float] = []
    if config:
        warm_up(cases[:1], config, device)
    for case in cases:
        began = time.perf_counter()
        probabilities = dense_crf(case.probabilities, case.image, config, device) if config else case.probabilities
        spent.append(1e3 * (time.perf_counter() - began))
        mask = decide_classes(probabilities, *case.ground_truth.shape, segmenter.foreground_first)
        total += confusion_matrix(mask, case.ground_truth, classes)
    figures: dict[str, Any] = {"mean_iou": round(mean_iou(total), 4)}
    return figures | (summarize("", spent, device) if config else {})


def measure_together(cases: Sequence[Case], config: CrfConfig, device: torch.device, batch: int) -> dict[str, Any]:
    """Measure the time of one variant in batches, and the share of pixels whose class differs."""
    warm_up(cases[:batch], config, device)
    spent: list[float] = []
    different = pixels = 0
    for first in range(0, len(cases), batch):
        photos = [(case.probabilities, case.image) for case in cases[first : first + batch]]
        began = time.perf_counter()
        together = dense_crf_many(photos, config, device, max_megapixels=math.inf)
        spent += [1e3 * (time.perf_counter() - began) / len(photos)] * len(photos)
        for (probabilities, image), batched in zip(photos, together, strict=True):
            alone = dense_crf(probabilities, image, config, device)
            different += int((alone.argmax(axis=0) != batched.argmax(axis=0)).sum())
            pixels += batched[0].size
    return summarize("_together", spent, device) | {"labels_apart": different / pixels}


def warm_up(cases: Sequence[Case], config: CrfConfig, device: torch.device) -> None:
    """Run the CRF once and reset the peak memory of the GPU."""
    dense_crf_many([(case.probabilities, case.image) for case in cases], config, device, max_megapixels=math.inf)
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def summarize(ending: str, spent: Sequence[float], device: torch.device) -> dict[str, Any]:
    """Summarize milliseconds per photo as median and quartiles; add the peak memory of a GPU."""
    low, middle, high = (round(value, 1) for value in statistics.quantiles(spent, n=4))
    figures: dict[str, Any] = {f"ms{ending}": middle, f"ms_quartiles{ending}": [low, high]}
    if device.type == "cuda":
        figures[f"peak_mb{ending}"] = round(torch.cuda.max_memory_allocated(device) / 1e6)
    return figures


if __name__ == "__main__":
    main()
