"""Refine class probabilities with a CRF, photo by photo or, on a GPU, in batches."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from coarse2fine.data.photos import read_image
from coarse2fine.inference.segmenter import Segmenter, likeliest
from coarse2fine.masks.resize import shrink
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import Image, Mask, Probabilities


@dataclass(frozen=True)
class Drawn:
    """A photo's scores, and what they become.

    Attributes:
        index: Which photo.
        scores: Class probabilities at the working size, before any CRF, shape (C, h, w).
        snap: Gives them after the CRF, should the network have one.
    """

    index: int
    scores: Probabilities
    snap: Callable[[], Probabilities]

    def label(self, shape: Sequence[int]) -> Mask:
        """The likeliest class of every pixel; ``shape`` begins with height and width of the mask."""
        return likeliest(self.snap(), *shape[:2])


def draw_files(
    scorer: Segmenter, scored: Iterable[tuple[int, Probabilities]], paths: Sequence[Path], batch: int, threads: int
) -> Iterator[Drawn]:
    """Draw scores to the edges of their photos, should the network have a CRF; memory does not grow with their number.

    Where the CRF is computed on a GPU, for a batch of photos at once, here; elsewhere by whoever calls ``snap``, so in
    as many threads as there are callers.

    Args:
        scorer: Made the scores.
        scored: From :func:`~coarse2fine.inference.segmenter.score_files`.
        paths: The photos.
        batch: Photos at once, at most.
        threads: Photos decoded at the same time.

    Yields:
        One for each of ``scored``, in their order.
    """

    def read(index: int) -> Image:
        return read_image(paths[index], at_least_px=scorer.crf.max_side_px)

    def load(one: tuple[int, Probabilities]) -> tuple[int, Probabilities, Image]:
        return *one, shrink(read(one[0]), scorer.crf.max_side_px)  # a batch of whole photos may be huge

    if not scorer.draws_in_batches:
        for index, scores in scored:
            yield Drawn(index, scores, partial(scorer.snap, scores, partial(read, index)))
        return
    loaded = map_threads(load, scored, threads)
    while together := list(islice(loaded, batch)):
        snapped = scorer.snap_many([(scores, image) for _, scores, image in together])
        for (index, scores, _), after in zip(together, snapped, strict=True):
            yield Drawn(index, scores, partial(_give, after))


def _give(scores: Probabilities) -> Probabilities:
    return scores
