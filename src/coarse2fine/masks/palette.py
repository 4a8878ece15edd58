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
_LEAST_BRIGHTNESS = 0.6  # of a color over a photo, as a share of the highest value; the palette goes down to 0.25
_WHITE_SHARE = 0.15  # pure blue is dark even at its highest value
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
    return _format_hex(color_table()[label])


@cache
def overlay_color_table() -> NDArray[np.uint8]:
    """Compute the colors of classes in overlays: those of the palette, brightened to be visible on a dark photo.

    Returns:
        RGB color per class index, shape (256, 3), read-only. Background stays black, and no two colors are equal.
    """
    colors = color_table().astype(np.float64)
    brightness = colors.max(axis=1, keepdims=True) / 255
    raised = _LEAST_BRIGHTNESS + (1 - _LEAST_BRIGHTNESS) * brightness
    bright = colors * raised / np.maximum(brightness, 1 / 255) * (1 - _WHITE_SHARE) + 255 * _WHITE_SHARE
    table: NDArray[np.uint8] = np.rint(np.where(brightness > 0, bright, 0)).astype(np.uint8)
    table.setflags(write=False)
    return table


def overlay_hex_color(label: int) -> str:
    """Return the color of a class in overlays as ``#rrggbb``."""
    return _format_hex(overlay_color_table()[label])


def paint(mask: Mask) -> Image:
    """Color a mask with the palette color of each class; returns RGB, shape (H, W, 3)."""
    return color_table()[mask]


def overlay(image: Image, mask: Mask, alpha: float = 0.5) -> Image:
    """Draw a mask over its photo, each class in its palette color, brightened, with a white contour.

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
    mixed = np.rint((1 - alpha) * image + alpha * overlay_color_table()[mask]).astype(np.uint8)
    shown = np.where((mask != BACKGROUND)[..., None], mixed, image)
    shown[_trace_contour(mask)] = _CONTOUR_COLOR
    return shown


def draw_layer(mask: Mask, alpha: float = 0.5) -> NDArray[np.uint8]:
    """Draw what :func:`overlay` lays over the photo, as an image of its own.

    Args:
        mask: Class indices, shape (H, W).
        alpha: Opacity of the color, 0 to 1; the contour is opaque, and background is transparent.

    Returns:
        RGBA, 0 to 255, shape (H, W, 4).

    Raises:
        DataError: The mask has no class indices.
    """
    check_mask(mask, "An overlay")
    contour = _trace_contour(mask)
    opacity = np.where(mask != BACKGROUND, round(255 * alpha), 0)
    layer = np.dstack([overlay_color_table()[mask], opacity]).astype(np.uint8)
    layer[contour] = (*_CONTOUR_COLOR, 255)
    return layer


def _format_hex(color: NDArray[np.uint8]) -> str:
    red, green, blue = color.tolist()
    return f"#{red:02x}{green:02x}{blue:02x}"


def _trace_contour(mask: Mask) -> NDArray[np.bool_]:
    radius_px = max(1, round(max(mask.shape) * _CONTOUR_SHARE))
    kernel = np.ones((2 * radius_px + 1, 2 * radius_px + 1), np.uint8)
    inner: NDArray[np.bool_] = (cv2.erode(mask, kernel) != cv2.dilate(mask, kernel)) & (mask != BACKGROUND)
    return inner
