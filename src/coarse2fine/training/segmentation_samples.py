"""Samples of the segmentation network: photos and class masks, resized, cropped and augmented together."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from coarse2fine.config import TrainConfig
from coarse2fine.data.photos import read_image
from coarse2fine.masks.png import mask_path, read_mask
from coarse2fine.runtime.seeds import torch_seed
from coarse2fine.training.sampler import SampleIndex
from coarse2fine.types import IGNORE, Photo

FILL_RGB = (124, 116, 104)
"""Color of a crop outside the photo: ImageNet's mean color."""


class SegmentationSamples(Dataset[tuple[Tensor, Tensor]]):
    """Augmented photos with their class masks. The same index always gives the same sample.

    A sample is a photo, uint8, shape (3, crop_px, crop_px), and its mask, uint8, shape (crop_px, crop_px), with class
    indices, and ``IGNORE`` outside the photo.

    Args:
        photos: Photos to train on.
        masks: Folder of their masks.
        config: Sizes and augmentation.
        seed: Seed of the augmentation.
    """

    def __init__(self, photos: Sequence[Photo], masks: Path, config: TrainConfig, seed: int) -> None:
        self.photos, self.masks, self.seed = photos, masks, seed
        self.largest_px = round(config.size_px * max(1.0, config.scale_jitter[1]))
        self.augment = make_augmentation(config)

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: SampleIndex) -> tuple[Tensor, Tensor]:
        photo = self.photos[index.photo]
        image = torch.from_numpy(read_image(photo.path, at_least_px=self.largest_px)).permute(2, 0, 1)
        mask = torch.from_numpy(read_mask(mask_path(self.masks, photo.name)))
        pair = {"image": tv_tensors.Image(image), "mask": tv_tensors.Mask(_resize_to(mask, image))}
        with torch_seed(self.seed, *index.seed_parts()):
            augmented = self.augment(pair)
        return augmented["image"].as_subclass(Tensor), augmented["mask"].as_subclass(Tensor)


def make_augmentation(config: TrainConfig) -> v2.Transform:
    """Return the random transform of a photo and its mask, which ends in a square crop."""
    side = config.size_px
    steps: list[v2.Transform] = [] if config.keep_aspect else [v2.Resize((side, side))]
    steps.append(_ScaleJitter((side, side), config.scale_jitter))
    fill = {tv_tensors.Image: FILL_RGB, tv_tensors.Mask: IGNORE}
    steps.append(v2.RandomCrop(config.crop_px, pad_if_needed=True, fill=fill))
    if config.flip:
        steps.append(v2.RandomHorizontalFlip())
    if config.color_jitter:
        strength = config.color_jitter
        steps.append(v2.ColorJitter(strength, strength, strength))
    return v2.Compose(steps)


class _ScaleJitter(v2.ScaleJitter):  # type: ignore[misc]  # torchvision has no types
    """Keep at least one pixel of the shorter side: a photo of 40:1 would be rounded to nothing."""

    def _call_kernel(self, functional: Callable[..., Any], inpt: Any, *, size: Sequence[int], **options: Any) -> Any:
        return super()._call_kernel(functional, inpt, size=[max(1, side) for side in size], **options)


def _resize_to(mask: Tensor, image: Tensor) -> Tensor:
    height, width = image.shape[-2:]
    if mask.shape == (height, width):
        return mask
    resized = torch.nn.functional.interpolate(mask[None, None].float(), (height, width), mode="nearest-exact")
    return resized[0, 0].to(torch.uint8)
