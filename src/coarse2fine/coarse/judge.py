"""Compare coarse methods without ground truth: how well do the features of a network predict the masks of a method?

The features of an encoder that was trained on ImageNet are similar for similar objects. If the masks of a method follow
the objects, a linear model that is fitted to the features and masks of some photos predicts the masks of other photos.
Masks that follow something else, such as random errors, cannot be predicted.
"""

from collections.abc import Sequence

import numpy as np

from coarse2fine.enhance.linear_model import Moments, correlate
from coarse2fine.enhance.pixel_features import Features
from coarse2fine.masks.resize import resize_soft
from coarse2fine.types import Mask


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
        coefficients, _ = Moments.of(np.concatenate(cells[first::2]), np.concatenate(targets[first::2])).solve()
        others = zip(cells[1 - first :: 2], targets[1 - first :: 2], strict=True)
        correlations += [correlate(cell @ coefficients, target) for cell, target in others]
    return [float(score) for score in np.mean(correlations, axis=0)]
