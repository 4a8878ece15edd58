"""Files that are there whole or not at all: each is written under a temporary name and renamed."""

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from coarse2fine.errors import DataError


@contextmanager
def write_atomically(path: Path) -> Iterator[IO[bytes]]:
    """Open ``path`` for writing so that it is there whole or not at all; folders are made.

    Raises:
        DataError: The disk is full or the folder cannot be written; the old file, if any, is untouched.
    """
    # Short, whatever the name, and another one for every thread, so that no two files can share it.
    temporary = path.with_name(f".{hash_of(path.name)}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    except OSError as error:
        _unlink(temporary)
        raise DataError(
            f"{path} could not be written ({error.strerror or error}); nothing finished is lost: "
            "make room or choose another folder, and run the same command again."
        ) from error
    except BaseException:
        _unlink(temporary)
        raise


def _unlink(path: Path) -> None:
    with suppress(OSError):  # the error that led here says more
        path.unlink()


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text."""
    with write_atomically(path) as file:
        file.write(text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write readable, sorted JSON."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        DataError: The file is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as JSON ({error}).") from error


def hash_of(value: Any) -> str:
    """Short, stable fingerprint of plain values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
