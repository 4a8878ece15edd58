"""Resizing of photos, masks and probability maps."""

from typing import TYPE_CHECKING, Any

import cv2
from numpy.typing import NDArray

from coarse2fine.types import Image, Mask

if TYPE_CHECKING:
    pass
from coarse2fine.types import SoftMask


def resize_mask(mask: Mask, height: int, width: int) -> Mask:
    """Bring a mask to another size; every pixel takes the class of the nearest old one, so no class is invented.

    The same array comes back where the size already fits.
    """
    if mask.shape == (height, width):
        return mask
    resized: Mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return resized


def resize_soft(soft: SoftMask, height: int, width: int) -> SoftMask:
    """Bring a soft mask to another size: areas are averaged where it shrinks, bilinear where it grows; 0 to 1.

    The same array comes back where the size already fits.
    """
    if soft.shape == (height, width):
        return soft
    shrinks = height * width < soft.size
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized: SoftMask = cv2.resize(soft, (width, height), interpolation=interpolation)
    return resized.clip(0, 1)


def shrink(image: Image, max_side_px: int) -> Image:
    """Reduce a photo, averaging areas, so that its longer side is at most ``max_side_px``.

    The same array comes back where the size already fits.
    """
    height, width = image.shape[:2]
    scale = max_side_px / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    shrunk: Image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return shrunk


def resize(array: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Bring a photo, shape (H, W, 3), or one channel of scores, shape (H, W), to another size.

    Areas are averaged where it shrinks; it grows bilinearly. The same array comes back where the size already fits.
    """
    if array.shape[:2] == (height, width):
        return array
    shrinks = height * width < array.shape[0] * array.shape[1]
    resized: NDArray[Any] = cv2.resize(
        array, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    return resized
