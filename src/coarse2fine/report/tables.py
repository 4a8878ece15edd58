"""Compute the tables of the report: classes, reasons, scores and confusions."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from coarse2fine.errors import DataError
from coarse2fine.evaluation.mask_quality import Quality, summarize_classes
from coarse2fine.report.run_summary import RunSummary
from coarse2fine.types import FOREGROUND_CLASSES

MAX_MATRIX_CLASSES = 16
"""A confusion matrix with more classes is not shown; its largest entries are listed instead."""

MAX_CONFUSIONS = 20
"""Maximum number of confusions that are listed."""


@dataclass(frozen=True)
class ClassRow:
    """Results of one class; None if a value is not known.

    Attributes:
        name: Name of the class.
        photos: Number of photos.
        kept: Number of photos kept for the next round.
        mean_score: Mean quality score of its masks, 0 to 1.
        score_std: Standard deviation of the scores.
        iou: IoU of the network on other photos, 0 to 1.
    """

    name: str
    photos: int
    kept: int | None
    mean_score: float | None
    score_std: float | None
    iou: float | None


@dataclass(frozen=True)
class Confusion:
    """Share of the pixels of class ``actual`` that were predicted as class ``predicted``."""

    actual: str
    predicted: str
    share: float


def summarize_class_rows(summary: RunSummary) -> list[ClassRow]:
    """Summarize every class, sorted by mean score from low to high; classes without a score follow by name."""
    dataset, last = summary.dataset, summary.last
    counts = Counter(label for photo in dataset.photos for label in photo.labels)
    left_out = [photo for photo in dataset.photos if photo.name in (last.reasons or {})]
    gone = Counter(label for photo in left_out for label in photo.labels)
    scored = {one.class_name: one for one in summarize_classes(list(last.qualities.values()))}
    evaluation = summary.evaluated.evaluation if summary.evaluated else None
    ious = evaluation["iou"] if evaluation else {}
    rows = [
        ClassRow(
            name,
            photos=counts[label],
            kept=None if last.reasons is None else counts[label] - gone[label],
            mean_score=scored[name].mean_score if name in scored else None,
            score_std=scored[name].score_std if name in scored else None,
            iou=ious.get(name),
        )
        for label, name in enumerate(dataset.classes)
        if label
    ]
    return sorted(rows, key=lambda row: (row.mean_score is None, row.mean_score, row.name))


def reason_kind(reason: str) -> str:
    """Remove the photo's own number from a reason.

    ``foreground 0.4 % is below 1 %`` becomes ``foreground below 1 % of the photo``; ``foreground is empty`` stays.
    """
    return re.sub(r"^(\w+) [\d.e-]+ % is (.*)$", r"\1 \2 of the photo", reason)


def count_reasons(reasons: Mapping[str, str]) -> list[tuple[str, int]]:
    """Count the left-out photos of each kind of reason, the most frequent kind first."""
    counts = Counter(reason_kind(reason) for reason in reasons.values())
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def count_scores(qualities: Sequence[Quality]) -> list[tuple[float, float, int]]:
    """Count the scores in each fifth of the range 0 to 1: lower end, upper end, number; empty without scores."""
    fifths = Counter(min(4, int(5 * quality.score)) for quality in qualities)
    return [(fifth / 5, (fifth + 1) / 5, fifths[fifth]) for fifth in range(5)] if qualities else []


def make_matrix(summary: RunSummary) -> list[tuple[str, list[float | None]]]:
    """Return the confusion matrix of the last evaluated network, each row divided by its sum.

    Returns:
        Class name and shares of each row; None in a row without pixels; empty with more than `MAX_MATRIX_CLASSES`.
    """
    names, matrix = _read_matrix(summary)
    if len(names) > MAX_MATRIX_CLASSES:
        return []
    return [
        (name, [pixels / sum(row) if sum(row) else None for pixels in row])
        for name, row in zip(names, matrix, strict=True)
    ]


def find_confusions(summary: RunSummary) -> list[Confusion]:
    """Find the most frequent confusions, as shares of the pixels of the actual class."""
    names, matrix = _read_matrix(summary)
    found = [
        Confusion(names[row], names[column], pixels / sum(counts))
        for row, counts in enumerate(matrix)
        for column, pixels in enumerate(counts)
        if row != column and pixels
    ]
    return sorted(found, key=lambda one: (-one.share, one.actual, one.predicted))[:MAX_CONFUSIONS]


def _read_matrix(summary: RunSummary) -> tuple[list[str], list[list[int]]]:
    evaluation = summary.evaluated.evaluation if summary.evaluated else None
    if not summary.evaluated or not evaluation:
        return [], []
    classes = summary.dataset.classes
    names = classes if set(evaluation["iou"]) == set(classes) else FOREGROUND_CLASSES
    matrix = evaluation.get("confusion_matrix", [])
    if {len(matrix), *map(len, matrix)} != {len(names)}:
        raise DataError(
            f"The confusion matrix in {summary.run.metrics(summary.evaluated.number)} must have a row and a column for "
            f"each of {len(names)} classes, but has others. Delete the file and run fit again."
        )
    return list(names), matrix
