"""Write the comparison of two runs: one self-contained HTML page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coarse2fine.evaluation.mask_quality import Quality
from coarse2fine.masks.palette import draw_layer
from coarse2fine.report.comparison import (
    Comparison,
    PhotoComparison,
    compare_classes,
    compare_runs,
    list_different_settings,
    list_figures,
)
from coarse2fine.report.run_summary import RoundSummary, RunSummary
from coarse2fine.report.template import render_template
from coarse2fine.report.thumbnails import ALPHA, PhotoColumns, PictureRow, Size, draw_row, read_small_mask
from coarse2fine.runtime.files import write_text
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import BACKGROUND, Mask, Photo

TEMPLATE = "comparison.html.j2"

MAX_ROWS = 60
"""Maximum number of photos that are shown; a page with so many stays below 5 MB."""

MAX_NAMED = 200
"""Maximum number of photos that are listed by name."""

DIFFERENCE_COLORS = {"first": (40, 130, 255), "second": (255, 140, 0), "class": (255, 0, 200)}
"""Colors of pixels that are foreground in the first mask only, in the second only, or of different classes."""

DIFFERENCE_ALPHA = 0.7


@dataclass(frozen=True)
class ComparisonRow:
    """A photo of the page; pairs are of the first and the second run.

    Attributes:
        name: Name of the photo.
        iou: IoU of the two masks; None if they cannot be compared.
        problem: Why not.
        qualities: Estimated quality of each mask.
        reasons: Why each run leaves out the photo.
        drawn: The pictures.
    """

    name: str
    iou: float | None
    problem: str | None
    qualities: Sequence[Quality | None]
    reasons: Sequence[str | None]
    drawn: PictureRow


def write_comparison(first: RunSummary, second: RunSummary, out: Path, threads: int) -> Comparison:
    """Write the page that compares two runs.

    Args:
        first: A run, finished or not.
        second: Another run with photos of the same names.
        out: The HTML file.
        threads: Number of photos that are read or drawn at the same time.

    Returns:
        What the page shows.

    Raises:
        DataError: The runs cannot be compared, or the page cannot be written.
    """
    comparison = compare_runs(first, second, threads)
    write_text(out, render_template(TEMPLATE, _collect(comparison, threads)))
    return comparison


def _collect(comparison: Comparison, threads: int) -> dict[str, Any]:
    first, second = comparison.first, comparison.second
    columns = _list_columns(comparison)
    keyed = list(enumerate(comparison.photos[:MAX_ROWS]))
    rows = map_threads(lambda one: _draw(comparison, one[1], columns, f"p{one[0]}"), keyed, threads)
    ious = comparison.ious
    fifths = [min(4, int(5 * iou)) for iou in ious]
    rounds = range(max(first.total_rounds, second.total_rounds) + 1)
    return {
        "names": _name_runs(first, second),
        "comparison": comparison,
        "figures": list_figures(first, second),
        "rounds": [(number, *(_find_round(one, number) for one in (first, second))) for number in rounds],
        "has_metric": bool(first.evaluated or second.evaluated),
        "metric": (first.evaluated or second.evaluated or first.last).main_metric_name,
        "has_iou": any(one.masks_iou("enhanced") is not None for run in (first, second) for one in run.rounds),
        "has_score": any(one.mean_score is not None for run in (first, second) for one in run.rounds),
        "classes": compare_classes(comparison),
        "settings": list_different_settings(first, second),
        "spread": [(fifth / 5, (fifth + 1) / 5, fifths.count(fifth)) for fifth in range(5)] if ious else [],
        "rows": list(rows),
        "named": comparison.photos[MAX_ROWS : MAX_ROWS + MAX_NAMED],
        "colors": {name: f"rgb{color}" for name, color in DIFFERENCE_COLORS.items()},
    }


def _name_runs(first: RunSummary, second: RunSummary) -> tuple[str, str]:
    """Name two runs by their folders, with the folder around them if both have the same name."""
    one, other = first.run.root.resolve(), second.run.root.resolve()
    if one.name != other.name:
        return one.name, other.name
    return f"{one.parent.name}/{one.name}", f"{other.parent.name}/{other.name}"


def _find_round(summary: RunSummary, number: int) -> RoundSummary | None:
    return summary.rounds[number] if number <= summary.total_rounds else None


def _list_columns(comparison: Comparison) -> PhotoColumns:
    runs = (comparison.first, comparison.second)
    folders = [one.run.enhanced(one.last.number) for one in runs]

    def read(index: int, photo: Photo, size: Size, small_size: Size) -> Mask:
        return comparison.lookups[index][read_small_mask(folders[index], photo, size, small_size)]

    return [
        ("photo", None),
        ("A", lambda *one: draw_layer(read(0, *one), ALPHA)),
        ("B", lambda *one: draw_layer(read(1, *one), ALPHA)),
        ("difference", lambda *one: draw_difference(read(0, *one), read(1, *one))),
    ]


def draw_difference(one: Mask, other: Mask) -> NDArray[np.uint8]:
    """Draw where two masks differ, in `DIFFERENCE_COLORS`.

    Args:
        one: Class indices, shape (H, W).
        other: Class indices, shape (H, W).

    Returns:
        RGBA, 0 to 255, shape (H, W, 4); transparent where the masks are equal.
    """
    layer = np.zeros((*one.shape, 4), np.uint8)
    where = {
        "first": (one != BACKGROUND) & (other == BACKGROUND),
        "second": (one == BACKGROUND) & (other != BACKGROUND),
        "class": (one != other) & (one != BACKGROUND) & (other != BACKGROUND),
    }
    for name, pixels in where.items():
        layer[pixels] = (*DIFFERENCE_COLORS[name], round(255 * DIFFERENCE_ALPHA))
    return layer


def _draw(comparison: Comparison, compared: PhotoComparison, columns: PhotoColumns, key: str) -> ComparisonRow:
    name = compared.photo.name
    lasts = comparison.first.last, comparison.second.last
    qualities = [last.qualities.get(name) for last in lasts]
    reasons = [(last.reasons or {}).get(name) for last in lasts]
    drawn = draw_row(compared.photo, columns, key)
    return ComparisonRow(name, compared.iou, compared.problem, qualities, reasons, drawn)
