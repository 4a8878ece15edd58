"""Masks of all photos, on all cores, shared among processes, resumable.

A photo whose mask is there is not touched again; what is worth telling about a photo is kept in ``notes-<rank>.jsonl``.
"""

import json
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

import cv2
import numpy as np

from coarse2fine.masks.png import mask_path, write_mask
from coarse2fine.masks.regions import foreground_mask
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.files import read_json, write_atomically, write_json
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import Enhanced, Photo


def write_masks(
    photos: Sequence[Photo], folder: Path, make: Callable[[Photo], Enhanced], title: str, context: Context
) -> dict[str, str]:
    """Write ``<photo>.png`` for every photo that has none yet, each process its share.

    Args:
        photos: Whose masks to make.
        folder: Where they go.
        make: The mask of one photo, class indices, shape (H, W), and what is worth telling about it.
        title: What progress is called.
        context: Who works.

    Returns:
        What was told about single photos, by name.
    """
    mine = context.world.share(photos)
    todo = list_missing(mine, folder)
    cv2.setNumThreads(1)  # this stage has a thread for every core; OpenCV's own would only get in their way
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"notes-{context.world.rank}.jsonl").open("a", encoding="utf-8") as notes:
        notes.write("\n")  # ends a line that a full disk cut short

        def write(photo: Photo) -> None:
            made = make(photo)
            if made.note:
                notes.write(json.dumps({photo.name: made.note}, ensure_ascii=False) + "\n")
                notes.flush()
            write_mask(mask_path(folder, photo.name), made.mask)

        done = map_threads(write, todo, context.threads)
        for _ in context.console.track(done, len(mine), title, len(mine) - len(todo)):
            pass
    context.barrier()
    if context.is_main:
        _merge_notes(folder)
    context.barrier()
    return read_notes(folder)


def lay_corrected(photos: Sequence[Photo], corrected: Path, folder: Path, context: Context) -> None:
    """Put masks that people corrected where a stage writes its own: it makes only those that are missing."""
    if context.is_main:
        for photo in list_missing(photos, folder):
            with write_atomically(mask_path(folder, photo.name)) as file:
                file.write(mask_path(corrected, photo.name).read_bytes())
    context.barrier()


def read_notes(folder: Path) -> dict[str, str]:
    """What a stage had to tell about single photos, by name."""
    path = folder / "notes.json"
    return dict(read_json(path)) if path.exists() else {}


def in_label(made: Enhanced, photo: Photo) -> Enhanced:
    """A mask in the class of its photo."""
    return Enhanced(foreground_mask(made.mask) * np.uint8(photo.label), made.note)


def list_missing(photos: Sequence[Photo], folder: Path) -> list[Photo]:
    """Photos without a mask in a folder."""
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
    """One note; nothing from a line cut short: its photo had no mask yet, so it was made and noted again."""
    try:
        return dict(json.loads(line))
    except ValueError:
        return {}
