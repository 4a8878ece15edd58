"""What a teacher leaves behind, frames and soft masks, as examples for a student."""

import csv
from collections.abc import Sequence
from pathlib import Path

from coarse2fine.data import list_photos
from coarse2fine.errors import DataError
from coarse2fine.masks.png import mask_path
from coarse2fine.runtime.files import hash_of
from coarse2fine.store.fingerprints import describe_masks
from coarse2fine.types import Example

SELECTION = "selection.csv"
"""The teacher's table of frames: which are kept."""


def find_first(frames: Sequence[Path], masks: Sequence[Path]) -> list[Example]:
    """What generation 1 learns from: one folder of masks belongs to all frames, several to one folder each."""
    if len(masks) == 1:
        return find_kept(frames, masks[0])
    return [example for seen, folder in zip(frames, masks, strict=True) for example in find_kept([seen], folder)]


def find_kept(frames: Sequence[Path], masks: Path) -> list[Example]:
    """The frames that teach: those with a mask, of which the teacher's selection, if there is one, keeps its best.

    Args:
        frames: Folders of frames, named like the masks.
        masks: Folder of soft masks; ``selection.csv`` lies there or in the folder around it.

    Raises:
        DataError: There are no masks, none is kept, or one that teaches has no frame.
    """
    names = sorted(path.relative_to(masks).with_suffix("").as_posix() for path in masks.rglob("*.png"))
    if not names:
        raise DataError(f"{masks} must hold soft masks as PNG, but has none.")
    table = next((path for path in (masks / SELECTION, masks.parent / SELECTION) if path.is_file()), None)
    if table is not None:
        kept = _read_kept(table)
        names = [name for name in names if name in kept]
        if not names:
            raise DataError(f"{table} must keep at least one of the masks in {masks}, but keeps none.")
    paths = {path.relative_to(root).with_suffix("").as_posix(): path for root in frames for path in list_photos([root])}
    missing = [name for name in names if name not in paths]
    if missing:
        raise DataError(
            f"Every mask that teaches needs a frame of the same name, but {len(missing)} of {len(names)} in {masks} "
            f"have none in {', '.join(map(str, frames))}; the first is {missing[0]}.png."
        )
    return [Example(paths[name], mask_path(masks, name)) for name in names]


def _read_kept(table: Path) -> set[str]:
    try:
        with table.open(encoding="utf-8", newline="") as file:
            return {row["frame"] for row in csv.DictReader(file) if row["kept"] == "1"}
    except (KeyError, ValueError) as error:
        raise DataError(f"{table} must be a table with the columns frame and kept ({error!r}).") from error


def describe_examples(examples: Sequence[Example]) -> str:
    """Fingerprint of the photos by name and size in bytes, and of their masks by content."""
    photos = hash_of([(example.photo.name, example.photo.stat().st_size) for example in examples])
    return f"{len(examples)} ({photos}) {describe_masks([example.mask for example in examples])}"
