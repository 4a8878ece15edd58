"""Curves by round, as coordinates for an SVG; the template draws them."""

from collections.abc import Sequence
from dataclasses import dataclass

from coarse2fine.report.run_summary import Story

WIDTH, HEIGHT = 340, 190
LEFT, RIGHT, TOP, BOTTOM = 44, 16, 22, 30
LABELED = 6
"""With more points than this only the first and the last say their value; of several curves the table tells it."""


@dataclass(frozen=True)
class Point:
    """One value, in coordinates of the SVG; ``tells`` whether its text is shown, ``anchor`` on which side of it."""

    x: float
    y: float
    text: str
    tells: bool
    anchor: str


@dataclass(frozen=True)
class Curve:
    """One line of a chart; ``number`` decides its look."""

    name: str
    number: int
    points: Sequence[Point]

    @property
    def path(self) -> str:
        """The line as an SVG path."""
        return " ".join(f"{'L' if index else 'M'}{one.x:.1f} {one.y:.1f}" for index, one in enumerate(self.points))


@dataclass(frozen=True)
class Chart:
    """A chart with its axes.

    Attributes:
        title: What it shows.
        summary: The same in words, for those who do not see it.
        curves: Its lines.
        x_ticks: Position and text.
        y_ticks: Position and text.
    """

    title: str
    summary: str
    curves: Sequence[Curve]
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]


def make_charts(story: Story) -> list[Chart]:
    """Curves of what a run knows: IoU where there is truth, quality, photos kept, loss."""
    rounds, photos = story.rounds, len(story.dataset.photos)
    kept: list[float | None] = [photos - len(one.reasons) if one.reasons is not None else None for one in rounds]
    ious = {
        "network, other photos": [one.main_metric for one in rounds],
        "training masks, network's": [one.masks_iou("refined" if one.number else "coarse") for one in rounds],
        "training masks, enhanced": [one.masks_iou("enhanced") for one in rounds],
    }
    charts = [
        _draw("IoU with the truth", ious, 1.0, "{:.2f}"),
        _draw("Quality, told without truth", {"mean score": [one.mean_quality for one in rounds]}, 1.0, "{:.2f}"),
        _draw("Photos kept after the round", {"photos": kept}, photos, "{:.0f}"),
        _draw("Training loss", {"cross-entropy": [one.loss for one in rounds]}, None, "{:.2f}"),
    ]
    return [chart for chart in charts if chart]


def _draw(title: str, values: dict[str, list[float | None]], top: float | None, form: str) -> Chart | None:
    """A chart from the values of each curve by round, from 0 to ``top``; None where there is no value."""
    known = {name: [(at, one) for at, one in enumerate(line) if one is not None] for name, line in values.items()}
    known = {name: line for name, line in known.items() if line}
    if not known:
        return None
    ends = [at for line in known.values() for at, _ in line]
    first, last = min(ends), max(ends)
    highest = top or 1.15 * max(one for line in known.values() for _, one in line) or 1.0

    def place(at: float, value: float) -> tuple[float, float]:
        share = (at - first) / (last - first) if last > first else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - value / highest * (HEIGHT - TOP - BOTTOM)

    curves = [
        Curve(name, number, [_point(place(at, one), form.format(one), at, line, len(known)) for at, one in line])
        for number, (name, line) in enumerate(known.items())
    ]
    step = max(1, -(-(last - first) // 10))
    x_ticks = [(place(at, 0)[0], f"{at}" if at else "start") for at in range(first, last + 1, step)]
    y_ticks = [(place(first, share * highest)[1], form.format(share * highest)) for share in (0, 0.5, 1)]
    told = [f"{name}: " + ", ".join(f"{at}: {form.format(one)}" for at, one in line) for name, line in known.items()]
    return Chart(title, "By round. " + ". ".join(told) + ".", curves, x_ticks, y_ticks)


def _point(place: tuple[float, float], text: str, at: int, line: Sequence[tuple[int, float]], curves: int) -> Point:
    tells = curves == 1 and (len(line) <= LABELED or at in (line[0][0], line[-1][0]))
    first, last = (at == line[end][0] for end in (0, -1))
    anchor = "middle" if first == last else "start" if first else "end"
    return Point(*place, text, tells, anchor)
