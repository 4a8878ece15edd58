"""What every network does with photos, whatever computes it: sizes, scales, batches, the likeliest class. No torch.

A photo is brought to the size at which the network was trained, because the same animal at twice the size is another
animal to it; scores and masks come back at the photo's own size. Batches hold photos of one working shape, so that
no photo's scores depend on its neighbors.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from coarse2fine.config import PredictConfig, PredictCrfConfig
from coarse2fine.data.photos import read_image, read_size
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.masks.resize import resize
from coarse2fine.runtime.processes import World
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import Image, Mask, Probabilities

if TYPE_CHECKING:
    import torch

Outcome = TypeVar("Outcome")

SIDE_STEP_PX = 32
"""Working sides are multiples of this: the deepest stride of any encoder, and few shapes make full batches."""


class Segmenter(ABC):
    """A network that finds its classes in any photo; what computes it is the subclass's, a frozen dataclass.

    Attributes:
        classes: Names by index; ``classes[0]`` is ``background``.
        size_px: Longer side at which the network sees a photo.
        flip: Average the scores with those of the mirrored photo.
        scales: Average the scores over these multiples of ``size_px``.
        crf: Whether and how a fully connected CRF draws the scores to the photo's edges.
    """

    classes: tuple[str, ...]
    size_px: int
    flip: bool
    scales: tuple[float, ...]
    crf: PredictCrfConfig

    @abstractmethod
    def probabilities(self, batch: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.float32]:
        """Class probabilities of photos at one scale, averaged with those of the mirrored photos where ``flip`` is set.

        Args:
            batch: RGB, 0 to 255, shape (N, h, w, 3), sides multiples of `SIDE_STEP_PX`.
            shape: Height and width of the result; other sizes are interpolated bilinearly.

        Returns:
            Shape (N, C, height, width).
        """

    @property
    def crf_device(self) -> "torch.device | None":
        """Where the CRF is computed; None: on the CPU."""
        return None

    @property
    def draws_in_batches(self) -> bool:
        """Whether the CRF takes several photos at once: one alone keeps no GPU busy, but all cores of a CPU."""
        return self.crf.on and self.crf_device is not None and self.crf_device.type == "cuda"

    @property
    def at_least_px(self) -> int:
        """The longer side that the network can make use of; a photo may be read reduced to it."""
        return round(self.size_px * max(1.0, *self.scales))

    def seen_with(self, config: PredictConfig) -> Self:
        """The same network with other views of a photo; a size of none leaves the size as it is."""
        size_px = config.size_px or self.size_px
        return self._changed(size_px=size_px, flip=config.flip, scales=config.scales, crf=self.crf.turned(config.crf))

    def drawn(self, crf: bool | None) -> Self:
        """The same network with the CRF on or off; none: as it is."""
        return self._changed(crf=self.crf.turned(crf))

    def _changed(self, **fields: Any) -> Self:
        return replace(self, **fields)  # type: ignore[type-var]  # subclasses are dataclasses

    def __call__(self, image: Image) -> Mask:
        """The likeliest class of every pixel, shape (H, W)."""
        return self.label(self.score([image])[0], image.shape, lambda: image)

    def scores(self, image: Image) -> Probabilities:
        """Class probabilities at the photo's size, shape (C, H, W)."""
        height, width = image.shape[:2]
        scores = self.snap(self.score([image])[0], lambda: image)
        return np.stack([resize(channel, height, width) for channel in scores])

    def label(self, scores: Probabilities, shape: Sequence[int], read: Callable[[], Image]) -> Mask:
        """The likeliest class of every pixel.

        Args:
            scores: What :meth:`score` made of a photo.
            shape: Height and width of the mask, first.
            read: Gives the photo, at ``crf.max_side_px`` or more; called only where a CRF needs it.
        """
        return likeliest(self.snap(scores, read), *shape[:2])

    def snap(self, scores: Probabilities, read: Callable[[], Image]) -> Probabilities:
        """Probabilities of a photo, shape (C, h, w), after the CRF, at its own size; unchanged without CRF."""
        return self.snap_many([(scores, read())])[0] if self.crf.on else scores

    def snap_many(self, photos: Sequence[tuple[Probabilities, Image]]) -> list[Probabilities]:
        """Probabilities and photo of each after the CRF, at the photo's own size."""
        try:
            from coarse2fine.enhance.crf import dense_crf_many
        except ModuleNotFoundError as error:  # where an exported network works without torch
            raise ConfigError(
                f"The CRF needs torch and numba, but {error.name} is not installed; install it, or leave the CRF out: "
                "--no-crf."
            ) from error

        return dense_crf_many(photos, self.crf, self.crf_device)

    def score(self, images: Sequence[Image]) -> list[Probabilities]:
        """Class probabilities at the working size, shape (C, h, w) each.

        Args:
            images: Photos of one working shape (:func:`working_shape`), a batch.
        """
        shape = working_shape(images[0].shape, self.size_px)
        return self.score_views([self.views(image, shape) for image in images], shape)

    def views(self, image: Image, shape: tuple[int, int]) -> list[Image]:
        """A photo as the network sees it, once per scale.

        Args:
            image: The photo.
            shape: Its working shape; that of every scale follows from it alone, so that photos of one working shape
                share a batch at every scale.
        """
        sides = [round(max(shape) * scale) for scale in self.scales]
        return [resize(image, *working_shape(shape, side)) for side in sides]

    def score_views(self, views: Sequence[Sequence[Image]], shape: tuple[int, int]) -> list[Probabilities]:
        """Class probabilities at the working size, shape (C, h, w) each.

        Args:
            views: What :meth:`views` made of each photo of a batch.
            shape: Their working shape.
        """
        total: NDArray[np.float32] | None = None
        for batch in zip(*views, strict=True):
            part = self.probabilities(np.stack(batch), shape)
            total = part if total is None else total + part
        assert total is not None
        return list(total / np.float32(len(self.scales)))


