"""Photos and masks on their way to the page, and drawn masks on their way back.

The page works at a photo's size up to `VIEW_PX`; of larger photos only the pixels that a person drew are enlarged.
"""

import hashlib
import io
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from coarse2fine.data.photos import read_image, read_size
from coarse2fine.errors import DataError
from coarse2fine.masks.palette import overlay
from coarse2fine.masks.png import read_mask
from coarse2fine.masks.resize import resize, resize_mask
from coarse2fine.types import IGNORE, Image, Mask

VIEW_PX = 2048
"""Longer side of a photo on the page, at most."""

THUMB_PX = 256
ALPHA = 0.45

_JPEG_QUALITY = 88


def fit_size(size: tuple[int, int], side_px: int) -> tuple[int, int]:
    """Height and width whose longer side is at most ``side_px``; smaller ones stay."""
    factor = min(1.0, side_px / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def draw_picture(photo: Path) -> bytes:
    """A photo as JPEG, upright, for the page.

    Raises:
        DataError: It cannot be read.
    """
    return _encode(_read(photo, VIEW_PX))


def draw_thumb(photo: Path, mask: Path | None) -> bytes:
    """A small photo as JPEG, with its mask laid over it.

    Raises:
        DataError: Photo or mask cannot be read.
    """
    image = _read(photo, THUMB_PX)
    return _encode(image if mask is None else overlay(image, resize_mask(read_mask(mask), *image.shape[:2]), ALPHA))


def fingerprint(path: Path) -> str:
    """Of a file's content.

    Raises:
        DataError: It is not there, perhaps because fit makes it again.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise DataError(f"There is no mask {path} at the moment; fit may be making it again.") from error


def check_drawn(content: bytes, size: tuple[int, int], classes: int) -> Mask:
    """A mask as the page sends it: one byte per pixel, row by row.

    Args:
        content: The bytes.
        size: Height and width that it must have.
        classes: How many there are, with background.

    Raises:
        DataError: It has another size, or a pixel is of no class.
    """
    if len(content) != size[0] * size[1]:
        raise DataError(
            f"A drawn mask must have {size[1]} x {size[0]} pixels of one byte, but {len(content)} bytes were sent; "
            "load the page again."
        )
    mask = np.frombuffer(content, np.uint8).reshape(size)
    strange = mask[(mask >= classes) & (mask != IGNORE)]
    if strange.size:
        raise DataError(f"A drawn mask must hold classes 0 to {classes - 1}, or {IGNORE}, but holds {strange[0]}.")
    return mask


def lay_drawn(before: Mask, drawn: Mask) -> Mask:
    """What a person changed in a reduced mask, brought to the mask that was shown; all other pixels stay.

    Args:
        before: The mask that was shown, at its own size.
        drawn: What the person made of it, at the size of the page.

    Returns:
        As large as ``before``.
    """
    if before.shape == drawn.shape:
        return drawn
    changed = (drawn != resize_mask(before, *drawn.shape)).astype(np.uint8)
    large = resize_mask(drawn, *before.shape)
    laid: Mask = np.where(resize_mask(changed, *before.shape) == 1, large, before)
    return laid


def _read(photo: Path, side_px: int) -> Image:
    size = fit_size(read_size(photo), side_px)
    image: Image = resize(read_image(photo, at_least_px=side_px), *size)
    return image


def _encode(image: Image) -> bytes:
    encoded = io.BytesIO()
    PillowImage.fromarray(image).save(encoded, format="JPEG", quality=_JPEG_QUALITY)
    return encoded.getvalue()
