"""Trimaps: which pixels are fixed as background or foreground, and which the minimum cut decides."""

import cv2
import numpy as np
from numpy.typing import NDArray

from coarse2fine.masks.resize import resize_soft
from coarse2fine.types import Mask, SoftMask

SURE_BACKGROUND, SURE_FOREGROUND, PROBABLE_BACKGROUND, PROBABLE_FOREGROUND = 0, 1, 2, 3
"""Values of a trimap, as in OpenCV (``cv2.GC_BGD`` and so on). Odd values are foreground; values from 2 are unknown."""

PROBABILITY_MARGIN = 0.02
"""Foreground probabilities are clipped to at least this distance from 0 and from 1, so that their log odds are finite
and no prediction alone decides a pixel."""


def trimap_from_box(region: Mask) -> Mask:
    """Fix all pixels outside a region as background and mark the inside as unknown.

    A region that covers the whole image leaves the outermost pixels to the background, which needs some colors.

    Args:
        region: Binary mask, shape (H, W), normally a filled box.

    Returns:
        Trimap, shape (H, W).
    """
    return np.where(_exclude_image_border(region), PROBABLE_FOREGROUND, SURE_BACKGROUND).astype(np.uint8)


def trimap_from_band(region: Mask, band_share: float) -> Mask:
    """Mark a band along the contour of a region as unknown and fix all other pixels.

    The border of the image is not part of the contour. A region that covers the whole image leaves the outermost pixels
    to the background, which needs some colors.

    Args:
        region: Binary mask, shape (H, W).
        band_share: Half width of the band as a share of the square root of the region's area; the half width is at
            least 1 px.

    Returns:
        Trimap, shape (H, W).
    """
    region = _exclude_image_border(region)
    radius_px = max(1.0, band_share * float(region.sum()) ** 0.5)
    depth_px = cv2.distanceTransform(region, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    distance_px = cv2.distanceTransform(1 - region, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    trimap = np.where(region, PROBABLE_FOREGROUND, PROBABLE_BACKGROUND).astype(np.uint8)
    trimap[depth_px > radius_px] = SURE_FOREGROUND
    trimap[distance_px > radius_px] = SURE_BACKGROUND
    return trimap


def trimap_from_probabilities(region: Mask, soft: SoftMask, fixed_below: float) -> Mask:
    """Fix the pixels whose foreground probability is close to 0 or 1 and mark all others as unknown.

    Args:
        region: Binary mask, shape (H, W): the labels from which GrabCut starts.
        soft: Foreground probability, 0 to 1, of any height and width; resized to (H, W).
        fixed_below: Background pixels with a foreground probability below this value are fixed as background,
            foreground pixels with a probability above 1 - this value as foreground; 0 to 0.5.

    Returns:
        Trimap, shape (H, W).
    """
    foreground_probability = resize_soft(soft, *region.shape)
    trimap = np.where(region, PROBABLE_FOREGROUND, PROBABLE_BACKGROUND).astype(np.uint8)
    trimap[(foreground_probability < fixed_below) & (region == 0)] = SURE_BACKGROUND
    trimap[(foreground_probability > 1 - fixed_below) & (region == 1)] = SURE_FOREGROUND
    return trimap


def log_odds(soft: SoftMask) -> NDArray[np.float32]:
    """Compute the natural log odds of the foreground from probabilities clipped by `PROBABILITY_MARGIN`.

    Args:
        soft: Foreground probability, 0 to 1, shape (H, W).

    Returns:
        Log odds, shape (H, W), -ln 49 to ln 49.
    """
    clipped = np.clip(soft, PROBABILITY_MARGIN, 1 - PROBABILITY_MARGIN)
    odds: NDArray[np.float32] = np.log(clipped / (1 - clipped)).astype(np.float32)
    return odds


def _exclude_image_border(region: Mask) -> Mask:
    """Remove the outermost pixels from a region that covers the whole image: the background needs some colors."""
    if not region.all():
        return region
    framed = np.zeros_like(region)
    framed[1:-1, 1:-1] = 1
    return framed
