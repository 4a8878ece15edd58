"""The photos of a run, as it wrote them down."""

from pathlib import Path

from coarse2fine.data import open_dataset
from coarse2fine.errors import DataError
from coarse2fine.runtime.files import read_json
from coarse2fine.store.run import Run
from coarse2fine.types import FOREGROUND_CLASSES, Dataset, Skipped


def read_photos(run: Run) -> Dataset:
    """The photos that a run works on.

    Raises:
        DataError: The folder is no run folder, or its photos are no longer where they were.
    """
    if not run.photos.exists():
        raise DataError(f"{run.root} must be a run folder of fit, but {run.photos} is missing.")
    record = read_json(run.photos)
    data = Path(record["data"])
    if not data.exists():
        raise DataError(f"The photos of {run.root} lay in {data}, which is not there any more; bring it back.")
    labeled = tuple(record["classes"]) != FOREGROUND_CLASSES
    dataset = keep_usable(open_dataset(data, labeled), run)
    if list(dataset.classes) != record["classes"] or len(dataset.photos) != len(record["usable"]):
        raise DataError(
            f"The photos in {data} must be those of {run.root}, but were changed since: {len(dataset.photos)} of "
            f"{len(record['usable'])} are left; bring them back, or run fit again."
        )
    return dataset


def keep_usable(listed: Dataset, run: Run) -> Dataset:
    """Of listed photos those that a run found usable."""
    record = read_json(run.photos)
    photos = tuple(photo for photo in listed.photos if str(photo.path.absolute()) in record["usable"])
    skipped = tuple(Skipped(Path(path), reason) for path, reason in sorted(record["skipped"].items()))
    return Dataset(listed.classes, photos, skipped)
