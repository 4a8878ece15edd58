"""The photos of a run: filter, order, scores, stages and decisions."""

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import count, takewhile
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from coarse2fine.app.images import hash_mask, page_size
from coarse2fine.corrections.review import Review
from coarse2fine.data.photos import check_mask_header, read_size
from coarse2fine.errors import DataError
from coarse2fine.evaluation.mask_quality import Quality, list_rounds
from coarse2fine.evaluation.quality_table import TABLE, read_quality
from coarse2fine.masks.png import mask_path
from coarse2fine.runtime.names import path_inside
from coarse2fine.store.records import read_reasons
from coarse2fine.store.run import Run
from coarse2fine.store.stages import is_complete
from coarse2fine.types import Dataset, Photo

SortOrder = Literal["gain", "lowest", "highest", "name"]
ReviewState = Literal["undecided", "accepted", "fixed", "rejected"]
Content = TypeVar("Content")

REVIEWED = "reviewed"
"""Stage of the mask that a person accepted or fixed."""

PHOTOS_PER_PAGE = 48


@dataclass(frozen=True)
class PhotoFilter:
    """Which photos are listed, and in which order.

    Attributes:
        class_name: Only photos of this class; None: all classes.
        state: Only photos in this state; None: all.
        order: Highest expected gain first (:func:`expected_gain`), lowest score first, highest score first, or by name;
            photos without a score come last.
    """

    class_name: str | None = None
    state: ReviewState | None = None
    order: SortOrder = "gain"


MAX_CLASS_WEIGHT = 4.0
"""A photo of a small class counts at most this many times as much as one of the largest class, as in training."""


def expected_gain(score: float, photos: int, largest: int) -> float:
    """Estimate how much training gains if a person reviews a mask: its expected error, times the weight of the photo.

    The error is 1 - score. The weight is how often training draws the photo relative to one of the largest class
    (``training/sampler.py``): an error in a small class does more harm. In classes of equal size, the lowest score
    comes first. That this order saves more work than another one was not measured.

    Args:
        score: Quality score of the mask, 0 to 1; 0 for a mask that was left out of training as implausible.
        photos: Number of photos of its class, of several classes that of the smallest; at least 1.
        largest: Number of photos of the largest class.

    Returns:
        0 to `MAX_CLASS_WEIGHT`.
    """
    return (1 - score) * min(MAX_CLASS_WEIGHT, math.sqrt(largest / photos))


class _CachedReader(Generic[Content]):
    """Reads a file again only if it has changed since the last time."""

    def __init__(self, read: Callable[[Path], Content]) -> None:
        self._read = read
        self._cached: tuple[tuple[Path, int, int], Content] | None = None

    def __call__(self, path: Path) -> Content:
        status = path.stat()
        version = path, status.st_mtime_ns, status.st_size
        cached = self._cached
        if cached is None or cached[0] != version:
            cached = self._cached = version, self._read(path)
        return cached[1]


@dataclass(frozen=True)
class _ScoredPhotos:
    """Quality of masks and reasons for leaving out, by the name of the photo, and all photos in each order."""

    by_name: dict[str, Quality]
    reasons: dict[str, str | None]
    orders: dict[SortOrder, list[Photo]]


