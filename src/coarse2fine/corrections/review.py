"""What people decided about masks in ``coarse2fine app``.

The app alone writes ``<run>/review``; ``fit`` takes over what is there when it starts, and writes down what it took, so
that the two may work on one run folder at the same time.
"""

import hashlib
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from coarse2fine.config import Settings
from coarse2fine.data.photos import read_size
from coarse2fine.errors import DataError
from coarse2fine.masks.png import mask_path
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.files import hash_of, read_json, write_atomically, write_json
from coarse2fine.types import Photo

Decision = Literal["accepted", "fixed", "rejected"]
REJECTED = "rejected in review"
"""Why a rejected photo is left out, as ``kept.json`` says it."""

TAKEN = "review.json"
"""Beside the corrected masks: which of them came from review, and what is rejected, as fit took it over."""


class Decided(Settings):
    """What a person decided about the mask of a photo.

    Attributes:
        decision: ``accepted``: the mask as it was; ``fixed``: as the person drew it; ``rejected``: not to learn from.
        stage: Whose mask the person saw, such as ``round-3``.
        time: When, UTC.
    """

    decision: Decision
    stage: str
    time: str


_ALL = TypeAdapter(dict[str, Decided])


def decisions_path(folder: Path) -> Path:
    """Where decisions are kept."""
    return folder / "decisions.json"


def read_decisions(folder: Path) -> dict[str, Decided]:
    """Decisions by name of the photo.

    Raises:
        DataError: The file is damaged.
    """
    path = decisions_path(folder)
    if not path.exists():
        return {}
    try:
        return _ALL.validate_python(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = " -> ".join(str(part) for part in first["loc"])
        raise DataError(
            f"{path} must hold decisions as 'coarse2fine app' writes them, but at {where}: {first['msg']}; mend it, or "
            "move it away to begin anew."
        ) from error


class Review:
    """The decisions of a run, each on disk before :meth:`keep` returns.

    Args:
        folder: ``<run>/review``; nobody else may write there.

    Raises:
        DataError: What is there is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._decided = read_decisions(folder)
        self._lock = threading.Lock()

    @property
    def decided(self) -> Mapping[str, Decided]:
        """All decisions by name; it does not change while somebody goes through it."""
        return self._decided

    def mask(self, name: str) -> Path:
        """Where the accepted or fixed mask of a photo lies."""
        return mask_path(self.folder / "masks", name)

    def keep(self, name: str, decision: Decision, stage: str, mask: bytes | None = None) -> Decided:
        """Keep a decision instead of an earlier one.

        Args:
            name: The photo.
            decision: What to do with it.
            stage: Whose mask the person saw.
            mask: The mask as PNG; none for ``rejected``.

        Raises:
            DataError: The run folder cannot be written; the earlier decision holds.
        """
        decided = Decided(decision=decision, stage=stage, time=datetime.now(UTC).isoformat(timespec="seconds"))
        with self._lock:
            if mask is not None:
                with write_atomically(self.mask(name)) as file:
                    file.write(mask)
            self._write({**self._decided, name: decided})
            if mask is None:
                self.mask(name).unlink(missing_ok=True)
        return decided

    def take_back(self, name: str) -> None:
        """Forget a decision, and the mask that came with it.

        Raises:
            DataError: The run folder cannot be written; the decision holds.
        """
        with self._lock:
            self._write({other: decided for other, decided in self._decided.items() if other != name})
            self.mask(name).unlink(missing_ok=True)

    def _write(self, decided: dict[str, Decided]) -> None:
        write_json(decisions_path(self.folder), {name: one.model_dump() for name, one in decided.items()})
        self._decided = decided


def take_decisions(review: Path, photos: Sequence[Photo], corrected: Path, console: Console) -> None:
    """Take over what was decided: accepted and fixed masks come to the corrected ones, those taken back leave them.

    Of a photo whose mask also came home by ``--start-from`` the newer counts.

    Args:
        review: ``<run>/review``.
        photos: Those of the run.
        corrected: Where corrected masks are kept.
        console: Told what was taken over.

    Raises:
        DataError: A decision or mask is damaged, or does not fit its photo.
    """
    decided, before = read_decisions(review), _read_taken(corrected)
    rejected = [photo.name for photo in photos if photo.name in decided and decided[photo.name].decision == "rejected"]
    given = [photo for photo in photos if photo.name in decided and decided[photo.name].decision != "rejected"]
    taken: dict[str, str] = {}
    for photo in given:
        key = _take_mask(photo, mask_path(review / "masks", photo.name), corrected, before["masks"].get(photo.name))
        if key:
            taken[photo.name] = key
    for name, key in before["masks"].items():
        path = mask_path(corrected, name)
        if name not in taken and path.exists() and _fingerprint(path.read_bytes()) == key:
            path.unlink()
    now = {"masks": taken, "rejected": rejected}
    if now != before:
        write_json(corrected / TAKEN, now)
        console.say(f"decisions of {review}: {len(taken)} accepted or fixed masks, {len(rejected)} photos rejected")


def list_rejected(photos: Sequence[Photo], corrected: Path) -> list[str]:
    """Names of the photos that were rejected when fit started."""
    rejected = set(_read_taken(corrected)["rejected"])
    return [photo.name for photo in photos if photo.name in rejected]


def describe_rejected(rejected: Sequence[str]) -> dict[str, Any]:
    """What training depends on; nothing where nothing is rejected, so that runs without review stay as they are."""
    return {REJECTED: f"{len(rejected)} ({hash_of(sorted(rejected))})"} if rejected else {}


def _take_mask(photo: Photo, source: Path, corrected: Path, before: str | None) -> str | None:
    """Copy a mask unless it was taken before; its fingerprint, or none where it was taken back this moment."""
    try:
        content = source.read_bytes()
    except FileNotFoundError:
        return None
    key, target = _fingerprint(content), mask_path(corrected, photo.name)
    if key != before or not target.exists():
        if read_size(source) != read_size(photo.path):
            raise DataError(
                f"{source} must have the size of its photo, but that of {photo.path} has changed since; take the "
                "decision back in 'coarse2fine app'."
            )
        with write_atomically(target) as file:
            file.write(content)
    return key


def _read_taken(corrected: Path) -> dict[str, Any]:
    path = corrected / TAKEN
    return dict(read_json(path)) if path.exists() else {"masks": {}, "rejected": []}


def _fingerprint(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
