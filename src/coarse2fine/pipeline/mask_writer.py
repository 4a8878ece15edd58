"""The loop that writes the masks of a stage: on all cores, shared among processes, resumable, with progress.

A mask that exists is not computed again. Notes on single photos, such as "unchanged: GrabCut found no foreground", go
to ``notes-<rank>.jsonl`` first, one line per photo, and to ``notes.json`` at the end.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np

from coarse2fine.data.photos import read_size
from coarse2fine.masks.labels import paint_foreground
from coarse2fine.masks.png import mask_path, write_mask
from coarse2fine.masks.regions import foreground_mask
from coarse2fine.pipeline.job import FitJob
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.files import write_atomically, write_json
from coarse2fine.runtime.threads import map_threads, single_threaded_opencv
from coarse2fine.store.records import read_notes
from coarse2fine.store.stages import Stage, run_stage
from coarse2fine.types import Enhanced, Mask, Photo

Input = TypeVar("Input")


@dataclass(frozen=True)
class MaskTask:
    """The masks that a stage has to write.

    Attributes:
        photos: One mask each.
        folder: Where the masks go, ``<photo>.png``.
        context: Processes and console.
        title: Title of the progress display.
    """

    photos: Sequence[Photo]
    folder: Path
    context: Context
    title: str

    def missing(self) -> set[str]:
        """Return the names of the photos that have no mask in the folder."""
        return {photo.name for photo in list_missing(self.photos, self.folder)}


def write_masks(task: MaskTask, make: Callable[[Photo], Enhanced]) -> dict[str, str]:
    """Write the missing masks, each computed from its photo alone.

    Args:
        task: What to write. Each process takes its share of the photos.
        make: Computes the mask of a photo, class indices, shape (H, W), and an optional note.

    Returns:
        The notes on single photos, by name.
    """
    mine = task.context.world.share(task.photos)
    todo = list_missing(mine, task.folder)
    return _write(task, ((photo, photo) for photo in todo), lambda _, photo: make(photo), len(mine), len(todo))


def write_predicted_masks(
    task: MaskTask,
    predict: Callable[[Callable[[int], bool]], Iterable[tuple[int, Input]]],
    make: Callable[[Photo, Input], Mask],
) -> None:
    """Write the missing masks, each computed from the output of a network that processes photos in batches.

    Args:
        task: What to write.
        predict: Yields the index of a photo and the network's output. Its argument says whether the mask of a photo,
            by index, is missing; a batch without any such photo may be omitted. Each process takes its share.
        make: Computes the mask, class indices, shape (H, W), from a photo and its output.
    """
    missing, photos = task.missing(), task.photos
    outputs = predict(lambda index: photos[index].name in missing)
    # A batch is computed as a whole. Masks that exist, such as those that a person corrected, stay unchanged.
    wanted = ((photos[index], output) for index, output in outputs if photos[index].name in missing)
    processes = task.context.world.size
    mine, todo = len(photos) // processes, len(missing) // processes
    _write(task, wanted, lambda photo, output: Enhanced(make(photo, output), None), mine, todo)


def _write(
    task: MaskTask,
    inputs: Iterable[tuple[Photo, Input]],
    make: Callable[[Photo, Input], Enhanced],
    total: int,
    todo: int,
) -> dict[str, str]:
    folder, context = task.folder, task.context
    folder.mkdir(parents=True, exist_ok=True)
    with single_threaded_opencv(), (folder / f"notes-{context.world.rank}.jsonl").open("a", encoding="utf-8") as notes:
        notes.write("\n")  # ends a line that a full disk cut short

        def write(item: tuple[Photo, Input]) -> None:
            photo = item[0]
            result = make(*item)
            if result.note:
                notes.write(json.dumps({photo.name: result.note}, ensure_ascii=False) + "\n")
                notes.flush()
            write_mask(mask_path(folder, photo.name), result.mask)

        for _ in context.console.track(map_threads(write, inputs, context.threads), total, task.title, total - todo):
            pass
    context.barrier()
    if context.is_main:
        _merge_notes(folder)
    context.barrier()
    return read_notes(folder)


def run_mask_stage(job: FitJob, stage: Stage, work: Callable[[MaskTask], Mapping[str, object] | None]) -> Stage:
    """Run a stage that writes masks, with the corrected masks and the empty masks of negatives already in its folder.

    Args:
        job: The run.
        stage: The stage.
        work: Writes the masks of photos with labels that are missing. What it returns is kept in ``done.json``.

    Returns:
        The stage.
    """

    def write() -> dict[str, object]:
        if job.context.is_main:
            for photo in list_missing(job.corrected, stage.folder):
                with write_atomically(mask_path(stage.folder, photo.name)) as file:
                    file.write(mask_path(job.run.corrected, photo.name).read_bytes())
        job.context.barrier()
        _write_empty_masks(job, stage.folder)
        written = len(list_missing(job.labeled, stage.folder))
        job.context.barrier()  # no process writes a mask before all have counted
        found = work(MaskTask(job.labeled, stage.folder, job.context, stage.title))
        return {"written": written, **(found or {})}

    run_stage(stage, job.context, write)
    return stage


def _write_empty_masks(job: FitJob, folder: Path) -> None:
    """Write the missing masks of photos without a label: background only."""

    def write(photo: Photo) -> None:
        write_mask(mask_path(folder, photo.name), np.zeros(read_size(photo.path), np.uint8))

    missing = list_missing(job.context.world.share(job.dataset.negatives), folder)
    for _ in map_threads(write, missing, job.context.threads):
        pass


def with_class_index(enhanced: Enhanced, photo: Photo) -> Enhanced:
    """Give the foreground of a mask the class index of its photo, see :func:`paint_foreground`."""
    return Enhanced(paint_foreground(foreground_mask(enhanced.mask), photo.labels), enhanced.note)


def list_missing(photos: Sequence[Photo], folder: Path) -> list[Photo]:
    """List the photos that have no mask in a folder."""
    return [photo for photo in photos if not mask_path(folder, photo.name).exists()]


def _merge_notes(folder: Path) -> None:
    files = sorted(folder.glob("notes-*.jsonl"))
    lines = chain.from_iterable(file.read_text(encoding="utf-8").splitlines() for file in files)
    merged = read_notes(folder)
    for line in lines:
        merged |= _parse_note(line)
    write_json(folder / "notes.json", merged)
    for file in files:
        file.unlink()


def _parse_note(line: str) -> dict[str, str]:
    """Read one note. A line that was cut short is ignored: its mask was not written, so the note is written again."""
    try:
        return dict(json.loads(line))
    except (ValueError, TypeError):
        return {}
