"""Draw the photos of the report: rows of masks from stage to stage, and photos that were left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from coarse2fine.evaluation.mask_quality import Quality
from coarse2fine.report.photo_selection import MAX_COLUMNS, pick_evenly, select_photos
from coarse2fine.report.run_summary import RunSummary
from coarse2fine.report.tables import reason_kind
from coarse2fine.report.thumbnails import PhotoColumns, PictureRow, draw_row, mask_layer
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import Photo

MAX_LEFT_OUT = 24
"""Maximum number of left-out photos that are shown, some for every reason."""


@dataclass(frozen=True)
class PhotoRow:
    """A photo of the page with its pictures.

    Attributes:
        name: Name of the photo.
        quality: Estimated quality of its mask after the last round; None if it was not measured.
        reason: Why the photo is left out of the next round; None if it stays.
        note: Note of the enhancement; None if the mask was enhanced.
        drawn: The photo and its masks.
    """

    name: str
    quality: Quality | None
    reason: str | None
    note: str | None
    drawn: PictureRow


@dataclass(frozen=True)
class PhotoGroup:
    """Photos of one class that are shown together; ``kind`` as in `PhotoSelection`."""

    class_name: str
    kind: str
    rows: Sequence[PhotoRow]


def draw_groups(summary: RunSummary, threads: int) -> list[PhotoGroup]:
    """Draw the masks of selected photos of every class, from stage to stage."""
    columns, dataset = list_columns(summary), summary.dataset
    left_out = summary.last.reasons or {}
    selections = select_photos(dataset.photos, dataset.classes, summary.last.qualities, len(columns), left_out)
    photos = [photo for selection in selections for photo in selection.photos]
    keyed = [(f"p{index}", photo) for index, photo in enumerate(photos)]
    rows = map_threads(lambda one: _draw_photo(summary, *one, columns, left_out), keyed, threads)
    return [PhotoGroup(one.class_name, one.kind, [next(rows) for _ in one.photos]) for one in selections]


def list_columns(summary: RunSummary) -> PhotoColumns:
    """List the pictures of a row: the photo, its coarse and enhanced mask, and the enhanced mask of some rounds."""
    run = summary.run
    done = [one.number for one in summary.rounds if one.has_masks and one.number]
    first = [("coarse mask", run.coarse), ("enhanced mask", run.enhanced(0))]
    rounds = pick_evenly(done, MAX_COLUMNS - 1 - len(first))
    folders = [*first, *((f"round {number}", run.enhanced(number)) for number in rounds)]
    return [("photo", None), *((title, mask_layer(folder)) for title, folder in folders)]


def draw_left_out(summary: RunSummary, threads: int) -> list[PhotoRow]:
    """Draw some of the photos that were last left out, some for every reason, with the mask that was checked."""
    decided = next((one for one in reversed(summary.rounds) if one.reasons is not None), None)
    if decided is None or not decided.reasons:
        return []
    names_by_kind: dict[str, list[str]] = {}
    for name, reason in sorted(decided.reasons.items()):
        names_by_kind.setdefault(reason_kind(reason), []).append(name)
    each = max(1, MAX_LEFT_OUT // len(names_by_kind))
    names = [name for _, group in sorted(names_by_kind.items()) for name in pick_evenly(group, each)][:MAX_LEFT_OUT]
    photos = {photo.name: photo for photo in summary.dataset.photos}
    keyed = [(f"left-out-{index}", photos[name]) for index, name in enumerate(names) if name in photos]
    run, number = summary.run, decided.number
    title, folder = (
        ("mask predicted by the network", run.refined(number)) if number else ("enhanced mask", run.enhanced(0))
    )
    column, reasons = [(title, mask_layer(folder))], decided.reasons
    return list(map_threads(lambda one: _draw_photo(summary, *one, column, reasons), keyed, threads))


def _draw_photo(
    summary: RunSummary, key: str, photo: Photo, columns: PhotoColumns, reasons: Mapping[str, str]
) -> PhotoRow:
    name, last, drawn = photo.name, summary.last, draw_row(photo, columns, key)
    return PhotoRow(name, last.qualities.get(name), reasons.get(name), last.notes.get(name), drawn)
