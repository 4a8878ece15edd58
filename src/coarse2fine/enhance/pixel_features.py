"""Features of an encoder on a grid of cells of a photo."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from coarse2fine.masks.resize import resize
from coarse2fine.networks.backbone import Triple
from coarse2fine.types import Image

SIDE_PX = 320
"""Longer side to which photos are resized for the encoder."""

CELL_PX = 16
"""Side of a cell of the grid, in the resized photo."""

FIRST_LEVEL = 3
"""The encoder's first feature map that is used: that of stride 8. All deeper ones are used, too."""

Features = NDArray[np.float32]
"""Features of the cells of a photo, shape (h, w, C)."""


@torch.inference_mode()
def extract_features(encoder: nn.Module, photo: Image, mean_and_std: tuple[Triple, Triple]) -> Features:
    """Compute features of a photo on a grid of cells.

    Args:
        encoder: From :func:`~coarse2fine.networks.backbone.build_encoder`, in evaluation mode, on any device.
        photo: RGB, shape (H, W, 3).
        mean_and_std: Those of the encoder, per channel.

    Returns:
        Shape (h, w, C): feature maps from stride 8 on, each scaled to length 1 in each cell, concatenated. A cell is
        about `CELL_PX` wide in the photo of longer side `SIDE_PX`.
    """
    device = next(encoder.parameters()).device
    scale = SIDE_PX / max(photo.shape[:2])
    height, width = (max(1, round(side * scale / 32)) * 32 for side in photo.shape[:2])  # some encoders need this
    image = torch.from_numpy(np.ascontiguousarray(resize(photo, height, width))).to(device)
    mean, std = (torch.tensor(values, device=device) for values in mean_and_std)
    levels = encoder(((image / 255 - mean) / std).permute(2, 0, 1)[None])[FIRST_LEVEL:]
    size = (height // CELL_PX, width // CELL_PX)
    features = torch.cat([functional.normalize(_fit(level.float(), size), dim=1) for level in levels], dim=1)
    return np.asarray(features[0].permute(1, 2, 0).cpu().numpy(), np.float32)


def _fit(level: Tensor, size: tuple[int, int]) -> Tensor:
    if level.shape[-1] > size[1]:
        return functional.adaptive_avg_pool2d(functional.normalize(level, dim=1), size)
    return functional.interpolate(level, size, mode="bilinear", align_corners=False)
