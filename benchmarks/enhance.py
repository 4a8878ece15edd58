"""How fast is GrabCut, how much memory does it take, and does the fast engine find the same masks as OpenCV?

    python benchmarks/enhance.py --photos DIR --masks DIR

Masks are PNGs (0 background, 255 ignored), photos JPEGs of the same name in the same subfolder. GrabCut starts from the
box of the ground truth, enlarged by 8 % of its sides in each direction, with default settings except that the size is
not limited. Each engine runs at each size in a separate process: photos and boxes are loaded and resized to that longer
side, then a warm-up, then all photos on all cores. This is repeated ``--repeats`` times with the engines in turn; rates
are the median with the range. ``vs_opencv`` is the median ratio of the rates. ``peak_mb`` is the peak memory of the
process minus its memory with the photos loaded. ``iou`` is measured against the ground truth at the same size,
``agreement`` is the IoU between the masks of both engines; both are means over photos. Photos larger than their
originals are blurry enlargements: they show time and memory, not quality.
"""

import argparse
import multiprocessing
import resource
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from common import find_masks, keep, take_evenly
from numpy.typing import NDArray

from coarse2fine.config import EnhanceConfig, GrabCutConfig
from coarse2fine.data import read_image
from coarse2fine.enhance import enhancer_from
from coarse2fine.enhance.graph_cut import pyramid
from coarse2fine.enhance.graph_cut.pyramid import MAX_UNKNOWN_PIXELS
from coarse2fine.evaluation.metrics import binary_iou
from coarse2fine.masks.png import read_mask
from coarse2fine.masks.regions import bounding_box
from coarse2fine.masks.resize import resize, resize_mask
from coarse2fine.runtime.device import count_cores
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import Image, Mask

Engine = Literal["fast", "opencv"]
ENGINES: tuple[Engine, ...] = ("fast", "opencv")
BOX_MARGIN_SHARE = 0.08
MAX_PIXELS = 40e6  # of all photos of one size: OpenCV would take hours for more


class Case(NamedTuple):
    """One photo at one size with its ground truth and the box that GrabCut starts from."""

    image: Image
    ground_truth: Mask
    box: Mask


class EngineResult(NamedTuple):
    """Result of one engine for all photos of one size."""

    seconds: float
    peak_mb: float
    masks: list[NDArray[np.uint8]]  # packed bits
    kept: int


def main() -> None:
    """Measure every size with both engines; print one line per size, then one line of JSON."""
    options = read_options()
    rows: dict[str, Any] = {}
    for side_px in options.sizes:
        rows[str(side_px or "as they are")] = row = measure(options, side_px)
        print(f"{side_px or 'as they are'}:", *(f"{key} {value}" for key, value in row.items()), sep="  ", flush=True)
    result = {
        "data": options.photos.parent.name,
        "box_grown": BOX_MARGIN_SHARE,
        "undecided": options.undecided,
        "sizes": rows,
    }
    keep("enhance" if options.undecided == MAX_UNKNOWN_PIXELS else f"enhance-{options.undecided}", result)


def read_options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos (.jpg)")
    parser.add_argument("--masks", type=Path, required=True, help="folder of ground-truth masks (.png)")
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="+",
        default=[0, 128, 256, 512, 1024, 2000],
        help="longer sides in pixels; 0: original size",
    )
    parser.add_argument("--repeats", type=int, default=3, help="repeats of each engine at the original size")
    parser.add_argument("--sample", type=int, default=10_000, help="maximum number of photos, evenly spaced")
    parser.add_argument(
        "--undecided",
        type=int,
        default=MAX_UNKNOWN_PIXELS,
        help="unknown pixels on the smallest pyramid level of the fast engine",
    )
    return parser.parse_args()


