"""What does a CRF after the network add, and what does it cost?

    python benchmarks/crf.py --run RUN --photos val/images --masks val/masks [--batch 8]

RUN is a finished run of ``coarse2fine fit``; masks are true ones in its class indices (PNG, 0 background, 255 ignored),
named like the photos. Every contestant gets the same scores of the network. ``ms`` is wall clock per photo of the CRF
alone on scores and photo in memory, one photo at a time, median and quartiles, at the longer side ``--side-px``, to
which larger photos are reduced. ``ms_together`` is the same per photo in batches of ``--batch``, as ``predict`` has
them on a GPU; ``labels_apart`` is the share of pixels that get another class in a batch than alone. On a GPU
``peak_mb`` is the memory it takes at most, in the same two ways.
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
from common import keep
from numpy.typing import NDArray

from coarse2fine.config import CrfConfig
from coarse2fine.data import list_photos, read_image
from coarse2fine.enhance.crf import dense_crf, dense_crf_many
from coarse2fine.evaluation.metrics import confusion_matrix, mean_iou
from coarse2fine.evaluation.pairing import pair_by_name
from coarse2fine.inference.files import predict_files
from coarse2fine.inference.segmenter import most_probable_class
from coarse2fine.inference.torch_segmenter import TorchSegmenter
from coarse2fine.masks.png import read_mask
from coarse2fine.runtime.device import pick_device
from coarse2fine.types import Image, Mask, Probabilities

CONTESTANTS: dict[str, dict[str, Any] | None] = {
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
    """One photo, its truth, and the network's scores."""

    image: Image
    truth: Mask
    scores: Probabilities


def main() -> None:
    """Measure every contestant on the same photos; print a line for each, then one line of JSON."""
    options = read_options()
    segmenter = TorchSegmenter.load(options.run)
    cases = load_cases(options, segmenter)
    device = pick_device()
    results: dict[str, Any] = {}
    for name, changes in CONTESTANTS.items():
        config = None if changes is None else CrfConfig(max_side_px=options.side_px, **changes)
        results[name] = measure(cases, config, len(segmenter.classes), device)
        if config and options.batch > 1:
            results[name] |= measure_together(cases, config, device, options.batch)
        print(f"{name:24}", *(f"{key} {value}" for key, value in results[name].items()), sep="  ", flush=True)
    keep(options.name, {"photos": len(cases), "device": device.type, "batch": options.batch, "contestants": results})


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="run folder of fit, or its model folder")
    parser.add_argument("--photos", type=Path, required=True, help="photos with true masks")
    parser.add_argument("--masks", type=Path, required=True, help="their true masks")
    parser.add_argument("--sample", type=int, default=100, help="evenly spaced photos that are used")
    parser.add_argument("--side-px", type=int, default=500, help="longer side at which the CRF sees a photo, at most")
    parser.add_argument("--batch", type=int, default=1, help="also time so many photos at once")
    parser.add_argument("--name", default="crf", help="of the result")
    return parser.parse_args()


def load_cases(options: argparse.Namespace, segmenter: TorchSegmenter) -> list[Case]:
    """Score evenly spaced photos."""
    pairs = pair_by_name(list_photos([options.photos]), options.photos, options.masks)
    sample = min(options.sample, len(pairs))
    pairs = [pairs[index * len(pairs) // sample] for index in range(sample)]
    found = predict_files(segmenter.with_crf(False), [photo for photo, _ in pairs])
    return [Case(read_image(pairs[one.index][0]), read_mask(pairs[one.index][1]), one.probabilities) for one in found]


def measure(cases: Sequence[Case], config: CrfConfig | None, classes: int, device: torch.device) -> dict[str, Any]:
    """Quality and cost of one contestant; without settings, of the network's own masks."""
    total: NDArray[np.int64] = np.zeros((classes, classes), np.int64)
    spent: list[float] = []
    if config:
        start_over(cases[:1], config, device)
    for case in cases:
        began = time.perf_counter()
        scores = dense_crf(case.scores, case.image, config, device) if config else case.scores
        spent.append(1e3 * (time.perf_counter() - began))
        total += confusion_matrix(most_probable_class(scores, *case.truth.shape), case.truth, classes)
    figures: dict[str, Any] = {"mean_iou": round(mean_iou(total), 4)}
    return figures | (summarize("", spent, device) if config else {})


def measure_together(cases: Sequence[Case], config: CrfConfig, device: torch.device, batch: int) -> dict[str, Any]:
    """Cost of one contestant in batches, and how far its masks are from those one by one."""
    start_over(cases[:batch], config, device)
    spent: list[float] = []
    apart = pixels = 0
    for first in range(0, len(cases), batch):
        photos = [(case.scores, case.image) for case in cases[first : first + batch]]
        began = time.perf_counter()
        together = dense_crf_many(photos, config, device, max_megapixels=math.inf)
        spent += [1e3 * (time.perf_counter() - began) / len(photos)] * len(photos)
        for (scores, image), found in zip(photos, together, strict=True):
            alone = dense_crf(scores, image, config, device)
            apart += int((alone.argmax(axis=0) != found.argmax(axis=0)).sum())
            pixels += found[0].size
    return summarize("_together", spent, device) | {"labels_apart": apart / pixels}


def start_over(cases: Sequence[Case], config: CrfConfig, device: torch.device) -> None:
    """Do once what is slower the first time; forget how much memory was taken before."""
    dense_crf_many([(case.scores, case.image) for case in cases], config, device, max_megapixels=math.inf)
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def summarize(ending: str, spent: Sequence[float], device: torch.device) -> dict[str, Any]:
    """Median and quartiles of milliseconds per photo, and the memory of a GPU."""
    low, middle, high = (round(value, 1) for value in statistics.quantiles(spent, n=4))
    figures: dict[str, Any] = {f"ms{ending}": middle, f"ms_quartiles{ending}": [low, high]}
    if device.type == "cuda":
        figures[f"peak_mb{ending}"] = round(torch.cuda.max_memory_allocated(device) / 1e6)
    return figures


if __name__ == "__main__":
    main()
