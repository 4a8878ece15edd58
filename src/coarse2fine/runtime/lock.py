"""Locks between processes: a file that only one process at a time can hold."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from coarse2fine.errors import DataError


class LockedError(DataError):
    """Another process holds the lock."""


@contextmanager
def lock_file(path: Path, locked: str, remedy: str, timeout_s: float = 0) -> Iterator[None]:
    """Hold a lock as long as the block lasts. The operating system releases the lock of a killed process.

    Args:
        path: The lock file. Its folder is created if it does not exist.
        locked: Error message if another process holds the lock.
        remedy: Last sentence of the error message if the folder is not writable.
        timeout_s: Seconds to wait for another process to release the lock.

    Raises:
        LockedError: Another process holds the lock.
        DataError: The folder is not writable.
    """
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=timeout_s)
    except Timeout as error:
        raise LockedError(locked) from error
    except OSError as error:
        raise DataError(f"{path.parent} cannot be written ({error.strerror or error}). {remedy}") from error
    try:
        yield
    finally:
        lock.release()
