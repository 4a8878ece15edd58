"""Which photos a report shows: always the same ones of a run, few enough for a page, doubtful and good ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from coarse2fine.evaluation.mask_quality import Quality, group_by_class, summarize_classes
from coarse2fine.types import Photo

Item = TypeVar("Item")

PICTURES = 280
"""Pictures of rows, at most; a page of them stays below 3 MB."""

COLUMNS = 8
"""Pictures in a row, at most."""

EACH = 6
"""Doubtful rows of a class, at most, and as many good ones."""

OUTER_SHARE = 0.3
"""Doubtful is this share of a class with the lowest scores, good that with the highest."""


@dataclass(frozen=True)
class Sample:
    """Some photos of a class.

    Attributes:
        class_name: The class.
        kind: ``doubtful``, ``good``, or ``some`` where nothing is known about quality.
        photos: The photos, most doubtful first.
    """

    class_name: str
    kind: str
    photos: Sequence[Photo]


def pick_evenly(items: Sequence[Item], most: int) -> list[Item]:
    """Up to ``most`` items at even distances, with the first and the last."""
    if len(items) <= most:
        return list(items)
    if most == 1:
        return [items[0]]
    return [items[round(index * (len(items) - 1) / (most - 1))] for index in range(most)]


def pick_samples(
    photos: Sequence[Photo], classes: Sequence[str], qualities: Mapping[str, Quality], columns: int
) -> list[Sample]:
    """Choose doubtful and good photos of every class; of many classes those of the lowest quality.

    Args:
        photos: All of them.
        classes: Names by index.
        qualities: By name of the photo; those of ``photos`` that are not in it are not shown, unless it is empty.
        columns: Pictures in a row.
    """
    rows, by_name = PICTURES // columns, {photo.name: photo for photo in photos}
    known = [one for name, one in qualities.items() if name in by_name]
    if not known:
        return _pick_some(photos, classes, rows)
    groups = group_by_class(known)
    worst_first = sorted(summarize_classes(known), key=lambda one: (one.score, one.class_name))
    shown = sorted(one.class_name for one in worst_first[: max(1, rows // 2)])
    each = max(1, min(EACH, rows // (2 * len(shown))))
    samples = []
    for name in shown:
        ranked = [by_name[one.photo] for one in groups[name]]
        outer = max(1, round(OUTER_SHARE * len(ranked)))
        good = ranked[max(outer, len(ranked) - outer) :]
        samples.append(Sample(name, "doubtful", pick_evenly(ranked[:outer], each)))
        samples.append(Sample(name, "good", pick_evenly(good, each)))
    return [sample for sample in samples if sample.photos]


def _pick_some(photos: Sequence[Photo], classes: Sequence[str], rows: int) -> list[Sample]:
    by_label: dict[int, list[Photo]] = {}
    for photo in photos:
        by_label.setdefault(photo.label, []).append(photo)
    shown = pick_evenly(sorted(by_label), rows)
    each = max(1, min(EACH, rows // max(1, len(shown))))
    return [Sample(classes[label], "some", pick_evenly(by_label[label], each)) for label in shown]
