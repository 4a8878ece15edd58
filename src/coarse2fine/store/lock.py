"""Exclusive use of a run folder, and folders of masks that belong to one set of settings."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from coarse2fine.errors import DataError
from coarse2fine.runtime.files import read_json, write_json
from coarse2fine.store.run import _holds_files
from coarse2fine.store.stages import explain_change

SECONDS_TO_DIE = 15  # of the loader processes of a killed run, which hold its lock for as long as they live


@contextmanager
def hold_folder(folder: Path, patience: float = SECONDS_TO_DIE) -> Iterator[None]:
    """Be the only process that works on a run folder for as long as the block lasts; a kill lets go of it, too.

    Args:
        folder: The run folder, made where it is missing.
        patience: Seconds to wait for another process to let go.

    Raises:
        DataError: Another process works on it, or it cannot be written.
    """
    lock = FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=patience)
    except Timeout as error:
        raise DataError(
            f"Only one process at a time may work on {folder}, but another one does; wait until it ends, stop it, or "
            "choose another --out."
        ) from error
    except OSError as error:
        raise DataError(f"{folder} cannot be written ({error.strerror or error}); choose another --out.") from error
    try:
        yield
    finally:
        lock.release()


def claim_folder(folder: Path, settings: Mapping[str, Any]) -> None:
    """Make a folder of masks ready, or go on with one that was begun with the same settings.

    A folder in which nothing was made yet, such as by a run that lacked its weights, may be begun anew with others.

    Raises:
        DataError: The folder holds masks made with other settings, or files of something else.
    """
    path = folder / "settings.json"
    if path.exists():
        before = read_json(path)
        if before != settings and _holds_files(folder, apart_from=path):
            raise DataError(
                f"{folder} holds masks made with other settings ({explain_change(before, settings)}); "
                "choose another --out, or remove them."
            )
    elif _holds_files(folder):
        raise DataError(f"{folder} must be new or empty, but holds other files; choose another --out.")
    write_json(path, dict(settings))
