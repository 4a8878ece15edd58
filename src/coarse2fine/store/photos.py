"""The photos of a run, as recorded in its ``photos.json``, and stamps that show whether a photo file was replaced."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel

from coarse2fine.data import open_dataset
from coarse2fine.data.class_folders import clean_label
from coarse2fine.errors import DataError
from coarse2fine.runtime.device import count_cores
from coarse2fine.runtime.files import (
    MISSING,
    hash_file,
    read_json_as,
    read_json_or_empty,
    size_and_time,
    write_json,
)
from coarse2fine.runtime.names import AnyPath
from coarse2fine.runtime.threads import map_threads
from coarse2fine.store.run import Run
from coarse2fine.types import FOREGROUND_CLASSES, Dataset, Photo, Skipped

STAMPS = ".photos.json"
"""Hidden file of stamps in a folder of results that is no run folder."""


class PhotoRecord(BaseModel):
    """Content of ``photos.json``.

    Attributes:
        data: Absolute path of the folder or table of the photos.
        data_from_run: The same path, relative to the run folder, for runs that are moved together with their photos.
        negatives: Absolute path of the folder of negatives; None if there is none.
        negatives_from_run: The same path, relative to the run folder.
        classes: Class names by index.
        max_megapixels: Limit with which the photos were checked.
        usable: Stamp (:func:`stamp_file`) of each usable photo by its name. Runs of earlier versions have the absolute
            path in place of the name.
        skipped: Why photos are skipped, by path.
    """

    data: AnyPath
    data_from_run: AnyPath | None = None
    negatives: AnyPath | None = None
    negatives_from_run: AnyPath | None = None
    classes: list[str]
    max_megapixels: float | None = None
    usable: dict[str, str]
    skipped: dict[str, str]

    def stamp_of(self, photo: Photo) -> str | None:
        """Return the recorded stamp of a photo; None if it is not recorded as usable."""
        return self.usable.get(photo.name, self.usable.get(str(photo.path.absolute())))

    def has_unchanged(self, photo: Photo) -> bool:
        """Return whether a photo is recorded as usable, with the size in bytes that it has now."""
        stamp = self.stamp_of(photo)
        return stamp is not None and stamp.split(" ")[0] == size_and_time(photo.path).split(" ")[0]

    def lies_at(self, data: Path) -> bool:
        """Return whether a data set is at the recorded place, possibly by another path or with another table."""
        return _real_folder(Path(self.data)) == _real_folder(data)


def read_record(run: Run) -> PhotoRecord:
    """Read ``photos.json``.

    Raises:
        DataError: The folder is not a run folder, or the file is damaged.
    """
    if not run.photos.exists():
        raise DataError(f"{run.root} must be a run folder of coarse2fine fit, but {run.photos} is missing.")
    return read_json_as(run.photos, PhotoRecord, "the photos of a run, as fit writes them")


def write_record(
    run: Run,
    data: Path,
    negatives: Path | None,
    classes: Iterable[str],
    max_megapixels: float,
    usable: dict[str, str],
    skipped: dict[str, str],
) -> None:
    """Write ``photos.json``; arguments as the attributes of :class:`PhotoRecord`."""
    record = PhotoRecord(
        data=str(data.absolute()),
        data_from_run=_relative_to_run(run, data),
        negatives=str(negatives.absolute()) if negatives else None,
        negatives_from_run=_relative_to_run(run, negatives) if negatives else None,
        classes=[*classes],
        max_megapixels=max_megapixels,
        usable=usable,
        skipped=skipped,
    )
    write_json(run.photos, record.model_dump(exclude_none=True))


def find_data(run: Run, record: PhotoRecord) -> Path:
    """Return the folder or table of a run's photos: where it was, or at the same place relative to the run folder."""
    return _find_place(run, record.data, record.data_from_run)


def read_photos(run: Run) -> Dataset:
    """List the photos of a run.

    Raises:
        DataError: The folder is not a run folder, or its photos were moved, removed or changed.
    """
    record = read_record(run)
    dataset = find_unchanged(run, record)
    if list(dataset.classes) != [*map(clean_label, record.classes)] or len(dataset.photos) != len(record.usable):
        raise DataError(
            f"The photos in {find_data(run, record)} must be those of {run.root}, but only {len(dataset.photos)} of "
            f"{len(record.usable)} are unchanged. Restore them, or run fit again."
        )
    return dataset


def find_unchanged(run: Run, record: PhotoRecord) -> Dataset:
    """List those photos of a run that are still there and have their size.

    Raises:
        DataError: The folder or table of the photos does not exist, or holds no photos.
    """
    data = find_data(run, record)
    if not data.exists():
        raise DataError(
            f"The photos of {run.root} must be in {data}, but that path does not exist. Restore it, or run fit with "
            f"the new place of the photos: coarse2fine fit PHOTOS --out {run.root}."
        )
    negatives = _find_place(run, record.negatives, record.negatives_from_run) if record.negatives else None
    labeled = tuple(record.classes) != FOREGROUND_CLASSES
    return keep_usable(open_dataset(data, labeled, negatives), record)


def keep_usable(listed: Dataset, record: PhotoRecord) -> Dataset:
    """Return the listed photos that are recorded as usable and have not changed; the others are among the skipped."""
    photos = tuple(
        replace(photo, stamp=record.stamp_of(photo)) for photo in listed.photos if record.has_unchanged(photo)
    )
    skipped = tuple(Skipped(Path(path), reason) for path, reason in sorted(record.skipped.items()))
    return Dataset(listed.classes, photos, skipped)


def stamp_file(path: Path, before: str | None = None) -> str:
    """Return size, times and a hash of the content of a file.

    Args:
        path: The file.
        before: An earlier stamp of the file. If size and times are the same, the file is not read again.

    Returns:
        ``<bytes> <time of change> <time of change of the inode> <hash>``, or `MISSING`. A stamp of an earlier version
        of this package, without the second time and the hash, is returned unchanged as long as it is right.
    """
    try:
        status = path.stat()
        times = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
        if before and before in (size_and_time(path), f"{times} {before.rpartition(' ')[2]}"):
            return before
        return f"{times} {hash_file(path)}"
    except OSError:
        return MISSING


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


def _real_folder(data: Path) -> str:
    is_table = data.suffix.lower() in (".csv", ".parquet") and not data.is_dir()
    return os.path.realpath(data.parent if is_table else data)


def _relative_to_run(run: Run, path: Path) -> str | None:
    try:
        return os.path.relpath(path.absolute(), run.root.absolute())
    except ValueError:  # on another drive of Windows
        return None


def _find_place(run: Run, recorded: str, from_run: str | None) -> Path:
    places = [Path(recorded)]
    if from_run is not None:
        places += [Path(os.path.normpath(root / from_run)) for root in (run.root.absolute(), run.root.resolve())]
    return next((place for place in places if place.exists()), places[0])
