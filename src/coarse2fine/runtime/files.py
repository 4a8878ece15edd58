"""Files that are complete or absent: each is written under a temporary name and renamed."""

import csv
import hashlib
import io
import json
import os
import shutil
import stat
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from coarse2fine.errors import DataError

Value = TypeVar("Value")

MISSING = "missing"
"""Stamp of a file that does not exist."""

MAX_JSON_BYTES = 1 << 30
"""Largest JSON file that is read. The list of a million photos has about 100 MB."""

MAX_CSV_BYTES = 1 << 30
"""Largest CSV table that is read. The table of a million photos has about 100 MB."""


@contextmanager
def replace_when_complete(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block ends without an error.

    The block creates a file or a folder at the temporary path. After an error it is removed, and ``path`` is unchanged.
    Parent folders are created.

    Raises:
        DataError: The disk is full, or the folder is not writable.
    """
    # The name is short whatever the length of the original, and unique per thread, so that no two writers share it.
    temporary = path.with_name(f".{hash_of(path.name)}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        _remove(temporary)
        raise DataError(
            f"{path} could not be written ({error.strerror or error}). Finished files are kept: "
            "free disk space or choose another folder, and run the same command again."
        ) from error
    except BaseException:
        _remove(temporary)
        raise


def check_new_folder(path: Path) -> None:
    """Check, before long work starts, that :func:`write_new_folder` can write a folder.

    Raises:
        DataError: The path is a file or a folder with content.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise DataError(f"{path} must be a new or empty folder, but it is a file or has content; choose another --out.")


@contextmanager
def write_new_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes ``path``, a new or empty folder, when the block ends without an error.

    Raises:
        DataError: The disk is full, or ``path`` is not writable or not empty.
    """
    with replace_when_complete(path.absolute()) as temporary:
        temporary.mkdir()
        yield temporary
        if path.exists():
            path.rmdir()  # Windows cannot rename a folder to an existing one, not even if that is empty


@contextmanager
def write_atomically(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing in binary mode so that it appears complete or not at all.

    Raises:
        DataError: The disk is full, or the folder is not writable. An existing file is unchanged.
    """
    with replace_when_complete(path) as temporary, temporary.open("wb") as file:
        yield file


def _remove(path: Path) -> None:
    with suppress(OSError):  # the error that led here is the one to report
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def write_text(path: Path, text: str) -> None:
    r"""Write UTF-8 text atomically; a byte of a file name that is not UTF-8 is written as ``\udcff``, as in JSON."""
    with write_atomically(path) as file:
        file.write(text.encode("utf-8", "backslashreplace"))


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON with sorted keys atomically."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: The file is missing, is no regular file, is larger than `MAX_JSON_BYTES`, or is not valid JSON.
    """
    try:
        _check_bytes(path, MAX_JSON_BYTES)
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON ({error}).") from error


def read_json_as(path: Path, kind: type[Value], content: str) -> Value:
    """Read a JSON file whose values must have certain types.

    Args:
        path: The file.
        kind: Any type that pydantic can check, such as ``dict[SafeName, str]``.
        content: What the file must hold, for the error message.

    Raises:
        DataError: As :func:`read_json`, or a value has another type.
    """
    values = read_json(path)
    try:
        return TypeAdapter(kind).validate_python(values)
    except DataError as error:  # of a check in the type, such as SafeName
        raise DataError(f"{path}: {error}") from error
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = "".join(f" {part} ->" for part in first["loc"]).removesuffix(" ->")[:200]
        at = f" at{where}" if where else ""
        message = first["msg"].removeprefix("Value error, ")
        raise DataError(
            f"{path} must hold {content}, but{at}: {message}. Restore the file, or remove it and run again "
            "the command that wrote it."
        ) from error


def read_json_or_empty(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object; return an empty one if the file does not exist.

    Raises:
        DataError: The file is not valid JSON, or holds no object.
    """
    return read_json_as(path, dict[str, Any], "a JSON object") if path.exists() else {}


def size_and_time(path: Path) -> str:
    """Return size in bytes and time of the last change in nanoseconds, as text; `MISSING` if there is no file."""
    try:
        status = path.stat()
    except OSError:
        return MISSING
    return f"{status.st_size} {status.st_mtime_ns}"


def _check_bytes(path: Path, most_bytes: int) -> None:
    check_regular_file(path)
    if (size := path.stat().st_size) > most_bytes:
        raise ValueError(f"{size} bytes, at most {most_bytes} are allowed")


def read_limited(path: Path, max_bytes: int) -> bytes:
    """Read a file that may come from a stranger: only a regular file, and only a small one.

    Raises:
        FileNotFoundError: There is no such file.
        DataError: It is a folder, a pipe or a device, is larger than ``max_bytes``, or cannot be read.
    """
    check_regular_file(path)
    try:
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}).") from error
    if len(content) > max_bytes:
        raise DataError(f"{path} must have at most {max_bytes} bytes, but is larger; it is no file of coarse2fine.")
    return content


def check_regular_file(path: Path) -> None:
    """Check, before a file is opened, that reading it ends.

    Raises:
        FileNotFoundError: There is no such file.
        DataError: It is a folder, a pipe or a device.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}).") from error
    if not stat.S_ISREG(mode):
        raise DataError(f"{path} must be a regular file, but is a folder, a pipe or a device.")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    r"""Write a CSV table atomically, row by row, so that ``rows`` may be a long generator.

    Lines end in ``\r\n`` (RFC 4180). With that, the writer quotes a value that holds either character.

    Args:
        path: The file.
        header: Names of the columns.
        rows: Values of each row, in the order of the columns.
    """
    with write_atomically(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        writer = csv.writer(text)
        writer.writerow(header)
        writer.writerows(rows)
        text.flush()
        text.detach()


def read_csv(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read a CSV table with a header.

    Args:
        path: The file.
        columns: Columns that must exist. Other columns are kept, too.

    Returns:
        One dictionary per row, column name to text.

    Raises:
        DataError: The file is missing, is no regular file, is larger than `MAX_CSV_BYTES`, is not a CSV table in UTF-8,
            or lacks a column.
    """
    try:
        _check_bytes(path, MAX_CSV_BYTES)
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                raise DataError(
                    f"{path} must be a CSV table with the columns {', '.join(columns)}, but lacks {', '.join(missing)}."
                )
            return list(reader)
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a CSV table ({error}).") from error


def hash_of(value: Any) -> str:
    """Return a short fingerprint of plain values that is the same in every process and version of Python.

    Args:
        value: Anything that ``json.dumps`` accepts.

    Returns:
        The first 16 hexadecimal digits of a SHA-256.
    """
    return hash_bytes(json.dumps(value, sort_keys=True).encode())


def hash_bytes(content: bytes) -> str:
    """Return a short fingerprint of bytes: the first 16 hexadecimal digits of a SHA-256."""
    return hashlib.sha256(content).hexdigest()[:16]


def hash_file(path: Path) -> str:
    """Return :func:`hash_bytes` of the content of a file; it may be larger than the memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
