"""Stages of a run: what is done, with which settings, and why it is done again."""

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
from coarse2fine.runtime.files import hash_of, read_json, write_json
from coarse2fine.store.run import _holds_files


@dataclass(frozen=True)
class Stage:
    """One step of a run, in one folder.

    Attributes:
        folder: Where its files lie.
        title: What it does, for people.
        settings: What its files depend on, as plain values; a change redoes the stage.
        inputs: Fingerprints of the stages before it.
    """

    folder: Path
    title: str
    settings: Mapping[str, Any]
    inputs: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Fingerprint of everything that the stage's files depend on."""
        return hash_of([dict(self.settings), list(self.inputs)])

    def is_done(self) -> bool:
        """Whether it finished with just these settings and inputs."""
        return self._recorded("done.json").get("key") == self.key

    def begin(self) -> str | None:
        """Make the folder ready, keeping what a stopped run with the same settings and inputs left.

        Returns:
            Why files of an earlier run were thrown away; none if there were none.

        Raises:
            DataError: The folder holds files of something else.
        """
        before = self._recorded("done.json") or self._recorded("stage.json")
        why = None
        if before and before.get("key") != self.key:
            why = explain_change(before.get("settings", {}), self.settings)
            self._throw_away()
        elif not before and _holds_files(self.folder):
            raise DataError(
                f"{self.folder} must be empty or from an earlier run, but holds other files; move them away."
            )
        (self.folder / "done.json").unlink(missing_ok=True)
        write_json(self.folder / "stage.json", self._record())
        return why

    def finish(self, seconds: float, **counts: Any) -> None:
        """Say that all files are there; ``seconds`` are those of the last process that worked on it."""
        versions = {name: find_version(name) for name in VERSIONED}
        record = self._record() | {"versions": versions, "seconds": round(seconds, 1), **counts}
        write_json(self.folder / "done.json", record)
        (self.folder / "stage.json").unlink(missing_ok=True)
        for left_by_a_kill in self.folder.rglob(".*.tmp"):
            left_by_a_kill.unlink()

    def done(self) -> dict[str, Any]:
        """What :meth:`finish` wrote."""
        return self._recorded("done.json")

    def _throw_away(self) -> None:
        """Remove the folder so that a kill leaves all of it or nothing."""
        old = self.folder.with_name(f".{self.folder.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        self.folder.rename(old)
        shutil.rmtree(old)

    def _record(self) -> dict[str, Any]:
        return {"key": self.key, "settings": dict(self.settings), "inputs": list(self.inputs)}

    def _recorded(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        return dict(read_json(path)) if path.exists() else {}


def explain_change(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Which settings differ, such as ``train.epochs 3 -> 4``; an input if none does."""
    changed = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    names = [name for name in changed if name in before and name in now] or changed
    return ", ".join(f"{name} {before.get(name)} -> {now.get(name)}" for name in names) or "an earlier stage changed"


@contextmanager
def measure_seconds() -> Iterator[list[float]]:
    """Put the seconds that the block took into the yielded list."""
    began = time.monotonic()
    seconds: list[float] = []
    try:
        yield seconds
    finally:
        seconds.append(time.monotonic() - began)


def run_stage(stage: Stage, context: Context, work: Callable[[], dict[str, object] | None]) -> bool:
    """Do a stage unless it is done; go on with it where an earlier run stopped.

    Args:
        stage: Its folder, and what it depends on.
        context: Who works.
        work: Does it, in every process; may return counts for ``done.json``.

    Returns:
        Whether there was something to do.
    """
    if stage.is_done():
        context.console.say(f"{stage.title}: done before", style="dim")
        return False
    context.barrier()
    if context.is_main:
        why = stage.begin()
        if why:
            context.console.say(f"{stage.title}: done again, because {why}", style="yellow")
    context.barrier()
    with measure_seconds() as seconds:
        counts = work() or {}
        context.barrier()
    if context.is_main:
        stage.finish(seconds[0], **counts)
    context.barrier()
    return True
