"""Select the photos that the report shows: the same ones each time, few enough for a page."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from coarse2fine.evaluation.mask_quality import Quality, group_by_class, summarize_classes
from coarse2fine.types import Photo

Item = TypeVar("Item")

MAX_PICTURES = 280
"""Maximum number of pictures in rows; a page with that many stays below 3 MB."""

MAX_COLUMNS = 8
"""Maximum number of pictures in a row."""

MAX_ROWS_EACH = 6
"""Maximum number of rows with low scores per class, and of rows with high scores."""

OUTER_SHARE = 0.3
"""Share of a class that counts as low scores, and as high scores."""


@dataclass(frozen=True)
class PhotoSelection:
    """Selected photos of a class.

    Attributes:
        class_name: Name of the class.
        kind: ``lowest scores``, ``highest scores``, or ``examples`` if no scores are known.
        photos: The photos, from the lowest score to the highest.
    """

    class_name: str
    kind: str
    photos: Sequence[Photo]


def pick_evenly(items: Sequence[Item], most: int) -> list[Item]:
    """Pick up to ``most`` items at equal distances, with the first and the last one."""
    if len(items) <= most:
        return list(items)
    if most == 1:
        return [items[0]]
    return [items[round(index * (len(items) - 1) / (most - 1))] for index in range(most)]


def select_photos(
    photos: Sequence[Photo],
    classes: Sequence[str],
    qualities: Mapping[str, Quality],
    columns: int,
    left_out: Container[str] = (),
) -> list[PhotoSelection]:
    """Select photos with low and with high scores of every class; of many classes, those with the lowest mean score.

    Args:
        photos: All photos.
        classes: Class names by index.
        qualities: Estimated quality by name of the photo. Photos without one are not selected, unless it is empty.
        columns: Number of pictures in a row.
        left_out: Names of photos that are left out of training; they are not shown among the highest scores.

    Returns:
        Selections with at most `MAX_PICTURES` pictures in total.
    """
    rows, by_name = MAX_PICTURES // columns, {photo.name: photo for photo in photos}
    known = [quality for name, quality in qualities.items() if name in by_name]
    if not known:
        return _select_examples(photos, classes, rows)
    groups = group_by_class(known)
    worst_first = sorted(summarize_classes(known), key=lambda one: (one.mean_score, one.class_name))
    shown = sorted(one.class_name for one in worst_first[: max(1, rows // 2)])
    each = max(1, min(MAX_ROWS_EACH, rows // (2 * len(shown))))
    selections = []
    for name in shown:
        ranked = [by_name[quality.photo] for quality in groups[name]]
        outer = max(1, round(OUTER_SHARE * len(ranked)))
        high = [photo for photo in ranked[max(outer, len(ranked) - outer) :] if photo.name not in left_out]
        selections.append(PhotoSelection(name, "lowest scores", pick_evenly(ranked[:outer], each)))
        selections.append(PhotoSelection(name, "highest scores", pick_evenly(high, each)))
    return [selection for selection in selections if selection.photos]


def _select_examples(photos: Sequence[Photo], classes: Sequence[str], rows: int) -> list[PhotoSelection]:
    by_label: dict[int, list[Photo]] = {}
    for photo in photos:
        for label in photo.labels:
            by_label.setdefault(label, []).append(photo)
    shown = pick_evenly(sorted(by_label), rows)
    each = max(1, min(MAX_ROWS_EACH, rows // max(1, len(shown))))
    return [PhotoSelection(classes[label], "examples", pick_evenly(by_label[label], each)) for label in shown]
