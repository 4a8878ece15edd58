"""Decisions about masks that people made in ``coarse2fine app``.

Only the app writes to ``<run>/review``. ``fit`` applies the decisions that exist when it starts, and records which ones
it applied. So the app and ``fit`` can work on one run folder at the same time.
"""

import base64
import threading
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Base64Bytes, Field

from coarse2fine.config import Settings
from coarse2fine.data.photos import read_size
from coarse2fine.errors import DataError
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.files import (
    check_regular_file,
    hash_bytes,
    hash_file,
    hash_of,
    read_json_as,
    write_atomically,
    write_json,
    write_text,
)
from coarse2fine.runtime.names import SafeName, path_inside
from coarse2fine.types import Photo

Decision = Literal["accepted", "fixed", "rejected"]
REJECTED = "rejected in review"
"""Reason in ``filter.json`` for leaving out a rejected photo."""

APPLIED_FILE = "review.json"
"""File beside the corrected masks: which of them come from the review, and which photos are rejected."""


Stage = Annotated[str, Field(pattern=r"^(coarse|enhanced|round-[0-9]{1,3}|reviewed)?$")]
"""Stage of a mask; empty for a mask that was drawn without one."""

_UNFINISHED_FILE = "unfinished.json"
_PNG_OVERHEAD_BYTES = 1 << 20


class ReviewDecision(Settings):
    """The decision of a person about the mask of a photo.

    Attributes:
        decision: ``accepted``: the mask is right; ``fixed``: the person drew a new one; ``rejected``: the photo is left
            out of training.
        stage: Stage of the mask that the person saw, such as ``round-3``.
        time: Time of the decision, UTC, in ISO format.
    """

    decision: Decision
    stage: Stage
    time: Annotated[str, Field(max_length=40)]


class _Change(Settings):
    """A change of the decision about one photo, as it is recorded before any other file changes.

    Attributes:
        name: Name of the photo.
        decision: The new decision; None: the earlier one is deleted.
        mask: Content of the mask's PNG file, base64; None: the mask is deleted.
    """

    name: SafeName
    decision: ReviewDecision | None
    mask: Base64Bytes | None


class _Applied(Settings):
    """What ``fit`` applied when it started.

    Attributes:
        masks: Fingerprint of each mask that was copied, by name of the photo.
        rejected: Names of the rejected photos.
    """

    masks: dict[SafeName, str] = Field({})
    rejected: list[str] = Field([])


def decisions_path(folder: Path) -> Path:
    """Return the path of the file with all decisions of a review folder."""
    return folder / "decisions.json"


def read_decisions(folder: Path) -> dict[str, ReviewDecision]:
    """Read the decisions of a review folder, by name of the photo; empty if there are none.

    Raises:
        DataError: The file is damaged.
    """
    path = decisions_path(folder)
    what = "decisions as 'coarse2fine app' writes them"
    return read_json_as(path, dict[str, ReviewDecision], what) if path.exists() else {}


