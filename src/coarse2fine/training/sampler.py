"""Order of the photos in a training; a resumed training continues it at any step."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from coarse2fine.types import BACKGROUND

BALANCE_POWER = 0.5
"""A photo is drawn in proportion to the size of its class to the power of minus this; 0: all equally often.

On 200 photos of blood-cells (docs/log.md, 2026-11-29) the IoU of the class with 15 photos rises by .04 to .48 in four
of five pairs of networks (100 steps) and falls in the one trained for 400 steps (.94 to .78). The mean of four classes
rises in two pairs and falls in three, so a gain is not established. No other power was measured.

Source: Gupta et al., "LVIS", CVPR 2019, section 5 (repeat factor sampling: the square root).
"""

MAX_RATIO = 4.0
"""A photo is drawn at most this many times as often as one of the largest class.

Without a limit, two of five networks on the photos above saw the class with a single photo, drawn 13 times as often,
where it was not. The limit itself was not measured.
"""


class SampleIndex(NamedTuple):
    """Index of one sample: a photo in one epoch.

    The augmentation of a sample is a function of the seed and of :meth:`seed_parts`.

    Attributes:
        epoch: The epoch, from 0.
        photo: Index of the photo.
        repeat: How often the photo came before in the same epoch; above 0 only if it is drawn more often than others.
    """

    epoch: int
    photo: int
    repeat: int = 0

    def seed_parts(self) -> tuple[int, ...]:
        """Return the numbers that, with the seed of the training, decide the augmentation."""
        return (*self,) if self.repeat else (self.epoch, self.photo)


def balance_classes(labels: Sequence[Collection[int]]) -> NDArray[np.float64] | None:
    """Compute how often each photo is drawn in an epoch, so that small classes are drawn more often than their share.

    The frequency of a photo is proportional to the number of photos of its class to the power of -`BALANCE_POWER`,
    limited by `MAX_RATIO`. For a photo with several labels, its smallest class counts.

    Args:
        labels: The labels of each photo; photos without a label are a class of their own.

    Returns:
        Mean number of times per epoch, shape (N,), with sum N; None if all photos are drawn equally often.
    """
    labels = [own or (BACKGROUND,) for own in labels]
    counts = Counter(label for own in labels for label in own)
    smallest = np.array([min(counts[label] for label in own) for own in labels], np.float64)
    if len(set(smallest)) <= 1:
        return None
    weights = smallest**-BALANCE_POWER
    weights = np.minimum(weights, MAX_RATIO * weights.min())
    frequencies: NDArray[np.float64] = weights * (len(labels) / weights.sum())
    return frequencies


class ResumableBatchSampler(Sampler[list[SampleIndex]]):
    """Yield the batches of consecutive optimizer steps, with the photos in a new random order in each epoch.

    The order depends on the seed only, so iteration can start at any step. A batch can span two epochs, so every batch
    is full, however few photos there are. With frequencies, an epoch has as many samples as without them, but some
    photos come several times and others not at all; over the epochs each photo comes with its frequency.

    Args:
        photos: Number of photos.
        batch: Photos per step, over all processes.
        steps: Optimizer steps to yield batches for.
        seed: Seed of the order.
        rank: Index of this process.
        world_size: Number of processes.
        frequencies: How often each photo is drawn per epoch, on average, from :func:`balance_classes`; None: once.
    """

    def __init__(
        self,
        photos: int,
        batch: int,
        steps: range,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        frequencies: NDArray[np.float64] | None = None,
    ) -> None:
        self.photos, self.batch, self.steps, self.seed = photos, batch, steps, seed
        self.rank, self.world_size, self.frequencies = rank, world_size, frequencies

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[list[SampleIndex]]:
        orders: dict[int, list[SampleIndex]] = {}
        for step in self.steps:
            positions = range(step * self.batch + self.rank, (step + 1) * self.batch, self.world_size)
            epochs = {position // self.photos for position in positions}
            orders = {epoch: orders[epoch] if epoch in orders else self._shuffle(epoch) for epoch in epochs}
            yield [orders[position // self.photos][position % self.photos] for position in positions]

    def _shuffle(self, epoch: int) -> list[SampleIndex]:
        rng = np.random.default_rng((self.seed, epoch))
        order = rng.permutation(self.photos)
        if self.frequencies is None:
            return [SampleIndex(epoch, int(photo)) for photo in order]
        drawn = draw_photos(self.frequencies, float(rng.random()))
        repeats = np.arange(self.photos) - np.searchsorted(drawn, drawn)
        return [SampleIndex(epoch, int(drawn[position]), int(repeats[position])) for position in order]


def draw_photos(frequencies: NDArray[np.float64], offset: float) -> NDArray[np.int64]:
    """Draw as many photos as there are, each as often as its frequency says, rounded up or down (systematic sampling).

    Args:
        frequencies: How often each photo is drawn on average, shape (N,), with sum N.
        offset: 0 to 1; decides what is rounded up. Uniform offsets give every photo its frequency on average.

    Returns:
        Indices of the photos, ascending, shape (N,).
    """
    photos = len(frequencies)
    ends = np.cumsum(frequencies)
    return np.minimum(np.searchsorted(ends, np.arange(photos) + offset, side="right"), photos - 1)
