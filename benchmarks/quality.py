"""Does the quality that a run tells without truth rank its masks as the truth does?

    python benchmarks/quality.py --masks DIR --run RUN [--run RUN ...]

RUN is a finished run of ``coarse2fine fit``; masks are the true ones of its training photos (PNG in its class indices,
255 ignored), named like the photos; photos without one do not count. Nothing is fitted. For the score, for each part of
it and for some figures that are no part of it: Spearman's rank correlation with the true IoU of the enhanced masks of
the last round, and how far the mean IoU rises when the worst 10 % and 30 % are dropped; for the score also per class,
for every second photo, without the network's scores, and the mean true IoU by tenths of the score. ``seconds`` is what
judging one round takes, all photos of the run.
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
from coarse2fine.evaluation.mask_quality import Quality, list_rounds, score_mask
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
    "score without network's scores": lambda one: score_mask(
        None, None, one.agreement_training_mask, one.agreement_enhanced_mask
    ),
    "score, confidence of this round alone": lambda one: score_mask(
        one.confidence, None, one.agreement_training_mask, one.agreement_enhanced_mask
    ),
    "confidence": lambda one: one.confidence,
    "confidence, round before": lambda one: one.previous_confidence,
    "agreement with what it learned from": lambda one: one.agreement_training_mask,
    "agreement with its enhancement": lambda one: (
        0.0 if one.agreement_enhanced_mask is None else one.agreement_enhanced_mask
    ),
    "no part: area": lambda one: one.area,
    "no part: few pieces": lambda one: -one.pieces,
    "no part: off the border": lambda one: -one.border,
}


def main() -> None:
    """Print a table for each run, then one line of JSON."""
    options = read_options()
    results = {run.name: measure(Run(run), options.masks, options.round) for run in options.run}
    keep(options.name, {"runs": results})


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, action="append", required=True, help="run folder of fit; may be repeated")
    parser.add_argument("--masks", type=Path, required=True, help="true masks of the training photos")
    parser.add_argument("--round", type=int, help="judged are the masks after this round; default: the last")
    parser.add_argument("--name", default="quality", help="of the result")
    return parser.parse_args()


def measure(run: Run, truth: Path, last: int | None) -> dict[str, Any]:
    """All figures of one run after a round."""
    rounds = list_rounds(run)[:last]
    qualities, seconds = judge(run, rounds)
    known = [photo for photo in read_photos(run).photos if mask_path(truth, photo.name).exists()]
    folder = run.enhanced(rounds[-1])
    ious = np.array(list(map_threads(lambda photo: true_iou(photo, folder, truth), known, count_cores())))
    judged = [qualities[photo.name] for photo in known]
    print(f"{run.root}, round {rounds[-1]}: {len(known)} photos", end=", ")
    print(f"mean IoU {ious.mean():.4f}, mean score {mean_score(judged):.4f}")
    print(f"{'':36}{'rank corr.':>11}{'without 10 %':>14}{'without 30 %':>14}")
    rows = {name: tell(name, [part(one) for one in judged], ious) for name, part in PARTS.items()}
    rows["the truth itself"] = tell("the truth itself", list(ious), ious)
    scores, names = [one.score for one in judged], sorted({one.class_name for one in judged})
    labels = np.array([one.class_name for one in judged])
    classes = {name: tell(f"class {name}", pick(scores, labels == name), ious[labels == name]) for name in names}
    halves = {
        name: tell(f"{name} photos", scores[first::2], ious[first::2]) for name, first in (("even", 0), ("odd", 1))
    }
    return {
        "photos": len(known),
        "round": rounds[-1],
        "mean_iou": round(float(ious.mean()), 4),
        "mean_score": round(mean_score(judged), 4),
        "parts": rows,
        "classes": classes,
        "halves": halves,
        "iou_by_score": tell_tenths(np.array(scores), ious),
        "drop_curve": {share: round(rise(np.array(scores), ious, share / 100), 4) for share in range(10, 60, 10)},
        "judging": {"photos": len(qualities), "seconds": round(seconds, 1)},
    }


def judge(run: Run, rounds: Sequence[int]) -> tuple[dict[str, Quality], float]:
    """Quality of the last round by name, and the seconds that a round takes, on average."""
    dataset, began = read_photos(run), time.perf_counter()
    before: dict[str, float | None] = {}
    for number in rounds:
        judged = list(measure_round_quality(run, dataset, number, before, count_cores()))
        before = {one.photo: one.confidence for one in judged}
    return {one.photo: one for one in judged}, (time.perf_counter() - began) / len(rounds)


def true_iou(photo: Photo, folder: Path, truth: Path) -> float:
    """IoU of one photo's mask with its true mask."""
    return evaluate_training_masks([photo], folder, truth, threads=1)[0]


def mean_score(judged: Sequence[Quality]) -> float:
    """Mean score."""
    return float(np.mean([one.score for one in judged]))


def pick(values: Sequence[float], chosen: NDArray[np.bool_]) -> list[float]:
    """The chosen values."""
    return [value for value, wanted in zip(values, chosen, strict=True) if wanted]


def tell(name: str, values: Sequence[float | None], ious: Floats) -> dict[str, float]:
    """Print and return how well values rank masks; nothing where a run does not know them."""
    if any(value is None for value in values):
        return {}
    ranks = np.array(values, dtype=np.float64)
    figures = {
        "rank_correlation": round(float(spearmanr(ranks, ious).statistic), 4),
        "rise_without_10": round(rise(ranks, ious, 0.1), 4),
        "rise_without_30": round(rise(ranks, ious, 0.3), 4),
    }
    print(f"{name:36}" + "".join(f"{value:>12.3f}" for value in figures.values()), flush=True)
    return figures


def rise(ranks: Floats, ious: Floats, share: float) -> float:
    """How far the mean IoU rises without the lowest share of the ranks."""
    order = np.argsort(ranks, kind="stable")
    return float(ious[order[int(share * len(ious)) :]].mean() - ious.mean())


def tell_tenths(scores: Floats, ious: Floats) -> dict[str, dict[str, float]]:
    """Number of photos and mean true IoU by tenths of the score."""
    tenths = np.minimum(9, (10 * scores).astype(int))
    found = {}
    for tenth in np.unique(tenths):
        inside = ious[tenths == tenth]
        found[f"{tenth / 10:.1f}"] = {"photos": len(inside), "mean_iou": round(float(inside.mean()), 4)}
        print(f"score from {tenth / 10:.1f}: {len(inside):5} photos, mean true IoU {inside.mean():.3f}")
    return found


if __name__ == "__main__":
    main()
