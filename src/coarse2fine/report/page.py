"""A run folder as one page: self-contained, readable on a phone and in the dark, quick for any number of photos."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from coarse2fine.evaluation.mask_quality import Quality, summarize_classes
from coarse2fine.report import charts
from coarse2fine.report.hints import find_hints
from coarse2fine.report.photo_selection import COLUMNS, Sample, pick_evenly, pick_samples
from coarse2fine.report.run_summary import Round, Story, read_story
from coarse2fine.report.thumbnails import Picture, draw_row
from coarse2fine.runtime.console import format_seconds
from coarse2fine.runtime.files import write_text
from coarse2fine.runtime.threads import map_threads
from coarse2fine.store.run import Run
from coarse2fine.types import FOREGROUND_CLASSES, Dataset, Photo

TEMPLATE = "page.html.j2"

LEFT_OUT_SHOWN = 24
"""Photos left out that are shown, at most; of every reason some."""

SKIPPED_SHOWN = 30
"""Unusable files that are named, at most."""

MATRIX_CLASSES = 16
"""A confusion matrix of more classes is told by its largest entries."""

CONFUSIONS_SHOWN = 20
DOUBTFUL_NAMED = 50


@dataclass(frozen=True)
class Row:
    """A photo of the page: what was made of it, and what is known about it."""

    name: str
    quality: Quality | None
    reason: str | None
    note: str | None
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Group:
    """Photos of one class that are shown together."""

    class_name: str
    kind: str
    rows: Sequence[Row]


@dataclass(frozen=True)
class ClassRow:
    """One class: photos, photos kept, quality (mean, spread) and IoU on other photos; None where it is not known."""

    name: str
    photos: int
    kept: int | None
    quality: float | None
    spread: float | None
    iou: float | None


@dataclass(frozen=True)
class Confusion:
    """Share of a true class's pixels that another class was found for."""

    true: str
    found: str
    share: float


def write_report(run: Run, dataset: Dataset, out: Path, threads: int) -> None:
    """Write the page of a run, finished or not.

    Args:
        run: The run folder.
        dataset: Its photos.
        out: The HTML file.
        threads: Photos drawn at the same time.

    Raises:
        DataError: The folder is no run, a file in it is damaged, or the page cannot be written.
    """
    write_text(out, render(read_story(run, dataset), threads))


