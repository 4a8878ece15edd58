"""Names that were read from files: they are data, possibly of a stranger, and must not lead out of their folder."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from coarse2fine.errors import DataError

MAX_NAME_BYTES = 2048
"""Longest relative path of a photo; operating systems allow 4096 bytes for the whole path."""


def check_name(name: str) -> str:
    """Return a name that a file contains, such as ``cat/1``, if it stays inside the folder that it is joined to.

    Args:
        name: Name of a photo or of a file, as it was read from JSON, CSV, a zip or a request.

    Raises:
        DataError: The name is empty, absolute, too long, or contains ``.``, ``..`` or a null character.
    """
    parts = name.replace(os.sep, "/").split("/")
    is_short = len(name.encode("utf-8", "surrogatepass")) <= MAX_NAME_BYTES
    if is_short and not Path(name).anchor and {"", ".", ".."}.isdisjoint(parts) and "\0" not in name:
        return name
    shown = name if len(name) <= 100 else f"{name[:100]}..."
    raise DataError(
        f"A name must be a relative path inside its folder, such as cat/1, without '..' and of at most "
        f"{MAX_NAME_BYTES} bytes, but one is {shown!r}. Remove it from its file, or write that file again."
    )


SafeName = Annotated[str, AfterValidator(check_name)]
"""Type of a name in the schema of a file: ``dict[SafeName, str]`` refuses a mapping with a name that leads outside."""


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
        try:
            is_link = path.is_symlink()
        except OSError as error:  # the name is too long for the file system
            raise DataError(f"{path} cannot be opened ({error.strerror}). Rename or remove it.") from error
        if is_link:
            raise DataError(
                f"{path} must not be a link, because it may lead to files outside of {folder}. Replace it by what it "
                "links to."
            )
    return path
