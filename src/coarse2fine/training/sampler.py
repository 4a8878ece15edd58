"""Order of the photos in a training; a resumed training continues it at any step."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler


class SampleIndex(NamedTuple):
    """Index of one sample: a photo in one epoch.

    The augmentation of a sample is a function of the seed and of this index.
    """

    epoch: int
    photo: int


class ResumableBatchSampler(Sampler[list[SampleIndex]]):
    """Yield the batches of consecutive optimizer steps, with the photos in a new random order in each epoch.

    The order depends on the seed only, so iteration can start at any step. A batch can span two epochs, so every batch
    is full, however few photos there are.

    Args:
        photos: Number of photos.
        batch: Photos per step, over all processes.
        steps: Optimizer steps to yield batches for.
        seed: Seed of the order.
        rank: Index of this process.
        world_size: Number of processes.
    """

    def __init__(self, photos: int, batch: int, steps: range, seed: int, rank: int = 0, world_size: int = 1) -> None:
        self.photos, self.batch, self.steps, self.seed = photos, batch, steps, seed
        self.rank, self.world_size = rank, world_size

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[list[SampleIndex]]:
        orders: dict[int, NDArray[np.int64]] = {}
        for step in self.steps:
            positions = range(step * self.batch + self.rank, (step + 1) * self.batch, self.world_size)
            epochs = {position // self.photos for position in positions}
            orders = {epoch: orders[epoch] if epoch in orders else self._shuffle(epoch) for epoch in epochs}
            yield [SampleIndex(p // self.photos, int(orders[p // self.photos][p % self.photos])) for p in positions]

    def _shuffle(self, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng((self.seed, epoch)).permutation(self.photos)
