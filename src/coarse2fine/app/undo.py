"""Undo of decisions, of any photo, as long as the app runs."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from coarse2fine.corrections.review import Review, ReviewDecision
from coarse2fine.serving.errors import RequestError

MAX_STEPS = 200
"""Number of changes that can be undone. A mask takes a few kilobytes."""


class _Step(NamedTuple):
    """A change of the decision about one photo.

    Attributes:
        name: Name of the photo.
        before: The earlier decision; None if there was none.
        mask: The mask of the earlier decision: content of its PNG file.
        after: The decision after the change.
    """

    name: str
    before: ReviewDecision | None
    mask: bytes | None
    after: ReviewDecision | None


class UndoHistory:
    """Changes decisions so that each change can be undone.

    Args:
        review: The decisions.
    """

    def __init__(self, review: Review) -> None:
        self.review = review
        self._steps: OrderedDict[int, _Step] = OrderedDict()
        self._number = 0
        self._lock = threading.Lock()

    def change(self, name: str, change: Callable[[], ReviewDecision | None]) -> dict[str, Any]:
        """Change the decision about a photo.

        Args:
            name: Name of the photo.
            change: Makes the change, and returns the new decision.

        Returns:
            ``decided``: the new decision; ``undo``: the number that :meth:`undo` needs.
        """
        with self._lock:
            before, path = self.review.decided.get(name), self.review.mask(name)
            mask = path.read_bytes() if before and before.decision != "rejected" and path.exists() else None
            after = change()
            self._number += 1
            self._steps[self._number] = _Step(name, before, mask, after)
            if len(self._steps) > MAX_STEPS:
                self._steps.popitem(last=False)
            return {"decided": after.model_dump() if after else None, "undo": self._number}

    def undo(self, number: int) -> str:
        """Undo a change.

        Returns:
            Name of the photo.

        Raises:
            RequestError: The change is not known, or the decision has been changed again since.
            DataError: The run folder cannot be written. The decision stays.
        """
        with self._lock:
            step = self._steps.get(number)
            if step is None:
                raise RequestError(
                    404, f"This change can no longer be undone: only the last {MAX_STEPS} since the app started can."
                )
            if self.review.decided.get(step.name) != step.after:
                raise RequestError(
                    409, f"The decision about '{step.name}' has been changed again since; open the photo."
                )
            self.review.restore(step.name, step.before, step.mask)
            del self._steps[number]
            return step.name
