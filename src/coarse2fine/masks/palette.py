"""The colors of PASCAL VOC, and masks drawn in them."""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from coarse2fine.errors import DataError
from coarse2fine.masks.image_check import check_image, check_mask
from coarse2fine.types import BACKGROUND, IGNORE, Image, Mask

_IGNORE_COLOR = (224, 224, 192)
_CONTOUR_COLOR = (255, 255, 255)
_CONTOUR_SHARE = 1 / 300  # of the photo's longer side


@cache
def color_table() -> NDArray[np.uint8]:
    """Compute the palette of PASCAL VOC: an RGB color per class index.

    The bits of the index, from the lowest, are assigned in turn to red, green and blue, and fill each color from its
    highest bit down. Index 255, for ignored pixels, is light beige.

    Returns:
        Shape (256, 3), read-only.

    Source: VOC 2012 development kit, VOClabelcolormap.
    """
    index = np.arange(256)
    table = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        table[:, bit % 3] |= ((index >> bit & 1) << (7 - bit // 3)).astype(np.uint8)
    table[IGNORE] = _IGNORE_COLOR
    table.setflags(write=False)
    return table


def hex_color(label: int) -> str:
    """Return the palette color of a class as ``#rrggbb``."""
    red, green, blue = color_table()[label].tolist()
    return f"#{red:02x}{green:02x}{blue:02x}"


def paint(mask: Mask) -> Image:
    """Color a mask with the palette color of each class; returns RGB, shape (H, W, 3)."""
    return color_table()[mask]


def overlay(image: Image, mask: Mask, alpha: float = 0.5) -> Image:
    """Draw a mask over its photo, each class in its palette color with a white contour.

    Args:
        image: RGB, 0 to 255, shape (H, W, 3).
        mask: Class indices, shape (H, W); background is not colored.
        alpha: Opacity of the color, 0 to 1.

    Returns:
        New RGB image, shape (H, W, 3).

    Raises:
        DataError: Photo and mask differ in height or width, or are no 8-bit RGB image and class indices.
    """
    check_image(image, "An overlay")
    check_mask(mask, "An overlay")
    if image.shape[:2] != mask.shape:
        raise DataError(
            f"A mask must have the height and width of its photo, {image.shape[:2]}, found {mask.shape}; resize it."
        )
    mixed = np.rint((1 - alpha) * image + alpha * paint(mask)).astype(np.uint8)
    shown = np.where((mask != BACKGROUND)[..., None], mixed, image)
    shown[_trace_contour(mask)] = _CONTOUR_COLOR
    return shown


def _trace_contour(mask: Mask) -> NDArray[np.bool_]:
    radius_px = max(1, round(max(mask.shape) * _CONTOUR_SHARE))
    kernel = np.ones((2 * radius_px + 1, 2 * radius_px + 1), np.uint8)
    inner: NDArray[np.bool_] = (cv2.erode(mask, kernel) != cv2.dilate(mask, kernel)) & (mask != BACKGROUND)
    return inner
