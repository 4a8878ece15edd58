"""Write photos with one label each as ``fit`` reads them: class folders of links, or a manifest. Copies nothing."""

import csv
import io
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from coarse2fine.errors import DataError
from coarse2fine.runtime.files import write_text


def write_dataset(photos: Sequence[tuple[str, Path]], out: Path) -> None:
    """Write a data set.

    Args:
        photos: Class name and file of each photo; in a class no two files have the same name.
        out: A ``.csv`` file: a manifest, which must lie in a folder above all photos. Anything else: a folder, new or
            empty, with one folder of links per class.

    Raises:
        DataError: ``out`` holds something, lies elsewhere, or no links can be made there.
    """
    if out.suffix.lower() == ".csv":
        write_manifest(photos, out)
    else:
        write_class_folders(photos, out)


def write_manifest(photos: Sequence[tuple[str, Path]], file: Path) -> None:
    """Write a table with the columns path, relative to its folder, and label.

    Raises:
        DataError: A photo does not lie below the folder of the table.
    """
    folder = Path(os.path.realpath(file.parent))
    rows = []
    for label, path in photos:
        real = Path(os.path.realpath(path))
        if not real.is_relative_to(folder):
            common = os.path.commonpath([os.path.realpath(one.parent) for _, one in photos])
            raise DataError(
                f"The photos of a table must lie below its folder, but {real} does not lie below {folder}; choose "
                f"--out {Path(common) / file.name}, or a folder for links."
            )
        rows.append((real.relative_to(folder).as_posix(), label))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("path", "label"), *rows])
    write_text(file, text.getvalue())


def write_class_folders(photos: Sequence[tuple[str, Path]], folder: Path) -> None:
    """Make ``folder/<class>/<photo>``, links with absolute targets: the folder may be moved, the photos may not.

    Raises:
        DataError: The folder holds something, or the operating system makes no links there.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} must be a new or empty folder, but there is something; choose another --out.")
    half = folder.absolute().with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        for label, path in photos:
            (half / label).mkdir(parents=True, exist_ok=True)
            (half / label / path.name).symlink_to(path.absolute())
        if folder.exists():
            folder.rmdir()
        half.replace(folder)
    except OSError as error:
        raise DataError(
            f"Links to the photos could not be made in {folder} ({error.strerror or error}); where the system makes "
            "none (Windows without developer mode, some network disks), write a table above the photos: --out FILE.csv."
        ) from error
    finally:
        shutil.rmtree(half, ignore_errors=True)