def measure(options: argparse.Namespace, side_px: int) -> dict[str, Any]:
    """Measure both engines at one size."""
    cases = load_cases(options, side_px)
    repeats = 1 if side_px else options.repeats
    results = {engine: list[EngineResult]() for engine in ENGINES}
    for _ in range(repeats):
        for engine in ENGINES:
            results[engine].append(run_in_new_process(engine, options, side_px))
    masks = {
        engine: [unpack(bits, case) for bits, case in zip(runs[0].masks, cases, strict=True)]
        for engine, runs in results.items()
    }
    pairs = zip(results["fast"], results["opencv"], strict=True)
    row: dict[str, Any] = {
        "photos": len(cases),
        "mean_megapixels": round(statistics.fmean(case.ground_truth.size for case in cases) / 1e6, 4),
        "vs_opencv": round(statistics.median(opencv.seconds / fast.seconds for fast, opencv in pairs), 2),
        "agreement": round(statistics.fmean(map(binary_iou, masks["fast"], masks["opencv"])), 4),
    }
    for engine, runs in results.items():
        rates = sorted(len(cases) / result.seconds for result in runs)
        ious = [binary_iou(mask, case.ground_truth) for mask, case in zip(masks[engine], cases, strict=True)]
        row[engine] = {
            "photos_per_s": round(statistics.median(rates), 2),
            "photos_per_s_range": [round(rates[0], 2), round(rates[-1], 2)],
            "peak_mb": round(max(result.peak_mb for result in runs), 1),
            "iou": round(statistics.fmean(ious), 4),
            "kept_input": runs[0].kept,
        }
    return row


def load_cases(options: argparse.Namespace, side_px: int) -> list[Case]:
    """Read the photos with a ground-truth object at one size; evenly spaced ones if there are too many."""
    found = find_masks(options.masks)
    chosen = take_evenly(found, min(options.sample, max(4, int(MAX_PIXELS / side_px**2)) if side_px else len(found)))
    photos = [(options.photos / mask.relative_to(options.masks)).with_suffix(".jpg") for mask in chosen]
    cases = (load_case(photo, mask, side_px) for photo, mask in zip(photos, chosen, strict=True))
    return [case for case in cases if case.box.any()]


def load_case(photo: Path, mask: Path, side_px: int) -> Case:
    """Read one photo and its ground truth, and fill the enlarged box of the object."""
    image, ground_truth = read_image(photo), read_mask(mask)
    if side_px:
        scale = side_px / max(ground_truth.shape)
        height, width = (max(1, round(side * scale)) for side in ground_truth.shape)
        image = resize(image, height, width)
        ground_truth = resize_mask(ground_truth, height, width)
    filled = np.zeros_like(ground_truth)
    box = bounding_box(ground_truth)
    if box:
        down, right = round(BOX_MARGIN_SHARE * (box.y1 - box.y0)), round(BOX_MARGIN_SHARE * (box.x1 - box.x0))
        filled[max(0, box.y0 - down) : box.y1 + down, max(0, box.x0 - right) : box.x1 + right] = 1
    return Case(image, ground_truth, filled)


def run_in_new_process(engine: Engine, options: argparse.Namespace, side_px: int) -> EngineResult:
    """Run one engine in a new process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(enhance_all_photos, engine, options, side_px).result()


def enhance_all_photos(engine: Engine, options: argparse.Namespace, side_px: int) -> EngineResult:
    """Enhance all photos on all cores and measure time and memory."""
    cv2.setNumThreads(1)
    pyramid.MAX_UNKNOWN_PIXELS = options.undecided
    cases = load_cases(options, side_px)
    enhance = enhancer_from(EnhanceConfig(grabcut=GrabCutConfig(engine=engine, max_side_px=100_000)), "box", seed=0)
    enhance(*reduce(cases[0], 100))
    loaded_mb = peak_mb()
    start = time.perf_counter()
    enhanced = list(map_threads(lambda case: enhance(case.image, case.box), cases, count_cores()))
    seconds = time.perf_counter() - start
    kept = sum(one.note is not None for one in enhanced)
    return EngineResult(seconds, peak_mb() - loaded_mb, [np.packbits(one.mask) for one in enhanced], kept)


def reduce(case: Case, side_px: int) -> tuple[Image, Mask]:
    """Reduce a case for the warm-up, which compiles the fast engine without raising the peak memory."""
    size = (side_px, side_px)
    return resize(case.image, *size), resize_mask(case.box, *size)


def unpack(bits: NDArray[np.uint8], case: Case) -> Mask:
    """Unpack a mask."""
    return np.unpackbits(bits, count=case.ground_truth.size).reshape(case.ground_truth.shape)


def peak_mb() -> float:
    """Return the peak memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
