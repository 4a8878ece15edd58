"""Input normalization of an encoder."""

from functools import cache

import torch
from torch import Tensor

from coarse2fine.networks.backbone import find_mean_and_std


def normalize(images: Tensor, encoder: str) -> Tensor:
    """Normalize images with the mean and standard deviation with which the encoder's weights were trained.

    Args:
        images: RGB, 0 to 255, shape (N, 3, H, W).
        encoder: Name of the encoder.

    Returns:
        Images, float32, shape (N, 3, H, W), channels last in memory.

    Raises:
        ConfigError: There is no encoder of this name.
    """
    mean, std = mean_and_std(encoder, images.device)
    return ((images.float() - mean) / std).contiguous(memory_format=torch.channels_last)


@cache
def mean_and_std(encoder: str, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation per channel on a scale of 0 to 255, shape (1, 3, 1, 1) each."""
    mean, std = (255 * torch.tensor(values, device=device).view(1, 3, 1, 1) for values in find_mean_and_std(encoder))
    return mean, std