class Review:
    """The decisions of a run; each is on disk before :meth:`keep` returns.

    A decision and its mask change together: the change is recorded in ``unfinished.json`` first. If the process is
    killed before both files are written, the next one completes the change.

    Args:
        folder: ``<run>/review``. No other process may write to it.

    Raises:
        DataError: The file of decisions or of the unfinished change is damaged, or a folder lies where that change has
            its mask.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._decisions = read_decisions(folder)
        self._lock = threading.Lock()
        if self._unfinished.exists():
            self._apply(self._read_unfinished())
            self._unfinished.unlink()
        for left_behind in folder.rglob(".*.tmp"):
            if left_behind.is_symlink() or not left_behind.is_dir():
                left_behind.unlink()

    @property
    def decided(self) -> Mapping[str, ReviewDecision]:
        """All decisions by name of the photo. A change makes a new mapping, so it is safe to iterate over this one."""
        return self._decisions

    def mask(self, name: str) -> Path:
        """Return the path of the accepted or fixed mask of a photo.

        Raises:
            DataError: The name leads out of the folder, or through a link.
        """
        return _reviewed_mask(self.folder, name)

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
        self._change(name, made, mask)
        return made

    def take_back(self, name: str) -> None:
        """Delete a decision and its mask.

        Raises:
            DataError: The run folder cannot be written. The decision stays.
        """
        self._change(name, None, None)

    def restore(self, name: str, decision: ReviewDecision | None, mask: bytes | None) -> None:
        """Save an earlier decision again, unchanged; None: there was none.

        Raises:
            DataError: The run folder cannot be written. The decision stays.
        """
        self._change(name, decision, mask)

    @property
    def _unfinished(self) -> Path:
        return path_inside(self.folder.parent, f"{self.folder.name}/{_UNFINISHED_FILE}")

    def _read_unfinished(self) -> _Change:
        try:
            return read_json_as(self._unfinished, _Change, "a change of a decision")
        except DataError as error:
            raise DataError(
                f"The last decision was interrupted and cannot be completed: {error} Remove {self._unfinished}, and "
                "make that decision again."
            ) from error

    def _change(self, name: str, decision: ReviewDecision | None, mask: bytes | None) -> None:
        encoded = None if mask is None else base64.b64encode(mask)
        change = _Change(name=name, decision=decision, mask=encoded)
        with self._lock:
            write_text(self._unfinished, change.model_dump_json())
            try:
                self._apply(change)
            except DataError:
                self._unfinished.unlink()
                raise
            self._unfinished.unlink()

    def _apply(self, change: _Change) -> None:
        """Write the decisions and the mask. If there is no room for one of them, neither changes."""
        path = self.mask(change.name)
        if path.is_dir():
            raise DataError(f"{path} must be a mask, but is a folder; remove it.")
        decisions = {name: made for name, made in self._decisions.items() if name != change.name}
        if change.decision is not None:
            decisions[change.name] = change.decision
        with nullcontext() if change.mask is None else write_atomically(path) as file:
            if file is not None and change.mask is not None:
                file.write(change.mask)
                file.flush()
            self._write(decisions)
        if change.mask is None:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                self._write(self._decisions)
                raise DataError(
                    f"{path} could not be deleted ({error.strerror or error}). The earlier decision stays; make the "
                    "folder of the mask writable, and decide again."
                ) from error
        self._decisions = decisions

    def _write(self, decisions: Mapping[str, ReviewDecision]) -> None:
        write_json(decisions_path(self.folder), {name: made.model_dump() for name, made in decisions.items()})


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
            source, known = _reviewed_mask(review, photo.name), before.masks.get(photo.name)
            key = _copy_mask(photo, source, corrected, known)
            if key:
                applied[photo.name] = key
    for name, key in before.masks.items():
        path = _corrected_mask(corrected, name)
        if name not in applied and path.is_file() and hash_file(path) == key:
            path.unlink()
    now = _Applied(masks=applied, rejected=rejected)
    if now != before:
        write_json(corrected / APPLIED_FILE, now.model_dump())
        console.say(f"decisions of {review}: {len(applied)} accepted or fixed masks, {len(rejected)} photos rejected")


def list_rejected(photos: Sequence[Photo], corrected: Path) -> list[str]:
    """Return the names of the photos that were rejected when fit started."""
    rejected = set(_read_applied(corrected).rejected)
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
    size = read_size(photo.path)
    max_bytes = size[0] * size[1] + _PNG_OVERHEAD_BYTES
    try:
        check_regular_file(source)
        if source.stat().st_size > max_bytes:
            raise DataError(f"{source} must be a mask of {size[1]} x {size[0]} pixels, but has over {max_bytes} bytes.")
        content = source.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{source} must be a mask, but cannot be read ({error.strerror}).") from error
    key, target = hash_bytes(content), _corrected_mask(corrected, photo.name)
    if key != known or not target.exists():
        if read_size(content) != size:
            raise DataError(
                f"{source} must have the size of its photo, but the size of {photo.path} has changed since. Undo the "
                "decision in 'coarse2fine app'."
            )
        with write_atomically(target) as file:
            file.write(content)
    return key


def _reviewed_mask(review: Path, name: str) -> Path:
    return path_inside(review.parent, f"{review.name}/masks/{name}.png")


def _corrected_mask(corrected: Path, name: str) -> Path:
    return path_inside(corrected.parent, f"{corrected.name}/{name}.png")


def _read_applied(corrected: Path) -> _Applied:
    path = corrected / APPLIED_FILE
    return read_json_as(path, _Applied, "the applied decisions of a review") if path.exists() else _Applied()
