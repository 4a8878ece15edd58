"""Extend a rough brush stroke to the edges of the photo around it, by GrabCut."""

import cv2
import numpy as np
from numpy.typing import NDArray

from coarse2fine.enhance.graph_cut.color_models import COMPONENTS
from coarse2fine.enhance.graph_cut.pyramid import GrabCutInput, cut_coarse_to_fine
from coarse2fine.enhance.graph_cut.trimap import (
    PROBABLE_BACKGROUND,
    PROBABLE_FOREGROUND,
    SURE_BACKGROUND,
    SURE_FOREGROUND,
)
from coarse2fine.masks.resize import fit_size, resize, resize_mask
from coarse2fine.types import Image, Mask

MAX_SIDE_PX = 320
"""Longer side of the part of the photo that is cut; a larger part is reduced, so that the time is bounded."""

ITERATIONS = 3

OTHER, STROKE, SAME_CLASS = 0, 1, 2
"""Values of the hints that the page sends."""


def extend_stroke(image: Image, hints: Mask, reach_px: float) -> Mask:
    """Find the part of an object that a rough stroke marks.

    Pixels of the stroke are foreground, and pixels beyond its reach are background, unless they are of the class
    already. GrabCut decides about the others from their colors and the edges between them.

    Args:
        image: Part of a photo, RGB, shape (H, W, 3).
        hints: `STROKE`, `SAME_CLASS` (has the class that is drawn already) or `OTHER` for each pixel, shape (H, W).
        reach_px: Distance from the stroke up to which the object is sought, above 0.

    Returns:
        Binary mask, shape (H, W): pixels that get the class. The stroke alone if there are too few pixels to compare.
    """
    height, width = fit_size(hints.shape, MAX_SIDE_PX)
    scale = height / hints.shape[0]
    small = resize_mask(hints, height, width)
    stroke = (small == STROKE).astype(np.uint8)
    drawn: Mask = (hints == STROKE).astype(np.uint8)
    if not stroke.any():
        return drawn
    trimap = _make_trimap(small, stroke, reach_px * scale)
    is_foreground = (trimap & 1).astype(bool)
    if min(np.count_nonzero(is_foreground), np.count_nonzero(~is_foreground)) < COMPONENTS:
        return drawn
    cut = cut_coarse_to_fine(GrabCutInput(resize(image, height, width), trimap, scale=scale), ITERATIONS)
    found = _keep_pieces_of(stroke, cut & (trimap != SURE_FOREGROUND) | stroke)
    extended: Mask = resize_mask(found, *hints.shape) | drawn
    return extended


def _make_trimap(hints: Mask, stroke: Mask, reach_px: float) -> Mask:
    distance_px = cv2.distanceTransform(1 - stroke, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    trimap = np.full(hints.shape, SURE_BACKGROUND, np.uint8)
    trimap[distance_px <= reach_px] = PROBABLE_BACKGROUND
    trimap[distance_px <= reach_px / 3] = PROBABLE_FOREGROUND
    trimap[(hints == SAME_CLASS) | (hints == STROKE)] = SURE_FOREGROUND
    return trimap


def _keep_pieces_of(stroke: Mask, found: NDArray[np.uint8]) -> Mask:
    """Keep the connected pieces that the stroke touches."""
    _, pieces = cv2.connectedComponents(found, connectivity=8)
    kept: Mask = np.isin(pieces, np.unique(pieces[stroke > 0])).astype(np.uint8)
    return kept
