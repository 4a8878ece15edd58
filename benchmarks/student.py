"""How good and how fast are students, alone and with GrabCut, compared with coarse methods without training?

    python benchmarks/student.py --photos DIR --masks DIR --students FILE... [--frames DIR --frame-masks DIR]

Ground truth masks are PNG files (0 background, 255 ignored); photos are JPEG files of the same name in the same
subfolder. IoU is the foreground IoU of all classes together, mean over photos. Of video frames every ``--every``-th is
measured; their IoU is the mean over videos of the mean over frames. The time of a photo is from file to soft mask, on
all cores. LowRes-Net at full width has random weights here, which does not change its speed.
"""

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from common import keep

from coarse2fine.coarse import binarize, coarse_from
from coarse2fine.coarse.student import Student, predict_soft_masks
from coarse2fine.config import CoarseConfig, EnhanceConfig, StudentNetworkConfig
from coarse2fine.data import read_image
from coarse2fine.enhance import enhancer_from
from coarse2fine.evaluation.metrics import binary_iou
from coarse2fine.masks.png import read_mask
from coarse2fine.masks.resize import resize_soft
from coarse2fine.networks.student import build_student
from coarse2fine.runtime.device import count_cores
from coarse2fine.types import Image, Mask, SoftMask

Pairs = Sequence[tuple[Path, Path]]


def main() -> None:
    """Measure all methods on the same photos; print a line for each, then one line of JSON."""
    options = read_options()
    pairs = find_pairs(options.photos, options.masks)
    frames = find_pairs(options.frames, options.frame_masks)[:: options.every] if options.frames else []
    results: dict[str, dict[str, float]] = {}
    for name in ("box", "saliency"):
        method = coarse_from(CoarseConfig(method=name))
        results[name] = measure(name, [method(read_image(photo)) for photo, _ in pairs], pairs)
    for file in options.students:
        student = Student.load(file)
        results[file.stem] = measure(file.stem, find_all(student, pairs), pairs)
        results[file.stem] |= {"photos_per_s": measure_rate(student, pairs, options.repeats)}
        if frames:
            results[file.stem] |= measure_frames(find_all(student, frames), frames)
        show(file.stem, results[file.stem])
    if options.lowres:
        config = StudentNetworkConfig(shape="lowres")
        rate = measure_rate(Student(build_student(config), config).to(), pairs[: options.lowres], 1)
        results["lowres, full width"] = {"photos_per_s": rate}
        show("lowres, full width", results["lowres, full width"])
    keep("student", {"photos": len(pairs), "frames": len(frames), "contestants": results})


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos, .jpg")
    parser.add_argument("--masks", type=Path, required=True, help="folder of their ground truth masks, .png")
    parser.add_argument("--students", type=Path, nargs="+", default=[], help="student files, .safetensors")
    parser.add_argument("--frames", type=Path, help="folder of video frames, .jpg")
    parser.add_argument("--frame-masks", type=Path, help="folder of their ground truth masks, .png")
    parser.add_argument("--every", type=int, default=1, help="measure every n-th frame")
    parser.add_argument("--repeats", type=int, default=3, help="number of timings; the median is reported")
    parser.add_argument(
        "--lowres", type=int, default=0, help="also time LowRes-Net at full width on this number of photos"
    )
    return parser.parse_args()


def find_pairs(photos: Path, masks: Path) -> Pairs:
    """Return the pairs of photo and ground truth mask."""
    found = sorted(masks.rglob("*.png"))
    if not found:
        raise SystemExit(f"{masks} holds no masks (.png).")
    return [((photos / mask.relative_to(masks)).with_suffix(".jpg"), mask) for mask in found]


def find_all(student: Student, pairs: Pairs) -> list[SoftMask]:
    """Predict the soft masks of all photos."""
    return [soft for _, soft in predict_soft_masks(student, [photo for photo, _ in pairs], count_cores())]


def measure(name: str, softs: Sequence[SoftMask], pairs: Pairs) -> dict[str, float]:
    """Return mean IoU and its standard error, and mean IoU after GrabCut from the mask's box and from the soft mask."""
    images, ground_truth = [read_image(photo) for photo, _ in pairs], [read_mask(mask) for _, mask in pairs]
    whole = [resize_soft(soft, *image.shape[:2]) for soft, image in zip(softs, images, strict=True)]
    halves = [(soft > 0.5).astype(np.uint8) for soft in whole]
    masks = [binarize(soft, "otsu") for soft in whole]
    ious = [binary_iou(mask, expected) for mask, expected in zip(masks, ground_truth, strict=True)]
    result = {
        "iou": statistics.fmean(ious),
        "iou_standard_error": statistics.stdev(ious) / len(ious) ** 0.5,
        "iou_at_half": mean_iou(halves, ground_truth),
        "iou_grabcut_box": mean_iou(enhance_all("box", images, masks, softs), ground_truth),
    }
    if name != "box":
        result["iou_grabcut_scores"] = mean_iou(enhance_all("probabilities", images, masks, softs), ground_truth)
    show(name, result)
    return result


def enhance_all(start: Any, images: Sequence[Image], masks: Sequence[Mask], softs: Sequence[SoftMask]) -> list[Mask]:
    """Enhance masks by GrabCut with default settings."""
    enhance = enhancer_from(EnhanceConfig(), start, seed=0)
    with ThreadPoolExecutor(count_cores()) as pool:
        return [made.mask for made in pool.map(enhance, images, masks, softs)]


def mean_iou(masks: Sequence[Mask], ground_truth: Sequence[Mask]) -> float:
    """Compute the mean IoU of masks."""
    return statistics.fmean(binary_iou(mask, expected) for mask, expected in zip(masks, ground_truth, strict=True))


def measure_frames(softs: Sequence[SoftMask], pairs: Pairs) -> dict[str, float]:
    """Return the mean over videos of the mean IoU, by Otsu's threshold and at soft > 0.5."""
    by_otsu: dict[str, list[float]] = defaultdict(list)
    at_half: dict[str, list[float]] = defaultdict(list)
    for soft, (_, mask) in zip(softs, pairs, strict=True):
        expected = (read_mask(mask) > 0).astype(np.uint8)
        whole, video = resize_soft(soft, *expected.shape), mask.parent.name
        by_otsu[video].append(binary_iou(binarize(whole, "otsu"), expected))
        at_half[video].append(binary_iou((whole > 0.5).astype(np.uint8), expected))
    kinds = {"frames_iou": by_otsu, "frames_iou_at_half": at_half}
    return {name: statistics.fmean(map(statistics.fmean, ious.values())) for name, ious in kinds.items()}


def measure_rate(student: Student, pairs: Pairs, repeats: int) -> float:
    """Return the median of photos per second from files to soft masks, after a warm-up."""
    find_all(student, pairs[:64])
    return statistics.median(len(pairs) / time_call(lambda: find_all(student, pairs)) for _ in range(repeats))


def time_call(work: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def show(name: str, result: dict[str, float]) -> None:
    """Print one line of results."""
    print(f"{name:20}", *(f"{key} {value:.3f}" for key, value in result.items()), sep="  ", flush=True)


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
