"""Names and paths that were read from files: they are data, possibly of a stranger, and may be no paths at all."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from coarse2fine.errors import DataError

MAX_NAME_BYTES = 2048
"""Longest relative path of a photo; operating systems allow 4096 bytes for a whole path."""

MAX_PATH_BYTES = 4095
MAX_PART_BYTES = 255


def check_name(name: str) -> str:
    """Return a name that a file contains, such as ``cat/1``, if it stays inside the folder that it is joined to.

    Args:
        name: Name of a photo or of a file, as it was read from JSON, CSV, a zip or a request.

    Raises:
        DataError: The name is empty, absolute, too long for a file, or contains ``.``, ``..`` or a null character.
    """
    parts = name.replace(os.sep, "/").split("/")
    if not Path(name).anchor and {"", ".", ".."}.isdisjoint(parts) and _can_be_path(name, MAX_NAME_BYTES):
        return name
    raise DataError(
        f"A name must be a relative path inside its folder, such as cat/1, without '..' and of at most "
        f"{MAX_NAME_BYTES} bytes, but one is {_shorten(name)}. Remove it from its file, or write that file again."
    )


def check_path(path: str) -> str:
    """Return a path that a file contains, if the operating system can have such a path; it need not exist.

    Raises:
        DataError: The path is empty or too long, or contains a null character or half of a character.
    """
    if path and _can_be_path(path, MAX_PATH_BYTES):
        return path
    raise DataError(f"A path must be one that can exist, but one is {_shorten(path)}. Write its file again.")


SafeName = Annotated[str, AfterValidator(check_name)]
"""Type of a name in the schema of a file: ``dict[SafeName, str]`` refuses a mapping with a name that leads outside."""

AnyPath = Annotated[str, AfterValidator(check_path)]
"""Type of a path in the schema of a file. It may lead anywhere."""


def path_inside(folder: Path, name: str) -> Path:
    """Return ``folder / name`` for a name that a file contains.

    Args:
        folder: The folder; it may itself be a link.
        name: As in :func:`check_name`.

    Raises:
        DataError: The name leads outside of the folder, or it or a folder on the way to it is a link.
    """
    path = folder
    for part in Path(check_name(name)).parts:
        path = path / part
        if path.is_symlink():
            raise DataError(
                f"{path} must not be a link, because it may lead to files outside of {folder}. Replace it by what it "
                "links to."
            )
    return path


def is_file(path: Path) -> bool:
    """Return whether a path that a file contains is a regular file; a path that cannot exist is none.

    `Path.is_file` raises OSError if a part of the path is too long.
    """
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _can_be_path(text: str, most_bytes: int) -> bool:
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError:
        return False
    longest = max(map(len, encoded.split(b"/")))
    return len(encoded) <= most_bytes and longest <= MAX_PART_BYTES and b"\0" not in encoded


def _shorten(text: str) -> str:
    return repr(text if len(text) <= 100 else f"{text[:100]}...")
