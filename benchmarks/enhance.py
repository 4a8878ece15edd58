"""How fast is GrabCut, what does it take, and does the fast engine find what OpenCV finds?

    python benchmarks/enhance.py --photos DIR --masks DIR

Masks are PNGs (0 background, 255 ignored), photos JPEGs of the same name in the same sub-folder. GrabCut starts from
the
box of the true mask, grown by 8 % of its sides each way, with its default settings but no limit on the size. Each
engine works at each size in a process of its own: photos and boxes in memory, brought to that longer side, a warm-up,
then all photos on all cores, ``--repeats`` times; engines take turns. ``vs_opencv`` is the median ratio of rates.
``peak_mb`` is what the process held more at its peak than with the photos loaded. IoU is that with the truth at the
same size, agreement the IoU with OpenCV's masks, means over photos. Photos larger than their originals are blurry
enlargements: they show time and memory, not quality.
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
from common import keep
from numpy.typing import NDArray

from coarse2fine.config import EnhanceConfig
from coarse2fine.data import read_image
from coarse2fine.enhance import enhancer_from
from coarse2fine.enhance.graph_cut import pyramid
from coarse2fine.enhance.graph_cut.pyramid import MAX_UNKNOWN_PIXELS
from coarse2fine.evaluation.metrics import binary_iou
from coarse2fine.masks.png import read_mask
from coarse2fine.masks.regions import bounding_box
from coarse2fine.masks.resize import resize_mask
from coarse2fine.runtime.device import count_cores
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import Image, Mask

Engine = Literal["fast", "opencv"]
ENGINES: tuple[Engine, ...] = ("fast", "opencv")
GROWN = 0.08
MOST_PIXELS = 40e6  # of all photos of one size, for OpenCV would take hours


class Case(NamedTuple):
    """One photo at one size, its truth and the box it starts from."""

    image: Image
    truth: Mask
    box: Mask


class Answer(NamedTuple):
    """What one engine did with all photos of one size."""

    seconds: float
    peak_mb: float
    masks: list[NDArray[np.uint8]]  # bits
    kept: int


def main() -> None:
    """Measure every size with both engines; print a line for each, then one line of JSON."""
    options = read_options()
    rows: dict[str, Any] = {}
    for side_px in options.sizes:
        rows[str(side_px or "as they are")] = row = measure(options, side_px)
        print(f"{side_px or 'as they are'}:", *(f"{key} {value}" for key, value in row.items()), sep="  ", flush=True)
    result = {"data": options.photos.parent.name, "box_grown": GROWN, "undecided": options.undecided, "sizes": rows}
    keep("enhance" if options.undecided == MAX_UNKNOWN_PIXELS else f"enhance-{options.undecided}", result)


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos, .jpg")
    parser.add_argument("--masks", type=Path, required=True, help="folder of true masks, .png")
    parser.add_argument("--sizes", type=int, nargs="+", default=[0, 128, 256, 512, 1024, 2000], help="0: as they are")
    parser.add_argument("--repeats", type=int, default=3, help="passes of each engine at the size the photos have")
    parser.add_argument("--sample", type=int, default=10_000, help="evenly spaced photos that are used, at most")
    parser.add_argument("--undecided", type=int, default=MAX_UNKNOWN_PIXELS, help="of fast, on its smallest copy")
    return parser.parse_args()


def measure(options: argparse.Namespace, side_px: int) -> dict[str, Any]:
    """Figures of one size."""
    cases = load_cases(options, side_px)
    repeats = 1 if side_px else options.repeats
    answers = {engine: list[Answer]() for engine in ENGINES}
    for _ in range(repeats):
        for engine in ENGINES:
            answers[engine].append(ask(engine, options, side_px))
    masks = {
        engine: [unpack(bits, case) for bits, case in zip(given[0].masks, cases, strict=True)]
        for engine, given in answers.items()
    }
    pairs = zip(answers["fast"], answers["opencv"], strict=True)
    row: dict[str, Any] = {
        "photos": len(cases),
        "mean_megapixels": round(statistics.fmean(case.truth.size for case in cases) / 1e6, 4),
        "vs_opencv": round(statistics.median(opencv.seconds / fast.seconds for fast, opencv in pairs), 2),
        "agreement": round(statistics.fmean(map(binary_iou, masks["fast"], masks["opencv"])), 4),
    }
    for engine, given in answers.items():
        rates = sorted(len(cases) / answer.seconds for answer in given)
        ious = [binary_iou(mask, case.truth) for mask, case in zip(masks[engine], cases, strict=True)]
        row[engine] = {
            "photos_per_s": round(statistics.median(rates), 2),
            "photos_per_s_range": [round(rates[0], 2), round(rates[-1], 2)],
            "peak_mb": round(max(answer.peak_mb for answer in given), 1),
            "iou": round(statistics.fmean(ious), 4),
            "kept_input": given[0].kept,
        }
    return row


def load_cases(options: argparse.Namespace, side_px: int) -> list[Case]:
    """Read the photos that have a true object, at one size; evenly spaced ones where all would be too many."""
    found = sorted(options.masks.rglob("*.png"))
    if not found:
        raise SystemExit(f"{options.masks} holds no masks (.png).")
    most = min(options.sample, max(4, int(MOST_PIXELS / side_px**2)) if side_px else len(found))
    chosen = [found[index * len(found) // most] for index in range(most)] if most < len(found) else found
    photos = [(options.photos / mask.relative_to(options.masks)).with_suffix(".jpg") for mask in chosen]
    cases = (load_case(photo, mask, side_px) for photo, mask in zip(photos, chosen, strict=True))
    return [case for case in cases if case.box.any()]


def load_case(photo: Path, mask: Path, side_px: int) -> Case:
    """Read one photo and its truth, and box what is true."""
    image, truth = read_image(photo), read_mask(mask)
    if side_px:
        scale = side_px / max(truth.shape)
        height, width = (max(1, round(side * scale)) for side in truth.shape)
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        image = cv2.resize(image, (width, height), interpolation=interpolation)
        truth = resize_mask(truth, height, width)
    filled = np.zeros_like(truth)
    box = bounding_box(truth)
    if box:
        down, right = round(GROWN * (box.y1 - box.y0)), round(GROWN * (box.x1 - box.x0))
        filled[max(0, box.y0 - down) : box.y1 + down, max(0, box.x0 - right) : box.x1 + right] = 1
    return Case(image, truth, filled)


def ask(engine: Engine, options: argparse.Namespace, side_px: int) -> Answer:
    """Have a fresh process answer."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(answer_all, engine, options, side_px).result()


