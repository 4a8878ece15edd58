"""Write a data set in a form that ``fit`` reads: class folders of links to the photos, or a manifest."""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from coarse2fine.errors import DataError
from coarse2fine.runtime.files import check_new_folder, write_new_folder, write_text


def write_dataset(photos: Sequence[tuple[str, Path]], out: Path) -> None:
    """Write a data set as a manifest or as class folders.

    Args:
        photos: Class name and file of each photo; the file names of a class are distinct.
        out: A ``.csv`` file for a manifest, in a folder above all photos; or a new or empty folder for class folders of
            links.

    Raises:
        DataError: ``out`` is not empty or not above the photos, or the file system supports no links.
    """
    if out.suffix.lower() == ".csv":
        write_manifest(photos, out)
    else:
        write_class_folders(photos, out)


def write_manifest(photos: Sequence[tuple[str, Path]], file: Path) -> None:
    """Write a CSV table with the columns path (relative to the folder of the table) and label.

    Args:
        photos: Class name and file of each photo.
        file: The ``.csv`` file.

    Raises:
        DataError: A photo is not below the folder of the table.
    """
    folder = Path(os.path.realpath(file.parent))
    rows = []
    for label, path in photos:
        real = Path(os.path.realpath(path))
        if not real.is_relative_to(folder):
            common = os.path.commonpath([os.path.realpath(one.parent) for _, one in photos])
            raise DataError(
                f"The photos of a manifest must be below its folder, but {real} is not below {folder}; use "
                f"--out {Path(common) / file.name}, or a folder for links."
            )
        rows.append((real.relative_to(folder).as_posix(), label))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("path", "label"), *rows])
    write_text(file, text.getvalue())


def write_class_folders(photos: Sequence[tuple[str, Path]], folder: Path) -> None:
    """Write ``folder/<class>/<photo>`` as links to the photos.

    The links have absolute targets: the folder can be moved later, the photos cannot.

    Args:
        photos: Class name and file of each photo.
        folder: A new or empty folder.

    Raises:
        DataError: The folder is not empty, or the file system supports no links.
    """
    check_new_folder(folder)
    try:
        with write_new_folder(folder) as temporary:
            for label, path in photos:
                (temporary / label).mkdir(parents=True, exist_ok=True)
                (temporary / label / path.name).symlink_to(path.absolute())
    except DataError as error:
        raise DataError(
            f"Links to the photos could not be created in {folder} ({_reason(error)}). If the file system supports no "
            "links (Windows without developer mode, some network disks), write a manifest in a folder above the photos "
            "instead: --out FILE.csv."
        ) from error


def _reason(error: DataError) -> str:
    cause = error.__cause__
    return (isinstance(cause, OSError) and cause.strerror) or str(cause or error)