def working_shape(shape: Sequence[int], size_px: int) -> tuple[int, int]:
    """Height and width at which the network sees a photo.

    The longer side becomes ``size_px``, the other follows; both are rounded to multiples of `SIDE_STEP_PX`.

    Args:
        shape: Height and width of the photo, first.
        size_px: Longer side.
    """
    factor = size_px / max(shape[:2])
    height, width = (max(1, round(side * factor / SIDE_STEP_PX)) * SIDE_STEP_PX for side in shape[:2])
    return height, width


def plan_batches(shapes: Mapping[int, tuple[int, int]], batch: int) -> list[list[int]]:
    """Group photos of one working shape into batches.

    Args:
        shapes: Working shape of every photo, by its index.
        batch: Photos in a batch, at most.

    Returns:
        The indices, every one once; the plan depends on nothing but the arguments.
    """
    batches: list[list[int]] = []
    for index in sorted(shapes, key=lambda index: (shapes[index], index)):
        if batches and len(batches[-1]) < batch and shapes[batches[-1][0]] == shapes[index]:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def score_files(
    segmenter: Segmenter,
    paths: Sequence[Path],
    batch: int,
    threads: int,
    world: World = World(),  # noqa: B008 - frozen
    wanted: Callable[[int], bool] = lambda _index: True,
    leave_out: Callable[[int, str], None] | None = None,
    max_megapixels: float = math.inf,
) -> Iterator[tuple[int, Probabilities]]:
    """Score photos from files, decoding ahead; memory does not grow with their number.

    Batches are planned over all photos and only then shared out and left out, so that a photo's scores depend neither
    on the number of processes nor on what an earlier run has done.

    Args:
        segmenter: Probabilities them.
        paths: The photos.
        batch: Photos per step.
        threads: Photos decoded at the same time.
        world: Each process takes its share of the batches.
        wanted: By index into ``paths``; a batch that holds no wanted photo is left out.
        leave_out: Told the index and the reason of each photo that cannot be read; none: the first such photo raises.
        max_megapixels: Larger photos count as photos that cannot be read.

    Yields:
        Index into ``paths`` and class probabilities at the working size, shape (C, h, w).
    """
    read = partial(read_image, max_megapixels=max_megapixels, at_least_px=segmenter.at_least_px)

    def try_reading(read: Callable[[Path], Outcome], index: int) -> Outcome | None:
        try:
            return read(paths[index])
        except DataError as error:
            if leave_out is None:
                raise
            leave_out(index, str(error).removeprefix(f"{paths[index]}: "))
            return None

    def find_shape(index: int) -> tuple[int, int] | None:
        size = try_reading(read_size, index)
        return working_shape(size, segmenter.size_px) if size else None

    def load(indices: list[int]) -> dict[int, list[Image]]:
        views: dict[int, list[Image]] = {}
        for index in indices:  # a whole photo is let go before the next one is read: it may be huge
            image = try_reading(read, index)
            if image is not None:
                views[index] = segmenter.views(image, shapes[indices[0]])
        return views

    found = zip(range(len(paths)), map_threads(find_shape, range(len(paths)), threads), strict=True)
    shapes = {index: shape for index, shape in found if shape}
    plan = plan_batches(shapes, batch)
    batches = [indices for indices in world.share(plan) if any(map(wanted, indices))]
    for views in map_threads(load, batches, threads):
        if views:
            shape = shapes[next(iter(views))]
            yield from zip(views, segmenter.score_views(list(views.values()), shape), strict=True)


def likeliest(scores: Probabilities, height: int, width: int) -> Mask:
    """The likeliest class of every pixel at another size; ties go to the lower index.

    One class is enlarged at a time, so that memory does not grow with the number of classes.

    Args:
        scores: Class probabilities, shape (C, h, w).
        height: Height of the mask.
        width: Width of the mask.
    """
    best = resize(scores[0], height, width).copy()
    mask = np.zeros((height, width), dtype=np.uint8)
    for index in range(1, len(scores)):
        channel = resize(scores[index], height, width)
        better = channel > best
        mask[better] = index
        np.maximum(best, channel, out=best)
    return mask
