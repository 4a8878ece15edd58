"""Stages of a run.

A stage writes its files to one folder, and ``done.json`` last: if it exists, the stage is complete. ``stage.json`` is
written first and records the settings that the unfinished files belong to.
"""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coarse2fine.errors import DataError
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.device import VERSIONED, find_version
from coarse2fine.runtime.files import hash_of, write_json
from coarse2fine.store.records import read_done, read_started

_DONE = "done.json"


@dataclass(frozen=True)
class Stage:
    """One step of a run, in one folder.

    Attributes:
        folder: Folder of its files.
        title: Title in the terminal.
        settings: Settings that its files depend on, as plain values. If one changes, the stage is run again.
        inputs: Fingerprints of the stages that it reads from.
    """

    folder: Path
    title: str
    settings: Mapping[str, Any]
    inputs: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Fingerprint of all settings and inputs."""
        return hash_of([dict(self.settings), list(self.inputs)])

    def is_done(self) -> bool:
        """Return whether the stage is complete with these settings and inputs."""
        return self.done().get("key") == self.key

    def begin(self) -> str | None:
        """Prepare the folder: keep the files of a stopped run with the same settings and inputs, remove all others.

        Returns:
            The reason why the files of an earlier run were removed; None if there were none.

        Raises:
            DataError: The folder holds files that no stage wrote.
        """
        before = self.done() or read_started(self.folder)
        why = None
        if before and before.get("key") != self.key:
            why = explain_change(before.get("settings", {}), self.settings)
            self._remove_folder()
        elif not before and holds_files(self.folder):
            raise DataError(
                f"{self.folder} must be empty or from an earlier run, but holds other files. Move them elsewhere."
            )
        (self.folder / _DONE).unlink(missing_ok=True)
        write_json(self.folder / "stage.json", self._record())
        return why

    def finish(self, seconds: float, **counts: Any) -> None:
        """Record that the stage is complete; ``seconds`` is the duration of the last run that worked on it."""
        versions = {name: find_version(name) for name in VERSIONED}
        record = self._record() | {"versions": versions, "seconds": round(seconds, 3), **counts}
        write_json(self.folder / _DONE, record)
        (self.folder / "stage.json").unlink(missing_ok=True)
        for left_behind in self.folder.rglob(".*.tmp"):
            left_behind.unlink()

    def done(self) -> dict[str, Any]:
        """Return the record that :meth:`finish` wrote; empty if the stage is not complete."""
        return read_done(self.folder)

    def _remove_folder(self) -> None:
        """Remove the folder so that a kill at any moment leaves either all of it or nothing."""
        old = self.folder.with_name(f".{self.folder.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        self.folder.rename(old)
        shutil.rmtree(old)

    def _record(self) -> dict[str, Any]:
        return {"key": self.key, "settings": dict(self.settings), "inputs": list(self.inputs)}


def is_complete(folder: Path) -> bool:
    """Return whether the stage of a folder is complete, with any settings."""
    return (folder / _DONE).exists()


def explain_change(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Describe which settings differ, such as ``train.epochs 3 -> 4``; if none does, an input differs."""
    changed = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    names = [name for name in changed if name in before and name in now] or changed
    return ", ".join(f"{name} {before.get(name)} -> {now.get(name)}" for name in names) or "an earlier stage changed"


@contextmanager
def measure_seconds() -> Iterator[list[float]]:
    """Append the duration of the block, in seconds, to the yielded list."""
    began = time.monotonic()
    seconds: list[float] = []
    try:
        yield seconds
    finally:
        seconds.append(time.monotonic() - began)


def run_stage(stage: Stage, context: Context, work: Callable[[], dict[str, object] | None]) -> None:
    """Run a stage unless it is complete; resume it where an earlier run stopped.

    Args:
        stage: Its folder, settings and inputs.
        context: Processes and console.
        work: Computes the stage, in every process. It may return counts for ``done.json``.
    """
    if stage.is_done():
        context.console.say(f"{stage.title}: already done", style="dim")
        return
    context.barrier()
    if context.is_main:
        why = stage.begin()
        if why:
            context.console.say(f"{stage.title}: run again, because {why}", style="yellow")
    context.barrier()
    with measure_seconds() as seconds:
        counts = work() or {}
        context.barrier()
    if context.is_main:
        stage.finish(seconds[0], **counts)
    context.barrier()


def holds_files(folder: Path, except_for: Path | None = None) -> bool:
    """Return whether a folder holds files or folders that are not hidden."""
    return folder.exists() and any(path != except_for and not path.name.startswith(".") for path in folder.iterdir())