class PhotoList:
    """The photos of a run and the decisions about them.

    ``fit`` may work on the run at the same time, so changed files are read again, and a file may be missing briefly.

    Args:
        run: The run folder.
        dataset: Photos and classes of the run.
        review: Decisions.
    """

    def __init__(self, run: Run, dataset: Dataset, review: Review) -> None:
        self.run, self.dataset, self.review = run, dataset, review
        self._by_name = {photo.name: photo for photo in dataset.photos}
        self._read_scores = _CachedReader(lambda path: {quality.photo: quality for quality in read_quality(path)})
        self._read_reasons = _CachedReader(read_reasons)
        self._no_scores: dict[str, Quality] = {}
        self._no_reasons: dict[str, str | None] = {}
        self._sorted = self._sort_photos(self._no_scores, self._no_reasons)

    def get(self, name: str) -> Photo:
        """Return the photo of a name.

        Raises:
            KeyError: The run has no photo of this name.
        """
        return self._by_name[name]

    def list_page(self, selection: PhotoFilter, page: int) -> dict[str, Any]:
        """Describe one page of the selected photos.

        Args:
            selection: Filter and order.
            page: Number of the page, from 1; a higher number than the last page gives the last page.
        """
        scored = self._scored_photos()
        photos = [photo for photo in scored.orders[selection.order] if self._matches(photo, selection)]
        pages = max(1, -(-len(photos) // PHOTOS_PER_PAGE))
        page = min(page, pages)
        shown = photos[(page - 1) * PHOTOS_PER_PAGE : page * PHOTOS_PER_PAGE]
        return {
            "total": len(photos),
            "page": page,
            "pages": pages,
            "photos": [self._summarize(photo, scored) for photo in shown],
        }

    def describe(self, photo: Photo, selection: PhotoFilter) -> dict[str, Any]:
        """Describe a photo, and name the photos before and after it in a selection.

        Raises:
            DataError: The photo cannot be read.
        """
        scored = self._scored_photos()
        quality = scored.by_name.get(photo.name)
        decided = self.review.decided.get(photo.name)
        height, width = page_size(read_size(photo.path))
        return {
            **self._summarize(photo, scored),
            **self._find_neighbors(photo, selection, scored),
            "negative": not photo.labels,  # it shows none of the classes
            "label": photo.labels[0] if photo.labels else 1,  # class of the brush
            "height": height,
            "width": width,
            "stages": self.list_stages(photo),
            "quality": asdict(quality) if quality else None,
            "decided": decided.model_dump() if decided else None,
            "left_out": scored.reasons.get(photo.name),
        }

    def describe_run(self) -> dict[str, Any]:
        """Describe the run: classes, number of photos, decisions and rounds."""
        photos = self.dataset.photos
        counts = Counter(label for photo in photos for label in photo.labels)
        states = Counter(one.decision for name, one in self.review.decided.items() if name in self._by_name)
        return {
            "name": self.run.root.resolve().name,
            "classes": list(self.dataset.classes),
            "counts": [counts[label] for label in range(len(self.dataset.classes))],
            "photos": len(photos),
            "states": {"undecided": len(photos) - states.total(), **states},
            "rounds": len(list_rounds(self.run)),
            "scored": bool(self._scored_photos().by_name),
        }

    def list_stages(self, photo: Photo) -> list[str]:
        """List the stages that have a mask of a photo, oldest first.

        Returns:
            Some of ``coarse``, ``enhanced``, ``round-1``, ``round-2``, ..., `REVIEWED`.
        """
        rounds = takewhile(lambda number: self.run.round(number).exists(), count(1))
        stages = ["coarse", "enhanced", *(f"round-{number}" for number in rounds), REVIEWED]
        return [stage for stage in stages if self.mask_path(photo, stage).exists()]

    def mask_path(self, photo: Photo, stage: str) -> Path:
        """Return the path of the mask of a photo after a stage; the file may be missing.

        Raises:
            DataError: The file, or a folder of the run on the way to it, is a link.
            KeyError: There is no stage of this name.
        """
        kind, _, number = stage.partition("-")
        if stage == REVIEWED:
            return self.review.mask(photo.name)
        if stage == "coarse":
            folder = self.run.coarse
        elif stage == "enhanced":
            folder = self.run.enhanced(0)
        elif kind == "round" and number.isascii() and number.isdigit() and len(number) < 4:
            folder = self.run.enhanced(int(number))
        else:
            raise KeyError(stage)
        return path_inside(self.run.root, mask_path(folder.relative_to(self.run.root), photo.name).as_posix())

    def unchanged_mask_path(self, photo: Photo, stage: str, fingerprint: str) -> Path:
        """Return the path of a mask after checking that it is still the mask that the page showed.

        Args:
            photo: The photo.
            stage: As in :meth:`mask_path`.
            fingerprint: Fingerprint of the mask that the page showed.

        Raises:
            DataError: The mask has changed, is no regular file or a link, or has not the size of the photo.
            KeyError: There is no stage of this name.
        """
        path = self.mask_path(photo, stage)
        if hash_mask(path) != fingerprint:
            raise DataError("This mask has changed since you opened the photo; reload the page and check it again.")
        check_mask_header(path, photo.path)
        return path

    def _scored_photos(self) -> _ScoredPhotos:
        """Return the scores of the last round that has them, and the photos in each order."""
        scores, reasons = self._find_scores(), self._find_reasons()
        if scores is not self._sorted.by_name or reasons is not self._sorted.reasons:  # a file has changed
            self._sorted = self._sort_photos(scores, reasons)
        return self._sorted

    def _find_scores(self) -> dict[str, Quality]:
        folders = [self.run.quality(number) for number in reversed(list_rounds(self.run))]
        finished = [folder / TABLE for folder in folders if is_complete(folder)]
        for path in [*finished, self.run.root / TABLE]:
            try:
                return self._read_scores(path)
            except OSError:  # the file does not exist, or fit is replacing it
                continue
        return self._no_scores

    def _find_reasons(self) -> dict[str, str | None]:
        """Return why photos were last left out of training, by name; None for photos that were not."""
        for number in (*reversed(list_rounds(self.run)), 0):
            try:
                return self._read_reasons(self.run.filter_file(number))
            except OSError:  # the file does not exist, or fit is replacing it
                continue
        return self._no_reasons

    def _sort_photos(self, by_name: dict[str, Quality], reasons: dict[str, str | None]) -> _ScoredPhotos:
        scored = [photo for photo in self.dataset.photos if photo.name in by_name]
        unscored = [photo for photo in self.dataset.photos if photo.name not in by_name]
        sizes = Counter(label for photo in self.dataset.photos for label in photo.labels)
        largest = max(sizes.values(), default=1)

        def gain_of(photo: Photo) -> float:
            size = min((sizes[label] for label in photo.labels), default=largest)
            score = 0.0 if reasons.get(photo.name) else by_name[photo.name].score
            return expected_gain(score, size, largest)

        lowest_first = sorted(scored, key=lambda photo: (by_name[photo.name].score, photo.name))
        highest_first = lowest_first[::-1]
        orders: dict[SortOrder, list[Photo]] = {
            "gain": sorted(lowest_first, key=gain_of, reverse=True) + unscored,
            "lowest": lowest_first + unscored,
            "highest": highest_first + unscored,
            "name": [*self.dataset.photos],
        }
        return _ScoredPhotos(by_name, reasons, orders)

    def _matches(self, photo: Photo, selection: PhotoFilter) -> bool:
        decided = self.review.decided.get(photo.name)
        state = decided.decision if decided else "undecided"
        class_names = [self.dataset.classes[label] for label in photo.labels]
        return selection.class_name in (None, *class_names) and selection.state in (None, state)

    def _summarize(self, photo: Photo, scored: _ScoredPhotos) -> dict[str, Any]:
        quality = scored.by_name.get(photo.name)
        decided = self.review.decided.get(photo.name)
        return {
            "name": photo.name,
            "class": self.dataset.class_names_of(photo),
            "score": quality.score if quality else None,
            "state": decided.decision if decided else "undecided",
            "version": decided.time if decided else "",
        }

    def _find_neighbors(self, photo: Photo, selection: PhotoFilter, scored: _ScoredPhotos) -> dict[str, Any]:
        """Find the selected photos before and after a photo, even if a decision removed it from the selection.

        ``next_undecided`` is the next photo of the class that has no decision, in the same order; after the last photo
        it starts again from the first. It is None if there is no other one.
        """
        photos = scored.orders[selection.order]
        own_rank = next(rank for rank, other in enumerate(photos) if other is photo)
        ranks = [rank for rank, other in enumerate(photos) if self._matches(other, selection)]
        before, after = bisect_left(ranks, own_rank), bisect_right(ranks, own_rank)
        undecided = replace(selection, state="undecided")
        others = photos[own_rank + 1 :] + photos[:own_rank]
        return {
            "previous": photos[ranks[before - 1]].name if before else None,
            "next": photos[ranks[after]].name if after < len(ranks) else None,
            "next_undecided": next((other.name for other in others if self._matches(other, undecided)), None),
            "position": after if after > before else None,
            "total": len(ranks),
        }
