"""The run folder: where everything lies, and what is done.

A stage's ``done.json`` is written last: its presence means done. ``stage.json`` is written first and says which
settings the half-finished files belong to.
"""

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from coarse2fine.errors import DataError
from coarse2fine.runtime.device import VERSIONED, find_version
from coarse2fine.runtime.files import hash_of, read_json, write_json

SECONDS_TO_DIE = 15  # of the loader processes of a killed run, which hold its lock for as long as they live


@dataclass(frozen=True)
class Run:
    """The places of one run.

    Attributes:
        root: The run folder.
    """

    root: Path

    @property
    def config(self) -> Path:
        """Every setting, as resolved."""
        return self.root / "config.toml"

    @property
    def classes(self) -> Path:
        """Class names by index."""
        return self.root / "classes.json"

    @property
    def photos(self) -> Path:
        """The photos of the run, and what was left out and why."""
        return self.root / "photos.json"

    @property
    def coarse(self) -> Path:
        """Coarse masks."""
        return self.root / "coarse"

    @property
    def corrected(self) -> Path:
        """Masks that people corrected: every stage leaves them as they are."""
        return self.root / "corrected"

    @property
    def review(self) -> Path:
        """What people decided about masks in ``coarse2fine app``, which alone writes here."""
        return self.root / "review"

    @property
    def model(self) -> Path:
        """The result: all that predict, export and app need."""
        return self.root / "model"

    def round(self, number: int) -> Path:
        """The folder of one round, counted from 1."""
        return self.root / f"round-{number}"

    def weights(self, number: int) -> Path:
        """The network that a round trained."""
        return self.round(number) / "weights.safetensors"

    def training(self, number: int) -> Path:
        """Training of one round: checkpoint and logs."""
        return self.round(number) / "training"

    def metrics(self, number: int) -> Path:
        """Figures of a round; round 0 is before the first."""
        return (self.round(number) if number else self.root) / "metrics.json"

    def refined(self, number: int) -> Path:
        """Masks that the network of a round gave."""
        return self.round(number) / "refined"

    def scores(self, number: int) -> Path:
        """How likely each pixel is the label's, where the next enhancement asks for it; round 0: before the first."""
        return self.round(number) / "scores" if number else self.root / "coarse-scores"

    def quality(self, number: int) -> Path:
        """How far the masks after a round can be trusted: ``quality.csv``, ``quality-classes.csv``."""
        return self.round(number) / "quality"

    @property
    def report(self) -> Path:
        """The run, to read in a browser."""
        return self.root / "report.html"

    def enhanced(self, number: int) -> Path:
        """Enhanced masks after a round; round 0 is before the first."""
        return self.round(number) / "enhanced" if number else self.root / "enhanced"


def is_run(path: Path) -> bool:
    """Whether a folder is a run folder of fit, or the model folder in it."""
    return (path / "model.toml").exists() or (path / "config.toml").exists()


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


def _holds_files(folder: Path, apart_from: Path | None = None) -> bool:
    return folder.exists() and any(path != apart_from and not path.name.startswith(".") for path in folder.iterdir())


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
