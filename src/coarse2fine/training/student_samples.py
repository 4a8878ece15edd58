"""Samples of the student network: photos and soft masks, squashed to a square, cropped and augmented together."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from coarse2fine.config import StudentTrainConfig
from coarse2fine.data.photos import read_image
from coarse2fine.masks.png import read_soft_or_binary
from coarse2fine.masks.resize import squash
from coarse2fine.runtime.seeds import torch_seed
from coarse2fine.training.sampler import SampleIndex
from coarse2fine.training.segmentation_samples import FILL_RGB
from coarse2fine.types import Example


class StudentSamples(Dataset[tuple[Tensor, Tensor]]):
    """Augmented photos with their soft masks. The same index always gives the same sample.

    A sample is a photo and its soft mask, float32 from 0 to 1, shapes (3, crop_px, crop_px) and (crop_px, crop_px).

    Args:
        photos: Photos with their soft masks.
        config: Sizes and augmentation.
        crop_px: Side of a sample.
        seed: Seed of the augmentation.

    Source: Croitoru et al., ICCV 2017, section 4.2: squashed to 160, a random crop of 128.
    """

    def __init__(self, photos: Sequence[Example], config: StudentTrainConfig, crop_px: int, seed: int) -> None:
        self.photos, self.seed = photos, seed
        side_px = max(crop_px, config.resize_px)
        self.squashed_px = round(side_px * max(1.0, config.scale_jitter[1]))
        self.crop, self.jitter_color = make_soft_augmentation(config, side_px, crop_px)

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: SampleIndex) -> tuple[Tensor, Tensor]:
        example = self.photos[index.photo]
        image = read_image(example.photo, at_least_px=2 * self.squashed_px).astype(np.float32) / np.float32(255)
        soft = read_soft_or_binary(example.mask)
        layers = np.dstack([squash(image, self.squashed_px), squash(soft, self.squashed_px)])
        with torch_seed(self.seed, *index.seed_parts()):
            cropped = self.crop(tv_tensors.Image(torch.from_numpy(layers).permute(2, 0, 1)))
            colored = self.jitter_color(cropped[:3])
        return colored.as_subclass(Tensor).clamp(0, 1), cropped[3].as_subclass(Tensor)


def make_soft_augmentation(config: StudentTrainConfig, side_px: int, crop_px: int) -> tuple[v2.Transform, v2.Transform]:
    """Return two transforms: zoom, crop and flip of a photo and its soft mask, and color jitter of the photo.

    Args:
        config: Strength of the augmentation.
        side_px: Side that the square has before zoom and crop.
        crop_px: Side of the crop.

    Returns:
        The first transform takes the RGB channels and the soft mask stacked, shape (4, S, S), the second RGB only.
    """
    steps: list[v2.Transform] = [v2.ScaleJitter((side_px, side_px), config.scale_jitter)]
    fill = {tv_tensors.Image: [level / 255 for level in FILL_RGB] + [0.0]}
    steps.append(v2.RandomCrop(crop_px, pad_if_needed=True, fill=fill))
    if config.flip:
        steps.append(v2.RandomHorizontalFlip())
    strength = config.color_jitter
    return v2.Compose(steps), v2.ColorJitter(strength, strength, strength)
