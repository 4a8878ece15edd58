"""Compute the line charts of the report as coordinates of an SVG; the template draws them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from coarse2fine.report.run_summary import RunSummary

WIDTH, HEIGHT = 340, 190
LEFT, RIGHT, TOP, BOTTOM = 44, 16, 22, 30

MAX_LABELED = 6
"""A curve with more points shows the values of its first and last point only."""

Values = Sequence[float | None]
"""One value per round, from round 0; None if it is not known."""


@dataclass(frozen=True)
class Point:
    """One value of a curve.

    Attributes:
        x: Position in the SVG.
        y: Position in the SVG.
        text: The value.
        shows_text: Whether the value is written beside the point.
        anchor: Alignment of the text: ``start``, ``middle`` or ``end``.
    """

    x: float
    y: float
    text: str
    shows_text: bool
    anchor: str


@dataclass(frozen=True)
class Curve:
    """One line of a chart; ``number`` selects its color and dashes."""

    name: str
    number: int
    points: Sequence[Point]

    @property
    def path(self) -> str:
        """The line as an SVG path."""
        return " ".join(
            f"{'L' if index else 'M'}{point.x:.1f} {point.y:.1f}" for index, point in enumerate(self.points)
        )


@dataclass(frozen=True)
class Chart:
    """A line chart.

    Attributes:
        title: Title of the chart.
        summary: All values as text, for screen readers.
        curves: Lines of the chart.
        x_ticks: Position and text of each tick.
        y_ticks: Position and text of each tick.
    """

    title: str
    summary: str
    curves: Sequence[Curve]
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]


def make_charts(summary: RunSummary) -> list[Chart]:
    """Make the charts of a run by round: IoU, quality score, photos kept and training loss, if they are known."""
    rounds, photos = summary.rounds, len(summary.dataset.photos)
    ious: dict[str, Values] = {
        "network on other photos": [one.main_metric for one in rounds],
        "training masks, predicted": [one.masks_iou("refined" if one.number else "coarse") for one in rounds],
        "training masks, enhanced": [one.masks_iou("enhanced") for one in rounds],
    }
    kept: Values = [photos - len(one.reasons) if one.reasons is not None else None for one in rounds]
    charts = [
        _draw("IoU with the ground truth", ious, 1.0, "{:.2f}"),
        _draw("Mean quality score of the masks", {"score": [one.mean_score for one in rounds]}, 1.0, "{:.2f}"),
        _draw("Photos kept for the next round", {"photos": kept}, photos, "{:.0f}"),
        _draw("Training loss", {"loss": [one.loss for one in rounds]}, None, "{:.2f}"),
    ]
    return [chart for chart in charts if chart]


def _draw(title: str, values: dict[str, Values], top: float | None, form: str) -> Chart | None:
    """Draw curves by round, from 0 to ``top`` (None: above the highest value); None without values."""
    known = {name: [(at, value) for at, value in enumerate(line) if value is not None] for name, line in values.items()}
    known = {name: line for name, line in known.items() if line}
    if not known:
        return None
    ends = [at for line in known.values() for at, _ in line]
    first, last = min(ends), max(ends)
    highest = top or _round_up(1.1 * max(value for line in known.values() for _, value in line))

    def place(at: float, value: float) -> tuple[float, float]:
        share = (at - first) / (last - first) if last > first else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - value / highest * (HEIGHT - TOP - BOTTOM)

    curves = [
        Curve(
            name,
            number,
            [_point(place(at, value), form.format(value), at, line, len(known) == 1) for at, value in line],
        )
        for number, (name, line) in enumerate(known.items())
    ]
    step = max(1, -(-(last - first) // 10))
    x_ticks = [(place(at, 0)[0], f"{at}" if at else "start") for at in range(first, last + 1, step)]
    y_ticks = [(place(first, share * highest)[1], form.format(share * highest)) for share in (0, 0.5, 1)]
    lines = [
        f"{name}: " + ", ".join(f"{at}: {form.format(value)}" for at, value in line) for name, line in known.items()
    ]
    return Chart(title, "By round. " + ". ".join(lines) + ".", curves, x_ticks, y_ticks)


def _round_up(value: float) -> float:
    """Round up to a number with half of it easy to read, such as 0.6, 1.2 or 20."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    return next(step * unit for step in (1, 1.2, 1.6, 2, 3, 4, 6, 8, 10) if step * unit >= value)


def _point(place: tuple[float, float], text: str, at: int, line: Sequence[tuple[int, float]], is_alone: bool) -> Point:
    """Make a point; only a chart with a single curve has space for values beside the points."""
    shows_text = is_alone and (len(line) <= MAX_LABELED or at in (line[0][0], line[-1][0]))
    first, last = (at == line[end][0] for end in (0, -1))
    anchor = "middle" if first == last else "start" if first else "end"
    return Point(*place, text, shows_text, anchor)
