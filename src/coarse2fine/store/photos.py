"""The photos of a run, as recorded in its ``photos.json``, and stamps that show whether a photo file was replaced."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from coarse2fine.data import open_dataset
from coarse2fine.errors import DataError
from coarse2fine.runtime.device import count_cores
from coarse2fine.runtime.files import hash_file, read_json, read_json_or_empty, write_json
from coarse2fine.runtime.threads import map_threads
from coarse2fine.store.run import Run
from coarse2fine.types import FOREGROUND_CLASSES, Dataset, Photo, Skipped

STAMPS = ".photos.json"
"""Hidden file of stamps in a folder of results that is no run folder."""


def read_photos(run: Run) -> Dataset:
    """List the photos of a run.

    Raises:
        DataError: The folder is not a run folder, or its photos were moved, removed or changed.
    """
    if not run.photos.exists():
        raise DataError(f"{run.root} must be a run folder of coarse2fine fit, but {run.photos} is missing.")
    record = read_json(run.photos)
    data = Path(record["data"])
    if not data.exists():
        raise DataError(f"The photos of {run.root} must be in {data}, but that path does not exist. Restore it.")
    labeled = tuple(record["classes"]) != FOREGROUND_CLASSES
    dataset = keep_usable(open_dataset(data, labeled, record.get("negatives")), record)
    if list(dataset.classes) != record["classes"] or len(dataset.photos) != len(record["usable"]):
        raise DataError(
            f"The photos in {data} must be those of {run.root}, but only {len(dataset.photos)} of "
            f"{len(record['usable'])} are unchanged. Restore them, or run fit again."
        )
    return dataset


def stamp_file(path: Path, before: str | None = None) -> str:
    """Return size, times and a hash of the content of a file.

    Args:
        path: The file.
        before: An earlier stamp of the file. If size and times are the same, the file is not read again.

    Returns:
        ``<bytes> <time of change> <time of change of the inode> <hash>``, or ``missing``. A stamp of an earlier version
        of this package, without the second time and the hash, is returned unchanged as long as it is right.
    """
    try:
        status = path.stat()
        size_and_time = f"{status.st_size} {status.st_mtime_ns}"
        times = f"{size_and_time} {status.st_ctime_ns}"
        if before and before in (size_and_time, f"{times} {before.rpartition(' ')[2]}"):
            return before
        return f"{times} {hash_file(path)}"
    except OSError:
        return "missing"


def hash_in(stamp: str | None) -> str | None:
    """Return the hash of the content in a stamp; None if it has none."""
    return stamp.split()[-1] if stamp and stamp.count(" ") == 3 else None


def stamp_photos(photos: Sequence[Photo], folder: Path) -> list[Photo]:
    """Return photos with stamps; a file is not read if size and times are those of its last stamp.

    Args:
        photos: The photos.
        folder: Folder of results in which :func:`write_stamps` may have recorded the last stamps.
    """
    before = read_json_or_empty(folder / STAMPS)

    def stamp(photo: Photo) -> Photo:
        return replace(photo, stamp=stamp_file(photo.path, before.get(str(photo.path.absolute()))))

    return [*map_threads(stamp, photos, count_cores())]


def write_stamps(photos: Sequence[Photo], folder: Path) -> None:
    """Record the stamps of photos in a folder of results, so that the next call reads changed files only."""
    write_json(folder / STAMPS, {str(photo.path.absolute()): photo.stamp for photo in photos})


def keep_usable(listed: Dataset, record: Mapping[str, Any]) -> Dataset:
    """Return the listed photos that ``photos.json`` records as usable; the others are among the skipped."""
    stamps, paths = record["usable"], [str(photo.path.absolute()) for photo in listed.photos]
    photos = tuple(
        replace(photo, stamp=stamps[path]) for photo, path in zip(listed.photos, paths, strict=True) if path in stamps
    )
    skipped = tuple(Skipped(Path(path), reason) for path, reason in sorted(record["skipped"].items()))
    return Dataset(listed.classes, photos, skipped)
