"""Exclusive access to a run folder, and folders of masks that belong to one set of settings."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from coarse2fine.errors import DataError
from coarse2fine.runtime.files import read_json_or_empty, write_json
from coarse2fine.runtime.lock import lock_file
from coarse2fine.store.stages import explain_change, holds_files

LOCK = ".lock"
"""Name of the lock file of a run folder."""

LOCK_TIMEOUT_S = 15
"""The data loader processes of a killed run keep its lock until they exit, a few seconds later."""


def hold_folder(folder: Path, timeout_s: float = LOCK_TIMEOUT_S) -> AbstractContextManager[None]:
    """Lock a run folder, so that no other process works on it, as long as the block lasts.

    Args:
        folder: The run folder. It is created if it does not exist.
        timeout_s: Seconds to wait for another process to release the lock.

    Raises:
        DataError: Another process holds the lock, or the folder is not writable.
    """
    locked = (
        f"Only one process at a time may work on {folder}, but another process does. Wait until it ends, stop it, or "
        "choose another --out."
    )
    return lock_file(folder / LOCK, locked, "Choose another --out.", timeout_s)


def claim_folder(folder: Path, settings: Mapping[str, Any]) -> None:
    """Prepare a folder for masks with certain settings, or resume a folder that was started with the same settings.

    A folder that holds no mask yet may be started again with other settings.

    Raises:
        DataError: The folder holds masks made with other settings, or other files.
    """
    path = folder / "settings.json"
    if path.exists():
        before = read_json_or_empty(path)
        if before != settings and holds_files(folder, except_for=path):
            raise DataError(
                f"{folder} holds masks made with other settings ({explain_change(before, settings)}). "
                "Choose another --out, or remove the masks."
            )
    elif holds_files(folder):
        raise DataError(f"{folder} must be new or empty, but holds other files. Choose another --out.")
    write_json(path, dict(settings))