def answer_all(engine: Engine, options: argparse.Namespace, side_px: int) -> Answer:
    """Cut all photos on all cores."""
    cv2.setNumThreads(1)
    pyramid.MAX_UNKNOWN_PIXELS = options.undecided
    cases = load_cases(options, side_px)
    enhance = enhancer_from(EnhanceConfig(engine=engine, max_side_px=100_000), "box", seed=0)
    enhance(*shrink(cases[0], 100))
    loaded_mb = peak_mb()
    start = time.perf_counter()
    enhanced = list(map_threads(lambda case: enhance(case.image, case.box), cases, count_cores()))
    seconds = time.perf_counter() - start
    kept = sum(one.note is not None for one in enhanced)
    return Answer(seconds, peak_mb() - loaded_mb, [np.packbits(one.mask) for one in enhanced], kept)


def shrink(case: Case, side_px: int) -> tuple[Image, Mask]:
    """A small copy to warm up with: it compiles the fast engine, and leaves the peak of memory alone."""
    size = (side_px, side_px)
    return cv2.resize(case.image, size, interpolation=cv2.INTER_AREA), resize_mask(case.box, *size)


def unpack(bits: NDArray[np.uint8], case: Case) -> Mask:
    """A mask from its bits."""
    return np.unpackbits(bits, count=case.truth.size).reshape(case.truth.shape)


def peak_mb() -> float:
    """Most memory this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