def render(story: Story, threads: int) -> str:
    """The page as HTML, the same for the same run."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"figure": _figure, "duration": format_seconds, "count": lambda number: f"{number:,}"}
    template = (resources.files("coarse2fine") / "report" / TEMPLATE).read_text(encoding="utf-8")
    columns = list_columns(story)
    samples = pick_samples(story.dataset.photos, story.dataset.classes, story.last.qualities, len(columns))
    groups = draw_groups(story, samples, columns, threads)
    left_out = list_left_out(story)
    return environment.from_string(template).render(
        story=story,
        charts=charts.make_charts(story),
        chart=charts,
        groups=groups,
        shown=sum(len(group.rows) for group in groups),
        left_out=draw_left_out(story, left_out, threads),
        reasons=[(one, count_reasons(one.reasons)) for one in story.rounds if one.reasons],
        skipped=story.dataset.skipped[:SKIPPED_SHOWN],
        classes=describe_classes(story),
        measured=find_measured(story),
        matrix=find_matrix(story),
        confusions=find_confusions(story),
        spread=count_scores(list(story.last.qualities.values())),
        doubtful=sorted(story.last.qualities.values(), key=lambda one: (one.score, one.photo))[:DOUBTFUL_NAMED],
        hints=find_hints(story),
        missing=[step.name for step in story.steps if not step.done],
        versions=next((step.done.get("versions", {}) for step in reversed(story.steps) if step.done), {}),
    )


def list_columns(story: Story) -> list[tuple[str, Path | None]]:
    """Pictures of a row: the photo, the coarse and the enhanced mask, and the enhanced mask of some rounds."""
    run = story.run
    done = [one.number for one in story.rounds if one.has_masks and one.number]
    fixed: list[tuple[str, Path | None]] = [("photo", None), ("coarse", run.coarse), ("enhanced", run.enhanced(0))]
    return fixed + [(f"round {number}", run.enhanced(number)) for number in pick_evenly(done, COLUMNS - len(fixed))]


def draw_groups(
    story: Story, samples: Sequence[Sample], columns: Sequence[tuple[str, Path | None]], threads: int
) -> list[Group]:
    """Draw the photos of the samples."""
    photos = [photo for sample in samples for photo in sample.photos]
    rows = map_threads(lambda photo: describe(story, photo, draw_row(photo, columns)), photos, threads)
    return [Group(sample.class_name, sample.kind, [next(rows) for _ in sample.photos]) for sample in samples]


def describe(story: Story, photo: Photo, pictures: Sequence[Picture]) -> Row:
    """What is known about a photo after the last round, with its pictures."""
    last = story.last
    reason = (last.reasons or {}).get(photo.name)
    return Row(photo.name, last.qualities.get(photo.name), reason, last.notes.get(photo.name), pictures)


def list_left_out(story: Story) -> dict[str, str]:
    """Photos that the last round left out, and why."""
    decided = [one.reasons for one in story.rounds if one.reasons is not None]
    return dict(decided[-1]) if decided else {}


def draw_left_out(story: Story, left_out: Mapping[str, str], threads: int) -> list[Row]:
    """Draw some of the photos left out, of every reason some, with the network's mask that was judged."""
    decided = [one.number for one in story.rounds if one.reasons is not None]
    by_kind: dict[str, list[str]] = {}
    for name, reason in sorted(left_out.items()):
        by_kind.setdefault(kind_of(reason), []).append(name)
    each = max(1, LEFT_OUT_SHOWN // max(1, len(by_kind)))
    names = [name for _, group in sorted(by_kind.items()) for name in pick_evenly(group, each)][:LEFT_OUT_SHOWN]
    photos = {photo.name: photo for photo in story.dataset.photos}
    shown = [photos[name] for name in names if name in photos]
    column = [("network's mask", story.run.refined(decided[-1]))] if shown else []
    return list(map_threads(lambda photo: describe(story, photo, draw_row(photo, column)), shown, threads))


def kind_of(reason: str) -> str:
    """A reason without the photo's own figure: ``foreground 0.4 % is below 1 %`` is one of ``below 1 %``."""
    return reason.rsplit(" is ", 1)[-1]


def count_reasons(reasons: Mapping[str, str]) -> list[tuple[str, int]]:
    """How many photos left for each kind of reason, most frequent first."""
    counts = Counter(kind_of(reason) for reason in reasons.values())
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def describe_classes(story: Story) -> list[ClassRow]:
    """Every class, those of the lowest quality first; where none is known, by name."""
    classes, last = story.dataset.classes, story.last
    counts = Counter(photo.label for photo in story.dataset.photos)
    gone = Counter(photo.label for photo in story.dataset.photos if photo.name in (last.reasons or {}))
    judged = {one.class_name: one for one in summarize_classes(list(last.qualities.values()))}
    measured = find_measured(story)
    ious = measured.figures["photos"]["iou"] if measured else {}
    rows = [
        ClassRow(
            name,
            counts[label],
            None if last.reasons is None else counts[label] - gone[label],
            judged[name].score if name in judged else None,
            judged[name].spread if name in judged else None,
            ious.get(name),
        )
        for label, name in enumerate(classes)
        if label
    ]
    return sorted(rows, key=lambda row: (row.quality is None, row.quality, row.name))


def count_scores(qualities: Sequence[Quality]) -> list[tuple[float, float, int]]:
    """How many scores lie in each fifth: from, to, number; nothing where there are none."""
    fifths = Counter(min(4, int(5 * one.score)) for one in qualities)
    return [(fifth / 5, (fifth + 1) / 5, fifths[fifth]) for fifth in range(5)] if qualities else []


def find_measured(story: Story) -> Round | None:
    """The last round whose network was measured on other photos."""
    return next((one for one in reversed(story.rounds) if "photos" in one.figures), None)


def find_matrix(story: Story) -> list[tuple[str, list[float | None]]]:
    """The confusion matrix, each row by its sum, where its classes are few enough for a page; else nothing."""
    names, matrix = _matrix(story)
    if len(names) > MATRIX_CLASSES:
        return []
    return [
        (name, [one / sum(row) if sum(row) else None for one in row]) for name, row in zip(names, matrix, strict=True)
    ]


def find_confusions(story: Story) -> list[Confusion]:
    """What is taken for what most often, as a share of the true class's pixels."""
    names, matrix = _matrix(story)
    found = [
        Confusion(names[row], names[column], pixels / sum(counts))
        for row, counts in enumerate(matrix)
        for column, pixels in enumerate(counts)
        if row != column and pixels
    ]
    return sorted(found, key=lambda one: (-one.share, one.true, one.found))[:CONFUSIONS_SHOWN]


def _matrix(story: Story) -> tuple[list[str], list[list[int]]]:
    found = find_measured(story)
    if not found:
        return [], []
    figures, classes = found.figures["photos"], story.dataset.classes
    names = classes if set(figures["iou"]) == set(classes) else FOREGROUND_CLASSES
    return list(names), figures["confusion_matrix"]


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
