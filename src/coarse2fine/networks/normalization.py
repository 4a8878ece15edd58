"""Photos as an encoder wants to see them."""

from functools import cache

import torch
from torch import Tensor

from coarse2fine.networks.backbone import normalization


def normalize(images: Tensor, encoder: str) -> Tensor:
    """Bring photos to the mean and spread that the encoder's weights were made with.

    Args:
        images: RGB, 0 to 255, shape (N, 3, H, W).
        encoder: Its name.

    Returns:
        float32, shape (N, 3, H, W), channels last in memory.

    Raises:
        ConfigError: No encoder has this name.
    """
    mean, std = mean_and_std(encoder, images.device)
    return ((images.float() - mean) / std).contiguous(memory_format=torch.channels_last)


@cache
def mean_and_std(encoder: str, device: torch.device) -> tuple[Tensor, Tensor]:
    """What :func:`normalize` takes off and divides by, shape (1, 3, 1, 1) each."""
    mean, std = (255 * torch.tensor(values, device=device).view(1, 3, 1, 1) for values in normalization(encoder))
    return mean, std
