"""Compare two runs on the same photos: their masks photo by photo, their figures and their settings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coarse2fine.data.photos import read_size
from coarse2fine.errors import DataError
from coarse2fine.masks.png import mask_path, read_mask
from coarse2fine.report.run_summary import RoundSummary, RunSummary
from coarse2fine.report.tables import summarize_class_rows
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import BACKGROUND, IGNORE, Mask, Photo

UNMATCHED = 254
"""Index of a class that the first run does not have."""


@dataclass(frozen=True)
class PhotoComparison:
    """The masks of one photo in both runs.

    Attributes:
        photo: The photo.
        iou: IoU of the two masks, 0 to 1; None if they cannot be compared.
        problem: Why not.
    """

    photo: Photo
    iou: float | None
    problem: str | None = None


@dataclass(frozen=True)
class Comparison:
    """Everything that the page about two runs shows.

    Attributes:
        first: The first run, "A" on the page.
        second: The second run, "B".
        lookups: For each run, the common class index of its class indices (:func:`match_classes`).
        photos: Photos of both runs with labels, those with the most different masks first, then those that cannot be
            compared.
        only_first: Number of photos that only the first run has.
        only_second: Number of photos that only the second run has.
    """

    first: RunSummary
    second: RunSummary
    lookups: tuple[NDArray[np.uint8], NDArray[np.uint8]]
    photos: Sequence[PhotoComparison]
    only_first: int
    only_second: int

    @property
    def ious(self) -> list[float]:
        """The IoUs of the photos that can be compared, from low to high."""
        return [one.iou for one in self.photos if one.iou is not None]

    @property
    def mean_iou(self) -> float | None:
        """Mean IoU of the two masks over all photos; None if no photo can be compared."""
        return float(np.mean(self.ious)) if self.ious else None


def compare_runs(first: RunSummary, second: RunSummary, threads: int) -> Comparison:
    """Compare the last masks of two runs.

    Photos are matched by their name in the run, classes by their name. If one of the runs separates foreground from
    background only, only that is compared.

    Args:
        first: A run, finished or not.
        second: Another run.
        threads: Number of photos that are read at the same time.

    Raises:
        DataError: It is the same run, a run has no masks yet, or the runs have no photo in common.
    """
    if first.run.root.resolve() == second.run.root.resolve():
        raise DataError(f"A run must be compared with another one, but {first.run.root} was given twice.")
    for summary in (first, second):
        if not summary.last.has_masks:
            raise DataError(f"{summary.run.root} must have masks to be compared, but has none yet. Let fit go on.")
    names = {photo.name for photo in second.dataset.labeled}
    common = [photo for photo in first.dataset.labeled if photo.name in names]
    if not common:
        raise DataError(
            f"Two runs must have photos of the same names to be compared, but {first.run.root} has "
            f"'{first.dataset.photos[0].name}', ... and {second.run.root} has '{second.dataset.photos[0].name}', ..."
        )
    lookups = match_classes(first.dataset.classes, second.dataset.classes)
    folders = [one.run.enhanced(one.last.number) for one in (first, second)]

    def compare(photo: Photo) -> PhotoComparison:
        try:
            one, other = (mask_path(folder, photo.name) for folder in folders)
            if read_size(one) != read_size(other):  # before they are decoded: one may be too large for the memory
                raise DataError("the masks differ in size: the photos of this name are not the same")
            masks = [lookup[read_mask(path)] for lookup, path in zip(lookups, (one, other), strict=True)]
            return PhotoComparison(photo, measure_iou(*masks))
        except DataError as error:
            return PhotoComparison(photo, None, str(error))

    compared = list(map_threads(compare, common, threads))
    compared.sort(key=lambda one: (one.iou is None, one.iou, one.photo.name))
    alone = [len(one.dataset.labeled) - len(common) for one in (first, second)]
    return Comparison(first, second, lookups, compared, *alone)


def match_classes(first: Sequence[str], second: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Match the classes of two runs by name.

    Args:
        first: Class names of a run by index, with background.
        second: Those of the other run.

    Returns:
        For each run the common class index of its class indices, shape (256,): the index in the first run, or
        `UNMATCHED`; 1 for every class if the runs have no class in common. Ignored pixels become background.
    """
    identity, lookup = np.arange(256, dtype=np.uint8), np.full(256, UNMATCHED, np.uint8)
    if set(first[1:]) & set(second[1:]):
        for index, name in enumerate(second):
            if name in first:
                lookup[index] = first.index(name)
    else:
        identity[1:] = lookup[:] = 1
    for one in (identity, lookup):
        one[[BACKGROUND, IGNORE]] = BACKGROUND
    return identity, lookup


