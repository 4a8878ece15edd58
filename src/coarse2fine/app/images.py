"""Photos and masks for the page, and drawn masks from the page.

The page shows a photo with a longer side of at most `PAGE_SIDE_PX`. In larger photos, only the pixels that a person
changed are enlarged.
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from coarse2fine.data.photos import check_mask_header, read_image_and_header
from coarse2fine.errors import DataError
from coarse2fine.masks.palette import overlay
from coarse2fine.masks.png import read_mask
from coarse2fine.masks.resize import fit_size, resize, resize_mask
from coarse2fine.runtime.files import check_regular_file, hash_file
from coarse2fine.types import IGNORE, Image, Mask

PAGE_SIDE_PX = 2048
"""Longer side of a photo on the page, at most."""

THUMBNAIL_SIDE_PX = 256

_OVERLAY_OPACITY = 0.45
_JPEG_QUALITY = 88


def page_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return the height and width on the page of a photo of height and width ``size``."""
    return fit_size(size, PAGE_SIDE_PX)


def encode_photo(path: Path) -> bytes:
    """Encode a photo as JPEG for the page, upright.

    Raises:
        DataError: The photo cannot be read.
    """
    return _encode_jpeg(read_page_photo(path))


def read_page_photo(path: Path) -> Image:
    """Read a photo at the size of the page, upright.

    Raises:
        DataError: The photo cannot be read.
    """
    return _read_photo(path, PAGE_SIDE_PX)


def encode_thumbnail(photo: Path, mask: Path | None) -> bytes:
    """Encode a small photo as JPEG, with its mask as an overlay.

    Raises:
        DataError: The photo or the mask cannot be read.
    """
    image = _read_photo(photo, THUMBNAIL_SIDE_PX)
    if mask is not None:
        check_mask_header(mask, photo)
        image = overlay(image, resize_mask(read_mask(mask), *image.shape[:2]), _OVERLAY_OPACITY)
    return _encode_jpeg(image)


def hash_mask(path: Path) -> str:
    """Return a fingerprint of the content of a mask file.

    Raises:
        DataError: It is no regular file, or does not exist; ``fit`` may be replacing it.
    """
    try:
        check_regular_file(path)
        return hash_file(path)
    except OSError as error:
        raise DataError(
            f"The mask {path} does not exist at the moment; fit may be writing it. Try again later."
        ) from error


def decode_drawn_mask(content: bytes, size: tuple[int, int], classes: int) -> Mask:
    """Decode a mask that was drawn on the page.

    Args:
        content: One byte per pixel, row by row.
        size: Expected height and width.
        classes: Number of classes, including background.

    Returns:
        Class indices, shape (H, W); `IGNORE` is allowed.

    Raises:
        DataError: The mask has another size, or a pixel has an unknown class.
    """
    if len(content) != size[0] * size[1]:
        raise DataError(
            f"A drawn mask must have {size[1]} x {size[0]} pixels of one byte, but {len(content)} bytes were sent; "
            "reload the page."
        )
    mask = np.frombuffer(content, np.uint8).reshape(size)
    unknown = mask[(mask >= classes) & (mask != IGNORE)]
    if unknown.size:
        raise DataError(
            f"A drawn mask must contain class indices 0 to {classes - 1}, or {IGNORE} (ignored), but contains "
            f"{unknown[0]}."
        )
    return mask


def apply_drawing(before: Mask, drawn: Mask) -> Mask:
    """Apply the changes of a drawn mask to the original mask at full size; all other pixels stay the same.

    Args:
        before: The original mask, shape (H, W).
        drawn: The mask after drawing, at the size of the page, shape (h, w).

    Returns:
        Class indices, shape (H, W).
    """
    if before.shape == drawn.shape:
        return drawn
    changed = (drawn != resize_mask(before, *drawn.shape)).astype(np.uint8)
    enlarged = resize_mask(drawn, *before.shape)
    merged: Mask = np.where(resize_mask(changed, *before.shape) == 1, enlarged, before)
    return merged


def _read_photo(path: Path, max_side_px: int) -> Image:
    image, header = read_image_and_header(path, at_least_px=max_side_px)
    resized: Image = resize(image, *fit_size(header.size, max_side_px))
    return resized


def _encode_jpeg(image: Image) -> bytes:
    encoded = io.BytesIO()
    PillowImage.fromarray(image).save(encoded, format="JPEG", quality=_JPEG_QUALITY)
    return encoded.getvalue()
