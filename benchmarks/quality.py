"""Does the quality score, estimated without ground truth, rank masks as the ground truth does?

    python benchmarks/quality.py --masks DIR --run RUN [--run RUN ...]

RUN is a finished run of ``coarse2fine fit``. DIR holds the ground-truth masks of its training photos, named like the
photos (PNG with the run's class indices, 255 ignored); photos without one do not count. Nothing is fitted.

For the score, each of its parts and some values that are no part of it, the benchmark prints Spearman's rank
correlation with the true IoU of the enhanced masks of the last round, and how far the mean IoU rises without the worst
10 % and 30 %. For the score, it also prints these values per class and for every second photo, and the mean true IoU by
tenths of the score. ``seconds`` is the time to measure the quality of one round, all photos of the run.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import keep
from numpy.typing import NDArray
from scipy.stats import spearmanr

from coarse2fine.evaluation.evaluate import evaluate_training_masks
from coarse2fine.evaluation.mask_quality import Quality, compute_score, list_rounds
from coarse2fine.masks.png import mask_path
from coarse2fine.pipeline.quality_stage import measure_round_quality
from coarse2fine.runtime.device import count_cores
from coarse2fine.runtime.threads import map_threads
from coarse2fine.store.photos import read_photos
from coarse2fine.store.run import Run
from coarse2fine.types import Photo

Floats = NDArray[np.float64]

PARTS: dict[str, Callable[[Quality], float | None]] = {
    "score": lambda one: one.score,
    "score without confidence": lambda one: compute_score(
        None, None, one.agreement_training_mask, one.agreement_enhanced_mask
    ),
    "score with confidence of this round": lambda one: compute_score(
        one.confidence, None, one.agreement_training_mask, one.agreement_enhanced_mask
    ),
    "confidence": lambda one: one.confidence,
    "confidence of the round before": lambda one: one.previous_confidence,
    "agreement with the training mask": lambda one: one.agreement_training_mask,
    "agreement with the enhanced mask": lambda one: (
        0.0 if one.agreement_enhanced_mask is None else one.agreement_enhanced_mask
    ),
    "not in score: area": lambda one: one.area_share,
    "not in score: few pieces": lambda one: -one.pieces,
    "not in score: little border": lambda one: -one.border_share,
}


def main() -> None:
    """Print a table for each run, then one line of JSON."""
    options = read_options()
    results = {run.name: measure_run(Run(run), options.masks, options.round) for run in options.run}
    keep(options.name, {"runs": results})


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, action="append", required=True, help="run folder of fit; may be repeated")
    parser.add_argument("--masks", type=Path, required=True, help="folder of ground-truth masks of the training photos")
    parser.add_argument("--round", type=int, help="round after which the masks are measured; default: the last")
    parser.add_argument("--name", default="quality", help="name of the result file")
    return parser.parse_args()


def measure_run(run: Run, ground_truth: Path, last: int | None) -> dict[str, Any]:
    """Compare the scores of one run after a round with the true IoUs."""
    rounds = list_rounds(run)[:last]
    by_name, seconds = measure_rounds(run, rounds)
    known = [photo for photo in read_photos(run).photos if mask_path(ground_truth, photo.name).exists()]
    folder = run.enhanced(rounds[-1])
    ious = np.array(list(map_threads(lambda photo: compute_iou(photo, folder, ground_truth), known, count_cores())))
    qualities = [by_name[photo.name] for photo in known]
    scores = np.array([one.score for one in qualities])
    labels = np.array([one.class_name for one in qualities])
    print(f"{run.root}, round {rounds[-1]}: {len(known)} photos", end=", ")
    print(f"mean IoU {ious.mean():.4f}, mean score {scores.mean():.4f}")
    print(f"{'':36}{'rank corr.':>11}{'without 10 %':>14}{'without 30 %':>14}")
    return {
        "photos": len(known),
        "round": rounds[-1],
        "mean_iou": round(float(ious.mean()), 4),
        "mean_score": round(float(scores.mean()), 4),
        "parts": {name: report_ranking(name, [part(one) for one in qualities], ious) for name, part in PARTS.items()}
        | {"ground truth": report_ranking("ground truth", list(ious), ious)},
        "classes": {
            name: report_ranking(f"class {name}", list(scores[labels == name]), ious[labels == name])
            for name in sorted(set(labels.tolist()))
        },
        "halves": {
            name: report_ranking(f"{name} photos", list(scores[first::2]), ious[first::2])
            for name, first in (("even", 0), ("odd", 1))
        },
        "iou_by_score": report_tenths(scores, ious),
        "drop_curve": {share: round(compute_rise(scores, ious, share / 100), 4) for share in range(10, 60, 10)},
        "quality_of_one_round": {"photos": len(by_name), "seconds": round(seconds, 1)},
    }


def measure_rounds(run: Run, rounds: Sequence[int]) -> tuple[dict[str, Quality], float]:
    """Return the qualities of the last round by name, and the mean seconds per round."""
    dataset, began = read_photos(run), time.perf_counter()
    confidence: dict[str, float | None] = {}
    for number in rounds:
        qualities = list(measure_round_quality(run, dataset, number, confidence, count_cores()))
        confidence = {one.photo: one.confidence for one in qualities}
    return {one.photo: one for one in qualities}, (time.perf_counter() - began) / len(rounds)


def compute_iou(photo: Photo, folder: Path, ground_truth: Path) -> float:
    """Compute the IoU of one photo's mask with its ground truth."""
    return evaluate_training_masks([photo], [folder], ground_truth, threads=1)[0][0]


def report_ranking(name: str, values: Sequence[float | None], ious: Floats) -> dict[str, float]:
    """Print and return how well values rank masks; empty if the run does not know a value."""
    if any(value is None for value in values):
        return {}
    ranks = np.array(values, dtype=np.float64)
    ranking = {
        "rank_correlation": round(float(spearmanr(ranks, ious).statistic), 4),
        "rise_without_10": round(compute_rise(ranks, ious, 0.1), 4),
        "rise_without_30": round(compute_rise(ranks, ious, 0.3), 4),
    }
    print(f"{name:36}" + "".join(f"{value:>12.3f}" for value in ranking.values()), flush=True)
    return ranking


def compute_rise(ranks: Floats, ious: Floats, share: float) -> float:
    """Compute how far the mean IoU rises without the lowest share of the ranks."""
    order = np.argsort(ranks, kind="stable")
    return float(ious[order[int(share * len(ious)) :]].mean() - ious.mean())


def report_tenths(scores: Floats, ious: Floats) -> dict[str, dict[str, float]]:
    """Print and return the number of photos and their mean true IoU by tenths of the score."""
    tenths = np.minimum(9, (10 * scores).astype(int))
    found = {}
    for tenth in np.unique(tenths):
        inside = ious[tenths == tenth]
        found[f"{tenth / 10:.1f}"] = {"photos": len(inside), "mean_iou": round(float(inside.mean()), 4)}
        print(f"score from {tenth / 10:.1f}: {len(inside):5} photos, mean true IoU {inside.mean():.3f}")
    return found


if __name__ == "__main__":
    main()
