"""What one training step sees: photos and masks, cut and varied together, in an order that a resumed run repeats."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler
from torchvision import tv_tensors
from torchvision.transforms import v2

from coarse2fine.config import StudentTrainConfig, TrainConfig
from coarse2fine.data.photos import read_image
from coarse2fine.masks.png import mask_path, read_mask, read_soft_or_binary
from coarse2fine.runtime.seeds import seed_of
from coarse2fine.types import IGNORE, Example, Photo

GRAY = (124, 116, 104)
"""What fills a crop beyond the photo's edge: ImageNet's mean color."""


class Draw(NamedTuple):
    """One sample of the stream: which photo, and on which pass over the photos."""

    epoch: int
    photo: int


class StreamSampler(Sampler[list[Draw]]):
    """Batches from an endless stream of passes over the photos, each pass in a new order.

    The order depends on the seed alone, so a run can go on at any step. Every batch is full, however few the photos.

    Args:
        photos: Number of photos.
        batch: Photos per step, over all processes.
        first_step: Where to start.
        last_step: Where to end, exclusive.
        seed: Decides the order.
        rank: This process.
        size: All processes.
    """

    def __init__(
        self, photos: int, batch: int, first_step: int, last_step: int, seed: int, rank: int = 0, size: int = 1
    ) -> None:
        self.photos, self.batch, self.seed = photos, batch, seed
        self.steps = range(first_step, last_step)
        self.rank, self.size = rank, size

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[list[Draw]]:
        orders: dict[int, NDArray[np.int64]] = {}
        for step in self.steps:
            positions = range(step * self.batch + self.rank, (step + 1) * self.batch, self.size)
            epochs = {position // self.photos for position in positions}
            orders = {epoch: orders[epoch] if epoch in orders else self._order(epoch) for epoch in epochs}
            yield [Draw(p // self.photos, int(orders[p // self.photos][p % self.photos])) for p in positions]

    def _order(self, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng((self.seed, epoch)).permutation(self.photos)


def count_steps(photos: int, epochs: int, batch: int) -> int:
    """Steps in which every photo is seen ``epochs`` times."""
    return -(-photos * epochs // batch)


class TrainingSamples(Dataset[tuple[Tensor, Tensor, int]]):
    """Photos with their masks, varied at random; the same draw always gives the same sample.

    A sample is the photo, uint8 (3, crop_px, crop_px), its mask, int64 (crop_px, crop_px) with class indices and
    ``IGNORE`` beyond the photo's edge, and the photo's label.

    Args:
        photos: What to train on.
        folder: Where their masks lie.
        config: Sizes and variation.
        seed: Decides the variation.
    """

    def __init__(self, photos: Sequence[Photo], folder: Path, config: TrainConfig, seed: int) -> None:
        self.photos, self.folder, self.seed = photos, folder, seed
        self.reach_px = round(config.resize_px * max(1.0, config.scale_jitter[1]))
        self.vary = make_variation(config)

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, draw: Draw) -> tuple[Tensor, Tensor, int]:
        photo = self.photos[draw.photo]
        image = torch.from_numpy(read_image(photo.path, at_least_px=self.reach_px)).permute(2, 0, 1)
        mask = torch.from_numpy(read_mask(mask_path(self.folder, photo.name)))
        pair = {"image": tv_tensors.Image(image), "mask": tv_tensors.Mask(_as_large_as(mask, image))}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(self.seed, *draw))
            varied = self.vary(pair)
        return varied["image"].as_subclass(Tensor), varied["mask"].as_subclass(Tensor).long(), photo.label


class SoftSamples(Dataset[tuple[Tensor, Tensor]]):
    """Photos with their soft masks, varied at random; the same draw always gives the same sample.

    A sample is the photo and its soft mask, both 0 to 1, shapes (3, crop_px, crop_px) and (crop_px, crop_px).

    Args:
        photos: What to train on.
        config: Sizes and variation.
        crop_px: Side of a sample.
        seed: Decides the variation.

    Source: Croitoru et al., ICCV 2017, section 4.2: squashed to 160, a random crop of 128.
    """

    def __init__(self, photos: Sequence[Example], config: StudentTrainConfig, crop_px: int, seed: int) -> None:
        self.photos, self.seed = photos, seed
        self.side_px = max(crop_px, config.resize_px)
        self.reach_px = round(self.side_px * max(1.0, config.scale_jitter[1]))
        self.place, self.color = make_soft_variation(config, self.side_px, crop_px)

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, draw: Draw) -> tuple[Tensor, Tensor]:
        example = self.photos[draw.photo]
        image = read_image(example.photo, at_least_px=2 * self.reach_px).astype(np.float32) / np.float32(255)
        soft = read_soft_or_binary(example.mask)
        layers = np.dstack([_squash(image, self.reach_px), _squash(soft, self.reach_px)])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(self.seed, *draw))
            placed = self.place(tv_tensors.Image(torch.from_numpy(layers).permute(2, 0, 1)))
            colored = self.color(placed[:3])
        return colored.as_subclass(Tensor).clamp(0, 1), placed[3].as_subclass(Tensor)


def make_variation(config: TrainConfig) -> v2.Transform:
    """The random variation of photo and mask together, ending in a square crop."""
    side = config.resize_px
    if config.keep_aspect:
        steps: list[v2.Transform] = [v2.ScaleJitter((side, side), config.scale_jitter)]
    else:
        steps = [v2.Resize((side, side)), v2.ScaleJitter((side, side), config.scale_jitter)]
    fill = {tv_tensors.Image: GRAY, tv_tensors.Mask: IGNORE}
    steps.append(v2.RandomCrop(config.crop_px, pad_if_needed=True, fill=fill))
    if config.flip:
        steps.append(v2.RandomHorizontalFlip())
    if config.color_jitter:
        strength = config.color_jitter
        steps.append(v2.ColorJitter(strength, strength, strength))
    return v2.Compose(steps)


def make_soft_variation(config: StudentTrainConfig, side_px: int, crop_px: int) -> tuple[v2.Transform, v2.Transform]:
    """Where a sample is cut from the four layers of photo and soft mask, and how the photo's colors vary."""
    place: list[v2.Transform] = [v2.ScaleJitter((side_px, side_px), config.scale_jitter)]
    fill = {tv_tensors.Image: [level / 255 for level in GRAY] + [0.0]}
    place.append(v2.RandomCrop(crop_px, pad_if_needed=True, fill=fill))
    if config.flip:
        place.append(v2.RandomHorizontalFlip())
    strength = config.color_jitter
    return v2.Compose(place), v2.ColorJitter(strength, strength, strength)


def _squash(layer: NDArray[Any], side_px: int) -> NDArray[np.float32]:
    """A photo or a soft mask as a square."""
    shrinks = min(layer.shape[:2]) > side_px
    squashed: NDArray[np.float32] = cv2.resize(
        layer, (side_px, side_px), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    return squashed


def _as_large_as(mask: Tensor, image: Tensor) -> Tensor:
    height, width = image.shape[-2:]
    if mask.shape == (height, width):
        return mask
    resized = torch.nn.functional.interpolate(mask[None, None].float(), (height, width), mode="nearest-exact")
    return resized[0, 0].to(torch.uint8)
