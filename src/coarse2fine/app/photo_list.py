"""The photos of a run: which of them, in which order, and what is known of one."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import count, takewhile
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from coarse2fine.app.images import VIEW_PX, fingerprint, fit_size
from coarse2fine.corrections.review import Review
from coarse2fine.data.photos import read_size
from coarse2fine.errors import DataError
from coarse2fine.evaluation.mask_quality import Quality, list_rounds
from coarse2fine.evaluation.quality_table import TABLE, read_quality
from coarse2fine.masks.png import mask_path
from coarse2fine.runtime.files import read_json
from coarse2fine.store.run import Run
from coarse2fine.types import Dataset, Photo

Order = Literal["doubtful", "good", "name"]
State = Literal["undecided", "accepted", "fixed", "rejected"]
Content = TypeVar("Content")

OWN = "yours"
"""The stage of the mask that a person accepted or fixed."""

PAGE = 48
"""Photos on a page."""


@dataclass(frozen=True)
class Choice:
    """Which photos are looked at.

    Attributes:
        class_name: Of this class; None: of all.
        state: Decided so; None: all.
        order: Lowest score first, highest first, or by name; photos without a score come last.
    """

    class_name: str | None = None
    state: State | None = None
    order: Order = "doubtful"


class _Fresh(Generic[Content]):
    """What a file says, read again when the file has changed."""

    def __init__(self, read: Callable[[Path], Content]) -> None:
        self._read = read
        self._known: tuple[tuple[Path, int, int], Content] | None = None

    def __call__(self, path: Path) -> Content:
        status = path.stat()
        stamp = path, status.st_mtime_ns, status.st_size
        known = self._known
        if known is None or known[0] != stamp:
            known = self._known = stamp, self._read(path)
        return known[1]


@dataclass(frozen=True)
class _Table:
    """Probabilities by name of the photo, and photos in the order of each choice."""

    by_name: dict[str, Quality]
    orders: dict[Order, list[Photo]]


class Gallery:
    """A run and what people decided about its photos.

    Args:
        run: Its places.
        dataset: Its photos.
        review: The decisions.
    """

    def __init__(self, run: Run, dataset: Dataset, review: Review) -> None:
        self.run, self.dataset, self.review = run, dataset, review
        self._by_name = {photo.name: photo for photo in dataset.photos}
        self._unscored = self._arrange(None)
        self._read_table = _Fresh(self._arrange)
        self._read_reasons = _Fresh(lambda path: dict(read_json(path)))

    def find(self, name: str) -> Photo:
        """The photo of a name.

        Raises:
            KeyError: The run has none.
        """
        return self._by_name[name]

    def choose(self, choice: Choice) -> list[Photo]:
        """The photos of a choice, in its order."""
        return [photo for photo in self._table().orders[choice.order] if self._fits(photo, choice)]

    def list_page(self, choice: Choice, page: int) -> dict[str, Any]:
        """One page of the photos of a choice, counted from 1; the last one where there are fewer."""
        photos, table = self.choose(choice), self._table()
        pages = max(1, -(-len(photos) // PAGE))
        page = min(page, pages)
        return {
            "total": len(photos),
            "page": page,
            "pages": pages,
            "photos": [self._describe_briefly(photo, table) for photo in photos[(page - 1) * PAGE : page * PAGE]],
        }

    def describe(self, photo: Photo, choice: Choice) -> dict[str, Any]:
        """What is known of a photo, and its neighbors among the photos of a choice.

        Raises:
            DataError: The photo cannot be read.
        """
        table = self._table()
        quality = table.by_name.get(photo.name)
        decided = self.review.decided.get(photo.name)
        height, width = fit_size(read_size(photo.path), VIEW_PX)
        return {
            **self._describe_briefly(photo, table),
            **self._find_neighbors(photo, choice, table),
            "label": photo.label,
            "height": height,
            "width": width,
            "stages": self.list_stages(photo),
            "quality": asdict(quality) if quality else None,
            "decided": decided.model_dump() if decided else None,
            "left_out": self._find_reason(photo),
        }

    def describe_run(self) -> dict[str, Any]:
        """What is known of the run as a whole."""
        photos, table = self.dataset.photos, self._table()
        counts = Counter(photo.label for photo in photos)
        states = Counter(one.decision for name, one in self.review.decided.items() if name in self._by_name)
        return {
            "name": self.run.root.resolve().name,
            "classes": list(self.dataset.classes),
            "counts": [counts[label] for label in range(len(self.dataset.classes))],
            "photos": len(photos),
            "states": {"undecided": len(photos) - states.total(), **states},
            "rounds": len(list_rounds(self.run)),
            "scored": bool(table.by_name),
        }

    def list_stages(self, photo: Photo) -> list[str]:
        """Stages that have a mask of the photo, the newest last: ``coarse``, ``enhanced``, ``round-1``, ..., `OWN`."""
        rounds = takewhile(lambda number: self.run.round(number).exists(), count(1))
        names = ["coarse", "enhanced", *(f"round-{number}" for number in rounds), OWN]
        return [name for name in names if self.mask(photo, name).exists()]

    def mask(self, photo: Photo, stage: str) -> Path:
        """Where the mask of a stage lies, one of those that :meth:`list_stages` may name.

        Raises:
            KeyError: There is no such stage.
        """
        kind, _, number = stage.partition("-")
        if stage == OWN:
            return self.review.mask(photo.name)
        if stage == "coarse":
            return mask_path(self.run.coarse, photo.name)
        if stage != "enhanced" and not (kind == "round" and number.isascii() and number.isdigit() and len(number) < 4):
            raise KeyError(stage)
        return mask_path(self.run.enhanced(int(number) if number else 0), photo.name)

    def seen_mask(self, photo: Photo, stage: str, seen: str) -> Path:
        """Where the mask lies that a person saw.

        Args:
            photo: Whose.
            stage: As in :meth:`mask`.
            seen: Its fingerprint as the person saw it.

        Raises:
            DataError: It has changed since.
            KeyError: There is no such stage.
        """
        path = self.mask(photo, stage)
        if fingerprint(path) != seen:
            raise DataError("This mask was made again since you saw it; look at it once more.")
        return path

    def _table(self) -> _Table:
        rounds = [self.run.quality(number) for number in reversed(list_rounds(self.run))]
        judged = [folder / TABLE for folder in rounds if (folder / "done.json").exists()]
        for path in [*judged, self.run.root / TABLE]:
            try:
                return self._read_table(path)
            except OSError:  # not there, or gone this moment: fit may be at work
                continue
        return self._unscored

    def _arrange(self, path: Path | None) -> _Table:
        by_name = {one.photo: one for one in read_quality(path)} if path else {}
        scored = [photo for photo in self.dataset.photos if photo.name in by_name]
        others = [photo for photo in self.dataset.photos if photo.name not in by_name]
        doubtful = sorted(scored, key=lambda photo: (by_name[photo.name].score, photo.name))
        good = doubtful[::-1]
        return _Table(by_name, {"doubtful": doubtful + others, "good": good + others, "name": [*self.dataset.photos]})

    def _fits(self, photo: Photo, choice: Choice) -> bool:
        decided = self.review.decided.get(photo.name)
        state = decided.decision if decided else "undecided"
        return choice.class_name in (None, self.dataset.classes[photo.label]) and choice.state in (None, state)

    def _describe_briefly(self, photo: Photo, table: _Table) -> dict[str, Any]:
        quality = table.by_name.get(photo.name)
        decided = self.review.decided.get(photo.name)
        return {
            "name": photo.name,
            "class": self.dataset.classes[photo.label],
            "score": quality.score if quality else None,
            "state": decided.decision if decided else "undecided",
            "version": decided.time if decided else "",
        }

    def _find_neighbors(self, photo: Photo, choice: Choice, table: _Table) -> dict[str, Any]:
        """The photos before and after one that need not fit the choice itself (any more)."""
        order = table.orders[choice.order]
        own = next(rank for rank, other in enumerate(order) if other is photo)
        ranks = [rank for rank, other in enumerate(order) if self._fits(other, choice)]
        before, after = bisect_left(ranks, own), bisect_right(ranks, own)
        return {
            "previous": order[ranks[before - 1]].name if before else None,
            "next": order[ranks[after]].name if after < len(ranks) else None,
            "position": after if after > before else None,
            "total": len(ranks),
        }

    def _find_reason(self, photo: Photo) -> str | None:
        for number in reversed(list_rounds(self.run)):
            try:
                reason: str | None = self._read_reasons(self.run.round(number) / "kept.json").get(photo.name)
            except OSError:
                continue
            return reason
        return None


def describe_palette(colors: Sequence[Sequence[int]]) -> list[str]:
    """Colors as CSS writes them."""
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in colors]
