"""Where a cut may decide, and where it is decided before."""

import cv2
import numpy as np
from numpy.typing import NDArray

from coarse2fine.masks.resize import resize_soft
from coarse2fine.types import Mask, SoftMask

CERTAIN_BACKGROUND, CERTAIN_FOREGROUND, MAYBE_BACKGROUND, MAYBE_FOREGROUND = 0, 1, 2, 3
"""Labels of a trimap, those of OpenCV; odd ones are foreground."""

LEAST_ODDS = 0.02
"""Probabilities are taken to lie at least this far from 0 and from 1: no network is surer than that."""


def undecided_box(region: Mask) -> Mask:
    """Call everything outside a region certain background, and nothing inside it certain; shape (H, W)."""
    return np.where(_leave_frame(region), MAYBE_FOREGROUND, CERTAIN_BACKGROUND).astype(np.uint8)


def undecided_band(region: Mask, band_share: float) -> Mask:
    """Call certain what lies deeper than a band along a region's contour, inside or outside.

    The photo's edge is no contour.

    Args:
        region: Binary, shape (H, W).
        band_share: Half width of the band, as a share of the root of the region's area; at least 1 px.

    Returns:
        Trimap, shape (H, W).
    """
    region = _leave_frame(region)
    radius_px = max(1.0, band_share * float(region.sum()) ** 0.5)
    depth_px = cv2.distanceTransform(region, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    distance_px = cv2.distanceTransform(1 - region, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    trimap = np.where(region, MAYBE_FOREGROUND, MAYBE_BACKGROUND).astype(np.uint8)
    trimap[depth_px > radius_px] = CERTAIN_FOREGROUND
    trimap[distance_px > radius_px] = CERTAIN_BACKGROUND
    return trimap


def undecided_scores(region: Mask, soft: SoftMask, certain_share: float) -> Mask:
    """Call certain what a network is sure of.

    Args:
        region: Binary, shape (H, W): where the cut begins.
        soft: How likely foreground is, 0 to 1, of any height and width.
        certain_share: Below it background is certain, above its complement foreground, 0 to 0.5.

    Returns:
        Trimap, shape (H, W).
    """
    likely = resize_soft(soft, *region.shape)
    trimap = np.where(region, MAYBE_FOREGROUND, MAYBE_BACKGROUND).astype(np.uint8)
    trimap[(likely < certain_share) & (region == 0)] = CERTAIN_BACKGROUND
    trimap[(likely > 1 - certain_share) & (region == 1)] = CERTAIN_FOREGROUND
    return trimap


def log_odds(soft: SoftMask) -> NDArray[np.float32]:
    """Natural logarithm of the odds of foreground, within those of `LEAST_ODDS`; as high and wide as ``soft``."""
    likely = np.clip(soft, LEAST_ODDS, 1 - LEAST_ODDS)
    odds: NDArray[np.float32] = np.log(likely / (1 - likely)).astype(np.float32)
    return odds


def _leave_frame(region: Mask) -> Mask:
    """Take the outermost pixels out of a region that covers everything: the background needs some colors."""
    if not region.all():
        return region
    framed = np.zeros_like(region)
    framed[1:-1, 1:-1] = 1
    return framed
