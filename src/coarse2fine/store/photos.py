"""The photos of a run, as recorded in its ``photos.json``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coarse2fine.data import open_dataset
from coarse2fine.errors import DataError
from coarse2fine.runtime.files import read_json
from coarse2fine.store.run import Run
from coarse2fine.types import FOREGROUND_CLASSES, Dataset, Skipped


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


def keep_usable(listed: Dataset, record: Mapping[str, Any]) -> Dataset:
    """Return the listed photos that ``photos.json`` records as usable; the others are among the skipped."""
    photos = tuple(photo for photo in listed.photos if str(photo.path.absolute()) in record["usable"])
    skipped = tuple(Skipped(Path(path), reason) for path, reason in sorted(record["skipped"].items()))
    return Dataset(listed.classes, photos, skipped)
