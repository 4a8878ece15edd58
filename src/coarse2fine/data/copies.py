"""Recognize photo files with the same content, and give such a photo the labels of all its files."""

import hashlib
import os
import stat
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from coarse2fine.errors import DataError
from coarse2fine.runtime.device import count_cores
from coarse2fine.runtime.files import hash_file
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import Dataset, Photo

_TAIL_BYTES = 4096
"""Bytes at the end of a file that are compared before the whole file is read. Among 100,000 photos most have the size
of another one, and nearly none its end as well."""


def merge_copies(dataset: Dataset) -> Dataset:
    """Replace photos with the same content and different labels by one photo with all these labels.

    The photo keeps the path and name of the first file. Copies with the same labels stay as they are.

    Raises:
        DataError: A photo without a label has the same content as a photo with one.
    """
    groups = [group for group in find_copies(dataset.photos) if len({photo.labels for photo in group}) > 1]
    merged: dict[str, Photo | None] = {}
    for group in groups:
        _refuse_labeled_negative(group, dataset)
        labels = tuple(sorted({label for photo in group for label in photo.labels}))
        merged |= dict.fromkeys(photo.name for photo in group)
        merged[group[0].name] = replace(group[0], labels=labels)
    photos = (merged.get(photo.name, photo) for photo in dataset.photos)
    return replace(dataset, photos=tuple(photo for photo in photos if photo))


def find_copies(photos: Sequence[Photo]) -> list[list[Photo]]:
    """Group photos whose files have the same bytes, if their labels differ.

    Only files of equal size are opened. A file that is empty, missing or not readable is a copy of no other.
    """
    groups = _split([[*photos]], _read_size)
    return _split(_split(groups, _hash_tail), hash_file)


def _split(groups: Iterable[list[Photo]], measure: Callable[[Path], Hashable | None]) -> list[list[Photo]]:
    """Split groups by a property of the files, and keep the parts in which labels differ; None has no equal."""
    numbered = [(number, photo) for number, group in enumerate(groups) for photo in group]

    def measure_or_none(item: tuple[int, Photo]) -> Hashable | None:
        try:
            return measure(item[1].path)
        except (OSError, ValueError):  # the check of all photos reports it
            return None

    parts: dict[tuple[int, Hashable], list[Photo]] = {}
    values = map_threads(measure_or_none, numbered, count_cores())
    for (number, photo), value in zip(numbered, values, strict=True):
        if value is not None:
            parts.setdefault((number, value), []).append(photo)
    return [part for part in parts.values() if len({photo.labels for photo in part}) > 1]


def _read_size(path: Path) -> int | None:
    status = path.stat()
    return status.st_size or None if stat.S_ISREG(status.st_mode) else None


def _hash_tail(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES), os.SEEK_SET)
        return hashlib.sha256(file.read()).hexdigest()


def _refuse_labeled_negative(group: Sequence[Photo], dataset: Dataset) -> None:
    negative = next((photo for photo in group if not photo.labels), None)
    if negative is not None:
        labeled = next(photo for photo in group if photo.labels)
        raise DataError(
            f"A photo without any of the classes must have no label, but {negative.path} has the same content as "
            f"{labeled.path}, a photo of {dataset.class_names_of(labeled)}. Remove one of the two."
        )
