"""The photos of a run folder: those of its data set that could be used."""

from pathlib import Path
from typing import Any

from coarse2fine.data import open_dataset
from coarse2fine.errors import DataError
from coarse2fine.store import Run, read_json
from coarse2fine.types import Dataset, Skipped


def open_run_photos(run: Run) -> Dataset:
    """The usable photos of a run, from where they were; decodes none.

    Raises:
        DataError: The folder is no run, or its photos are no longer where they were.
    """
    if not run.photos.exists():
        raise DataError(f"{run.root} must be a run folder of 'coarse2fine fit', but has no {run.photos.name}.")
    record = read_json(run.photos)
    data = Path(record["data"])
    if not data.exists():
        raise DataError(
            f"The photos of {run.root} must be where fit found them, in {data}, but are not; put them back."
        )
    return usable_photos(open_dataset(data), record)


def usable_photos(listed: Dataset, record: dict[str, Any]) -> Dataset:
    """What of a listed data set the run can use.

    Args:
        listed: The data set as it lies on the disk.
        record: ``photos.json`` of the run.
    """
    photos = tuple(photo for photo in listed.photos if str(photo.path.absolute()) in record["usable"])
    skipped = tuple(Skipped(Path(path), reason) for path, reason in sorted(record["skipped"].items()))
    return Dataset(listed.classes, photos, skipped)
