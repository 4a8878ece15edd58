"""Decisions about masks that people made in ``coarse2fine app``.

Only the app writes to ``<run>/review``. ``fit`` applies the decisions that exist when it starts, and records which ones
it applied. So the app and ``fit`` can work on one run folder at the same time.
"""

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
from coarse2fine.runtime.files import hash_bytes, hash_of, read_json, read_json_or_empty, write_atomically, write_json
from coarse2fine.types import Photo

Decision = Literal["accepted", "fixed", "rejected"]
REJECTED = "rejected in review"
"""Reason in ``filter.json`` for leaving out a rejected photo."""

APPLIED_FILE = "review.json"
"""File beside the corrected masks: which of them come from the review, and which photos are rejected."""


class ReviewDecision(Settings):
    """The decision of a person about the mask of a photo.

    Attributes:
        decision: ``accepted``: the mask is right; ``fixed``: the person drew a new one; ``rejected``: the photo is left
            out of training.
        stage: Stage of the mask that the person saw, such as ``round-3``.
        time: Time of the decision, UTC, in ISO format.
    """

    decision: Decision
    stage: str
    time: str


_DECISIONS = TypeAdapter(dict[str, ReviewDecision])


def decisions_path(folder: Path) -> Path:
    """Return the path of the file with all decisions of a review folder."""
    return folder / "decisions.json"


def read_decisions(folder: Path) -> dict[str, ReviewDecision]:
    """Read the decisions of a review folder, by name of the photo; empty if there are none.

    Raises:
        DataError: The file is damaged.
    """
    path = decisions_path(folder)
    if not path.exists():
        return {}
    try:
        return _DECISIONS.validate_python(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = " -> ".join(str(part) for part in first["loc"])
        raise DataError(
            f"{path} must hold decisions as 'coarse2fine app' writes them, but at {where}: {first['msg']}. Repair the "
            "file, or move it away to start without decisions."
        ) from error


class Review:
    """The decisions of a run; each is on disk before :meth:`keep` returns.

    Args:
        folder: ``<run>/review``. No other process may write to it.

    Raises:
        DataError: The file of decisions is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._decisions = read_decisions(folder)
        self._lock = threading.Lock()

    @property
    def decided(self) -> Mapping[str, ReviewDecision]:
        """All decisions by name of the photo. A change makes a new mapping, so it is safe to iterate over this one."""
        return self._decisions

    def mask(self, name: str) -> Path:
        """Return the path of the accepted or fixed mask of a photo."""
        return mask_path(self.folder / "masks", name)

    def keep(self, name: str, decision: Decision, stage: str, mask: bytes | None = None) -> ReviewDecision:
        """Save a decision; it replaces an earlier one about the same photo.

        Args:
            name: Name of the photo.
            decision: The decision.
            stage: Stage of the mask that the person saw.
            mask: Content of the mask's PNG file. None for ``rejected``.

        Raises:
            DataError: The run folder cannot be written. The earlier decision stays.
        """
        made = ReviewDecision(decision=decision, stage=stage, time=datetime.now(UTC).isoformat(timespec="seconds"))
        with self._lock:
            if mask is not None:
                with write_atomically(self.mask(name)) as file:
                    file.write(mask)
            self._write({**self._decisions, name: made})
            if mask is None:
                self.mask(name).unlink(missing_ok=True)
        return made

    def take_back(self, name: str) -> None:
        """Delete a decision and its mask.

        Raises:
            DataError: The run folder cannot be written. The decision stays.
        """
        with self._lock:
            self._write({other: made for other, made in self._decisions.items() if other != name})
            self.mask(name).unlink(missing_ok=True)

    def _write(self, decisions: dict[str, ReviewDecision]) -> None:
        write_json(decisions_path(self.folder), {name: made.model_dump() for name, made in decisions.items()})
        self._decisions = decisions


def apply_review_decisions(review: Path, photos: Sequence[Photo], corrected: Path, console: Console) -> None:
    """Copy accepted and fixed masks to the corrected masks, and remove those of deleted decisions.

    If ``--start-from`` has imported a mask of the same photo, the newer of the two masks is kept.

    Args:
        review: ``<run>/review``.
        photos: The photos of the run.
        corrected: The folder of corrected masks, ``<run>/corrected``.
        console: Prints how many decisions were applied, if they have changed.

    Raises:
        DataError: A decision or mask is damaged, or does not fit its photo.
    """
    decisions, before = read_decisions(review), _read_applied(corrected)
    decided = [photo for photo in photos if photo.name in decisions]
    rejected = [photo.name for photo in decided if decisions[photo.name].decision == "rejected"]
    applied: dict[str, str] = {}
    for photo in decided:
        if decisions[photo.name].decision != "rejected":
            source, known = mask_path(review / "masks", photo.name), before["masks"].get(photo.name)
            key = _copy_mask(photo, source, corrected, known)
            if key:
                applied[photo.name] = key
    for name, key in before["masks"].items():
        path = mask_path(corrected, name)
        if name not in applied and path.exists() and hash_bytes(path.read_bytes()) == key:
            path.unlink()
    now = {"masks": applied, "rejected": rejected}
    if now != before:
        write_json(corrected / APPLIED_FILE, now)
        console.say(f"decisions of {review}: {len(applied)} accepted or fixed masks, {len(rejected)} photos rejected")


def list_rejected(photos: Sequence[Photo], corrected: Path) -> list[str]:
    """Return the names of the photos that were rejected when fit started."""
    rejected = set(_read_applied(corrected)["rejected"])
    return [photo.name for photo in photos if photo.name in rejected]


def describe_rejected(rejected: Sequence[str]) -> dict[str, Any]:
    """Return the entry that rejected photos add to the fingerprint of training.

    It is empty without rejected photos, so that runs without a review stay valid.
    """
    return {REJECTED: f"{len(rejected)} ({hash_of(sorted(rejected))})"} if rejected else {}


def _copy_mask(photo: Photo, source: Path, corrected: Path, known: str | None) -> str | None:
    """Copy a mask to the corrected ones unless its fingerprint is ``known`` from an earlier copy.

    Returns:
        The fingerprint of the mask. None if the app has deleted the mask in the meantime.
    """
    try:
        content = source.read_bytes()
    except FileNotFoundError:
        return None
    key, target = hash_bytes(content), mask_path(corrected, photo.name)
    if key != known or not target.exists():
        if read_size(source) != read_size(photo.path):
            raise DataError(
                f"{source} must have the size of its photo, but the size of {photo.path} has changed since. Undo the "
                "decision in 'coarse2fine app'."
            )
        with write_atomically(target) as file:
            file.write(content)
    return key


def _read_applied(corrected: Path) -> dict[str, Any]:
    return {"masks": {}, "rejected": []} | read_json_or_empty(corrected / APPLIED_FILE)
