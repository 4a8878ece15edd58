"""The soft masks that an enhancement starts from: their mean over the rounds, their size, and their correction.

A network learns the size of the masks that it is trained on: if they lack parts of the objects, so do its soft masks,
and those of the next round. GrabCut decides by the colors of each photo and does not use the network; it enlarges masks
that are too small. :func:`balance_size` therefore enlarges the soft masks of all photos together, until GrabCut shrinks
as many masks as it enlarges. It never makes them smaller: GrabCut removes background, but seldom finds a lost part.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from coarse2fine.data.photos import read_image
from coarse2fine.masks.png import mask_path, read_soft
from coarse2fine.masks.resize import foreground_of_soft, resize_soft, shrink
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import Enhancer, Image, Photo, SoftMask

SAMPLE_PHOTOS = 100
"""The size is balanced on at most this many photos, at equal distances."""

MIN_PHOTOS = 10
"""With fewer photos the size is not balanced, because GrabCut may fail on one of them."""

SAMPLE_SIDE_PX = 320
"""Longer side of the photos of the sample."""

MAX_SHIFT = 1.5
"""Largest shift, in natural log odds; the smallest is 0."""

HALVINGS = 4
"""The range of the shift is halved this many times, to less than 0.1."""


@dataclass(frozen=True)
class Correction:
    """Soft masks that correct those of a round, see :mod:`coarse2fine.enhance.linear_model`.

    Attributes:
        folders: Folders of the soft masks of one linear model, or of several, whose mean is taken.
        weight: Their weight, see :func:`~coarse2fine.enhance.linear_model.blend`.
    """

    folders: Sequence[Path]
    weight: float


@dataclass(frozen=True)
class SoftStart:
    """The soft masks that an enhancement starts from.

    Attributes:
        folders: Folders of soft masks; of several, the mean is taken (:func:`average_soft_masks`).
        correction: Soft masks of the linear model, which correct the others.
        shift: Added to the log odds of the soft masks before they are corrected (:func:`shift_log_odds`).
    """

    folders: Sequence[Path]
    correction: Correction | None = None
    shift: float = 0.0

    @property
    def changes_masks(self) -> bool:
        """Whether the soft masks differ from those of a single round."""
        return self.correction is not None or len(self.folders) > 1 or self.shift != 0

    def read(self, photo: Photo) -> SoftMask:
        """Read the soft mask of a photo, shape (H, W), 0 to 1."""
        from coarse2fine.enhance.linear_model import blend  # importing numba takes seconds

        soft = average_soft_masks([read_soft(mask_path(folder, photo.name)) for folder in self.folders])
        soft = shift_log_odds(soft, self.shift)
        if not self.correction:
            return soft
        linear = average_soft_masks([read_soft(mask_path(one, photo.name)) for one in self.correction.folders])
        return blend(soft, linear, self.correction.weight)


def average_soft_masks(rounds: Sequence[SoftMask]) -> SoftMask:
    """Return the mean of the soft masks of several rounds.

    The networks of single rounds differ by chance, and late rounds may get worse; the mean is nearly as good as the
    best of them, and so is the mean of their linear models (docs/log.md, 2026-11-29 and 2026-11-30).

    Args:
        rounds: Shape (H, W), 0 to 1; sizes may differ.

    Returns:
        The size of the last one.

    Source: ours; a temporal ensemble (Laine and Aila, "Temporal Ensembling", ICLR 2017) of whole trainings.
    """
    height, width = rounds[-1].shape
    mean: SoftMask = np.mean([resize_soft(soft, height, width) for soft in rounds], axis=0, dtype=np.float32)
    return mean


def shift_log_odds(soft: SoftMask, shift: float) -> SoftMask:
    """Add a number to the log odds of a soft mask: a positive one enlarges its foreground, 0 and 1 stay."""
    if not shift:
        return soft
    odds = soft * np.float32(np.exp(shift))
    shifted: SoftMask = odds / (odds + 1 - soft)
    return shifted


def balance_size(start: SoftStart, photos: Sequence[Photo], enhance: Enhancer, context: Context) -> SoftStart:
    """Enlarge soft masks until GrabCut shrinks the foreground of as many photos as it enlarges.

    Args:
        start: The soft masks, not shifted.
        photos: Photos that have soft masks; at most `SAMPLE_PHOTOS` of them are used.
        enhance: GrabCut that starts from probabilities.
        context: Threads. Every process uses the same photos and finds the same shift.

    Returns:
        The soft masks with the shift, 0 to `MAX_SHIFT`; 0 if there are fewer than `MIN_PHOTOS`.

    Source: ours. Three data sets gained .018 to .033 IoU (docs/log.md, 2026-11-30).
    """
    if len(photos) < MIN_PHOTOS:
        return start
    sample = photos[:: -(-len(photos) // SAMPLE_PHOTOS)]

    def load(photo: Photo) -> Image:
        return shrink(read_image(photo.path, at_least_px=SAMPLE_SIDE_PX), SAMPLE_SIDE_PX)

    images = list(map_threads(load, sample, context.threads))

    def measure_growth(shift: float) -> float:
        """Return the median of the areas of the cuts as multiples of those of their input masks."""
        shifted = replace(start, shift=shift)

        def cut(item: tuple[Photo, Image]) -> float:
            photo, image = item
            soft = shifted.read(photo)
            mask = foreground_of_soft(soft, *image.shape[:2])
            return float(enhance(image, mask, soft).mask.sum()) / max(1, int(mask.sum()))

        # An empty mask has no growth.
        growths = list(map_threads(cut, zip(sample, images, strict=True), context.threads))
        return float(np.median([growth for growth in growths if growth] or [1.0]))

    return replace(start, shift=find_shift(measure_growth))


def find_shift(measure_growth: Callable[[float], float]) -> float:
    """Find the shift at which the growth is 1, by halving the range in which it passes 1.

    Args:
        measure_growth: From a shift to the growth, which falls, on the whole, as the shift rises.

    Returns:
        0 to `MAX_SHIFT`; 0 if the growth is at most 1 without a shift.
    """
    if measure_growth(0.0) <= 1:
        return 0.0
    low, high = 0.0, MAX_SHIFT
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if measure_growth(middle) > 1 else (low, middle)
    return (low + high) / 2
