"""Resize photos, masks and probability maps.

Every function returns the same array if the size already fits.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from coarse2fine.types import Image, Mask, SoftMask


def resize(array: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Resize a photo, shape (H, W, 3), or one channel of probabilities, shape (H, W).

    If the number of pixels shrinks, areas are averaged; otherwise pixels are interpolated bilinearly.
    """
    if array.shape[:2] == (height, width):
        return array
    shrinks = height * width < array.shape[0] * array.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized: NDArray[Any] = cv2.resize(array, (width, height), interpolation=interpolation)
    return resized


def resize_mask(mask: Mask, height: int, width: int) -> Mask:
    """Resize a mask; every pixel takes the class of the nearest pixel, so that no new class appears."""
    if mask.shape == (height, width):
        return mask
    resized: Mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return resized


def resize_soft(soft: SoftMask, height: int, width: int) -> SoftMask:
    """Resize a soft mask as :func:`resize` does, and keep its values between 0 and 1."""
    if soft.shape == (height, width):
        return soft
    resized: SoftMask = resize(soft, height, width).clip(0, 1)
    return resized


def foreground_of_soft(soft: SoftMask, height: int, width: int) -> Mask:
    """Resize a soft mask, and return where it is above 0.5: shape (height, width), 1 there, 0 elsewhere."""
    return (resize_soft(soft, height, width) > 0.5).astype(np.uint8)


def squash(array: NDArray[Any], side_px: int) -> NDArray[Any]:
    """Resize a photo, shape (H, W, 3), or one channel, shape (H, W), to a square, without keeping its aspect ratio.

    Areas are averaged only if both sides shrink: along a side that grows, area averaging of OpenCV repeats pixels.
    """
    if array.shape[:2] == (side_px, side_px):
        return array
    shrinks = min(array.shape[:2]) > side_px
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    squashed: NDArray[Any] = cv2.resize(array, (side_px, side_px), interpolation=interpolation)
    return squashed


def shrink(image: Image, max_side_px: int) -> Image:
    """Reduce a photo so that its longer side is at most ``max_side_px``; areas are averaged."""
    return resize(image, *fit_size(image.shape, max_side_px))


def is_scaled(size: Sequence[int], original: Sequence[int]) -> bool:
    """Return whether a height and width are an original height and width times one factor, rounded up or down.

    If one side is the original one, the other must be, too: otherwise a strip was cut off.
    """
    equal = [have == full for have, full in zip(size, original, strict=True)]
    if any(equal):
        return all(equal)
    ratios = [((have - 1) / full, (have + 1) / full) for have, full in zip(size, original, strict=True)]
    return max(low for low, _ in ratios) < min(high for _, high in ratios)


def fit_size(size: Sequence[int], max_side_px: int) -> tuple[int, int]:
    """Compute height and width of an image that is reduced so that its longer side is at most ``max_side_px``.

    Args:
        size: Starts with height and width of the image.
        max_side_px: Longest side; a smaller image keeps its size.
    """
    scale = min(1.0, max_side_px / max(size[:2]))
    height, width = (max(1, round(side * scale)) for side in size[:2])
    return height, width