def measure_iou(one: Mask, other: Mask) -> float:
    """Compute the IoU of two masks of several classes.

    Args:
        one: Class indices, shape (H, W).
        other: Class indices, shape (H, W).

    Returns:
        Pixels of the same class in both, as a share of the pixels that are foreground in at least one; 1 if both are
        empty.
    """
    union = np.count_nonzero((one != BACKGROUND) | (other != BACKGROUND))
    return np.count_nonzero((one == other) & (one != BACKGROUND)) / union if union else 1.0


def list_figures(first: RunSummary, second: RunSummary) -> list[tuple[str, Any, Any]]:
    """List the figures of two runs beside each other: name, value of the first run, value of the second."""

    def figures(summary: RunSummary) -> Iterator[tuple[str, Any]]:
        last, evaluated = summary.last, summary.evaluated
        yield "photos", len(summary.dataset.labeled)
        yield "finished", "yes" if summary.is_finished else "no"
        yield "coarse method", summary.coarse_choice.get("method", summary.settings["coarse"]["method"])
        yield "rounds", summary.total_rounds
        yield "masks compared", last.title if last.number else "enhanced, before round 1"
        yield "metric on other photos", _name_value(evaluated)
        yield "IoU of the training masks with the ground truth", last.masks_iou("enhanced")
        yield "mean quality score", last.mean_score
        yield "photos left out", last.left_out
        yield "computing time", summary.seconds

    pairs = zip(figures(first), figures(second), strict=True)
    return [(name, one, other) for (name, one), (_, other) in pairs]


def _name_value(evaluated: RoundSummary | None) -> str | None:
    if evaluated is None or evaluated.main_metric is None:
        return None
    return f"{evaluated.main_metric_name} {evaluated.main_metric:.3f}"


@dataclass(frozen=True)
class ClassComparison:
    """One class in both runs; None if a value is not known, pairs are of the first and the second run.

    Attributes:
        name: Name of the class.
        photos: Number of photos that were compared.
        agreement: Mean IoU of the masks of both runs, 0 to 1.
        scores: Mean quality scores, 0 to 1.
        ious: IoUs of the networks on other photos, 0 to 1.
    """

    name: str
    photos: int
    agreement: float | None
    scores: tuple[float | None, float | None]
    ious: tuple[float | None, float | None]


def compare_classes(comparison: Comparison) -> list[ClassComparison]:
    """Compare the classes of the first run, the one with the lowest agreement first."""
    own, others = (
        {row.name: row for row in summarize_class_rows(one)} for one in (comparison.first, comparison.second)
    )
    rows = []
    for label, name in enumerate(comparison.first.dataset.classes):
        found = [one.iou for one in comparison.photos if label in one.photo.labels and one.iou is not None]
        if found:
            pair = own.get(name), others.get(name)
            one, other = (row.mean_score if row else None for row in pair)
            iou, other_iou = (row.iou if row else None for row in pair)
            rows.append(ClassComparison(name, len(found), float(np.mean(found)), (one, other), (iou, other_iou)))
    return sorted(rows, key=lambda row: (row.agreement, row.name))


def list_different_settings(first: RunSummary, second: RunSummary) -> list[tuple[str, Any, Any]]:
    """List the settings that differ: full name, value in the first run, value in the second; None if it has none."""
    one, other = dict(_flatten(first.settings)), dict(_flatten(second.settings))
    names = [*one, *(name for name in other if name not in one)]
    return [(name, one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name)]


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
