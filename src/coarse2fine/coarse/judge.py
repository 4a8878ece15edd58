"""Compare coarse methods without ground truth: how well do the features of a network predict the masks of a method?

The features of an encoder that was trained on ImageNet are similar for similar objects. If the masks of a method follow
the objects, a linear model that is fitted to the features and masks of some photos predicts the masks of other photos.
Masks that follow something else, such as random errors, cannot be predicted.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from coarse2fine.masks.resize import fit_size, resize, resize_soft
from coarse2fine.networks.backbone import Triple
from coarse2fine.types import Image, Mask

SIDE_PX = 320
"""Longer side to which larger photos are reduced for the encoder."""

CELL_PX = 16
"""Side of a cell of the grid on which features and masks are compared."""

FIRST_LEVEL = 3
"""The encoder's first feature map that is used: that of stride 8. All deeper ones are used, too."""

RIDGE = 0.003
"""Weight of the penalty on the coefficients of the linear model, per cell; features have length 1 at each level.

With 0.0003 to 0.03, the order of the methods hardly changed on five sets (docs/log.md, 2026-11-29).
"""

Features = NDArray[np.float32]


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
    # Some encoders need multiples of 32.
    height, width = (max(1, round(side / 32)) * 32 for side in fit_size(photo.shape, SIDE_PX))
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


def score_masks(features: Sequence[Features], masks: Sequence[Sequence[Mask]]) -> list[float]:
    """Score methods by how well a linear model predicts their masks on photos that it has not seen.

    A ridge regression is fitted to the features and masks of every second photo and applied to the other photos, and
    the reverse.

    Args:
        features: For each photo, shape (h, w, C); at least two photos.
        masks: For each photo, the binary mask of each method, any size.

    Returns:
        For each method the correlation of predicted and actual mask over the cells of a photo, -1 to 1; mean over the
        photos. An empty or full mask counts 0.
    """
    cells = [feature.reshape(-1, feature.shape[-1]) for feature in features]
    targets = [
        np.stack([resize_soft(mask.astype(np.float32), *feature.shape[:2]).ravel() for mask in of_photo], axis=1)
        for feature, of_photo in zip(features, masks, strict=True)
    ]
    correlations = []
    for first in (0, 1):
        coefficients = fit_ridge(np.concatenate(cells[first::2]), np.concatenate(targets[first::2]))
        others = zip(cells[1 - first :: 2], targets[1 - first :: 2], strict=True)
        correlations += [correlate(cell @ coefficients, target) for cell, target in others]
    return [float(score) for score in np.mean(correlations, axis=0)]


def fit_ridge(features: Features, targets: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fit a linear model with a constant and a penalty on its coefficients, `RIDGE`.

    Args:
        features: Shape (N, C).
        targets: Shape (N, M).

    Returns:
        Coefficients, shape (C, M). The constant is left out, because it does not change a correlation.
    """
    centered = features - features.mean(axis=0)
    products = centered.T @ centered
    products[np.diag_indices_from(products)] += RIDGE * len(features)
    coefficients: NDArray[np.float32] = np.linalg.solve(products, centered.T @ (targets - targets.mean(axis=0)))
    return coefficients


def correlate(predicted: NDArray[np.float32], actual: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the correlation of each column of two arrays, shape (N, M) each; 0 if a column is constant."""
    first, second = predicted - predicted.mean(axis=0), actual - actual.mean(axis=0)
    scale = np.sqrt((first**2).sum(axis=0) * (second**2).sum(axis=0))
    correlation: NDArray[np.float32] = (first * second).sum(axis=0) / np.where(scale > 0, scale, 1)
    return correlation
