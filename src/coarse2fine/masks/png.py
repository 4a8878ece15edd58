"""Masks and soft masks as PNG files."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from coarse2fine.errors import DataError
from coarse2fine.masks.palette import color_table
from coarse2fine.masks.regions import foreground_mask
from coarse2fine.runtime.files import write_atomically
from coarse2fine.runtime.names import check_name
from coarse2fine.runtime.pixel_limit import lift_pixel_limit
from coarse2fine.types import Mask, SoftMask


def mask_path(folder: Path, name: str) -> Path:
    """Return the path of the mask of the photo called ``name``.

    Raises:
        DataError: The name leads out of the folder (:func:`~coarse2fine.runtime.names.check_name`).
    """
    return folder / f"{check_name(name)}.png"


def write_mask(path: Path | str, mask: Mask) -> None:
    """Write a mask as a palette PNG in the PASCAL VOC colors.

    Args:
        path: The file; its folder is created.
        mask: Class index per pixel, shape (H, W).
    """
    with write_atomically(Path(path)) as file:
        file.write(encode_mask(mask))


def encode_mask(mask: Mask) -> bytes:
    """Encode a mask as a palette PNG in the PASCAL VOC colors."""
    image, encoded = PillowImage.fromarray(np.ascontiguousarray(mask)), io.BytesIO()
    image.putpalette(color_table().tobytes())
    image.save(encoded, format="PNG")
    return encoded.getvalue()


def read_mask(path: Path | str) -> Mask:
    """Read a mask from a palette, 8-bit gray or 1-bit PNG.

    Returns:
        Class index per pixel, shape (H, W); of a 1-bit image 0 and 1.

    Raises:
        DataError: The file is missing, damaged, or has colors instead of class indices.
    """
    with _open(Path(path), "mask") as image:
        if image.mode == "1":
            return np.asarray(image, dtype=np.uint8)
        if image.mode not in ("P", "L"):
            raise DataError(
                f"{path} must hold one class index per pixel (palette or 8-bit gray PNG), not {image.mode} colors."
            )
        return np.asarray(image, dtype=np.uint8).copy()


def write_soft(path: Path, soft: SoftMask) -> None:
    """Write a soft mask as an 8-bit gray PNG: 0 to 1 becomes 0 to 255."""
    image = PillowImage.fromarray(np.rint(255 * soft).astype(np.uint8))
    with write_atomically(path) as file:
        image.save(file, format="PNG")


def read_soft(path: Path) -> SoftMask:
    """Read a soft mask from an 8-bit gray PNG: 0 to 255 becomes 0 to 1, shape (H, W).

    Raises:
        DataError: The file is missing, damaged, or no 8-bit gray image.
    """
    with _open(path, "soft mask") as image:
        return _as_soft(image, path)


def read_soft_or_binary(path: Path) -> SoftMask:
    """Read a soft mask from a gray PNG, or a mask of class indices (palette or 1-bit PNG) as 0 and 1, shape (H, W).

    Raises:
        DataError: The file is missing, damaged, or has colors.
    """
    with _open(path, "mask") as image:
        if image.mode in ("P", "1"):
            return foreground_mask(np.asarray(image, dtype=np.uint8)).astype(np.float32)
        return _as_soft(image, path)


def _as_soft(image: PillowImage.Image, path: Path) -> SoftMask:
    if image.mode != "L":
        raise DataError(
            f"{path} must be a soft mask (8-bit gray PNG, foreground probability 0 to 255), but its mode is "
            f"{image.mode}; to start from a mask of class indices, choose the start 'mask' or 'box'."
        )
    soft: SoftMask = np.asarray(image, dtype=np.float32) / np.float32(255)
    return soft


@contextmanager
def _open(path: Path, what: str) -> Iterator[PillowImage.Image]:
    """Open and decode an image file; errors of Pillow become a DataError."""
    try:
        with lift_pixel_limit(), PillowImage.open(path) as image:
            image.load()
            yield image
    except FileNotFoundError as error:
        raise DataError(f"There is no {what} {path}.") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"The {what} {path} cannot be read ({error}).") from error
