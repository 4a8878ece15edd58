"""How good are the coarse masks, alone and through GrabCut, and what do they cost?

    python benchmarks/coarse.py --photos DIR --masks DIR --sample 100

Masks are PNGs (0 background, 255 ignored), photos JPEGs of the same name in the same sub-folder. IoU is that of the
foreground of any class, mean over photos. Time is that of the soft mask alone, photos in memory, after a warm-up;
``cpu_ms`` is processor time, which other work on the machine disturbs less.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
from common import keep

from coarse2fine.coarse import binarize, centered_box, saliency
from coarse2fine.config import EnhanceConfig
from coarse2fine.data import read_image
from coarse2fine.enhance import enhancer_from
from coarse2fine.evaluation.metrics import binary_iou
from coarse2fine.masks.png import read_mask
from coarse2fine.types import CoarseMethod, Image, Mask

THREADS = 2
CONTESTANTS: dict[str, CoarseMethod] = {
    "box 0.8": partial(centered_box, share=0.8),
    "saliency 320": partial(saliency, max_side_px=320),
    "saliency 240": partial(saliency, max_side_px=240),
    "saliency 160": partial(saliency, max_side_px=160),
}


def main() -> None:
    """Measure every contestant on the same photos; print a line for each, then one line of JSON."""
    options = read_options()
    pairs = find_pairs(options.photos, options.masks, options.sample)
    photos = [read_image(photo) for photo, _ in pairs]
    truths = [read_mask(mask) for _, mask in pairs]
    results = {}
    for name, method in CONTESTANTS.items():
        results[name] = measure_time(method, photos) | measure_quality(method, photos, truths)
        print(f"{name:14}", *(f"{key} {value:.3f}" for key, value in results[name].items()), sep="  ")
    keep("coarse", {"photos": len(photos), "contestants": results})


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos, .jpg")
    parser.add_argument("--masks", type=Path, required=True, help="folder of true masks, .png")
    parser.add_argument("--sample", type=int, default=100, help="evenly spaced photos that are used")
    return parser.parse_args()


def find_pairs(photos: Path, masks: Path, sample: int) -> list[tuple[Path, Path]]:
    """Pair photos and masks, and keep ``sample`` pairs, evenly spaced."""
    found = sorted(masks.rglob("*.png"))
    if not found:
        raise SystemExit(f"{masks} holds no masks (.png).")
    kept = [found[index * len(found) // sample] for index in range(sample)] if sample < len(found) else found
    return [((photos / mask.relative_to(masks)).with_suffix(".jpg"), mask) for mask in kept]


def measure_time(method: CoarseMethod, photos: Sequence[Image]) -> dict[str, float]:
    """Milliseconds per photo: median and quartiles in one thread, and the gain of ``THREADS`` threads."""
    method(photos[0])
    wall_ms, cpu_ms = zip(*(time_call(method, photo) for photo in photos), strict=True)
    low_ms, median_ms, high_ms = statistics.quantiles(wall_ms, n=4)
    start = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(method, photos))
    return {
        "median_ms": median_ms,
        "low_quartile_ms": low_ms,
        "high_quartile_ms": high_ms,
        "cpu_ms": statistics.median(cpu_ms),
        f"speedup_{THREADS}_threads": sum(wall_ms) / 1e3 / (time.perf_counter() - start),
    }


def time_call(method: CoarseMethod, photo: Image) -> tuple[float, float]:
    """Wall and processor time of one call, milliseconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    method(photo)
    return (time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3


def measure_quality(method: CoarseMethod, photos: Sequence[Image], truths: Sequence[Mask]) -> dict[str, float]:
    """Mean IoU and its standard error, alone and through GrabCut started from the mask's box and from the mask."""
    masks = [binarize(method(photo)) for photo in photos]
    ious = [binary_iou(mask, truth) for mask, truth in zip(masks, truths, strict=True)]
    error = statistics.stdev(ious) / len(ious) ** 0.5
    through = {f"iou_grabcut_{start}": enhance_all(start, photos, masks, truths) for start in ("box", "mask")}
    return {"iou": statistics.fmean(ious), "iou_standard_error": error} | through


def enhance_all(start: Any, photos: Sequence[Image], masks: Sequence[Mask], truths: Sequence[Mask]) -> float:
    """Mean IoU after GrabCut at its default settings."""
    enhance = enhancer_from(EnhanceConfig(), start, seed=0)
    with ThreadPoolExecutor(THREADS) as pool:
        enhanced = list(pool.map(enhance, photos, masks))
    return statistics.fmean(binary_iou(one.mask, truth) for one, truth in zip(enhanced, truths, strict=True))


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
