"""Masks and soft masks as PNG files."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from coarse2fine.errors import DataError
from coarse2fine.masks.palette import color_table
from coarse2fine.masks.regions import foreground_mask
from coarse2fine.runtime.decoding_limits import FORMATS, LimitError, check_header, check_pixels, open_file
from coarse2fine.runtime.files import write_atomically
from coarse2fine.runtime.names import check_name
from coarse2fine.runtime.pixel_limit import lift_pixel_limit
from coarse2fine.types import IGNORE, Mask, SoftMask

_EXIF_ORIENTATION = 0x0112
_GRAY_STEPS = {"L;2": 85, "L;4": 17}
"""How far apart the values of gray of 2 and 4 bits are after Pillow scaled them to 0..255."""


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


def encode_gray(mask: Mask) -> bytes:
    """Encode a mask as an 8-bit gray PNG of its values, for readers that expand a palette to colors."""
    encoded = io.BytesIO()
    PillowImage.fromarray(np.ascontiguousarray(mask)).save(encoded, format="PNG")
    return encoded.getvalue()


def read_mask(path: Path | str) -> Mask:
    """Read a mask from a palette or gray PNG of at most 8 bits.

    Returns:
        Class index per pixel as stored, shape (H, W).

    Raises:
        DataError: The file is missing or damaged, has colors instead of class indices, an EXIF flag that turns it, or
            a palette of PASCAL VOC colors that a tool has renumbered.
    """
    with _open(Path(path), "mask") as image:
        if image.mode not in ("P", "L", "1"):
            raise DataError(
                f"{path} must hold one class index per pixel (palette or 8-bit gray PNG), not {image.mode} colors."
            )
        return _read_indices(image, path)


def read_mask_size(path: Path) -> tuple[int, int]:
    """Read height and width of a mask from the header of its file.

    Raises:
        DataError: The file is missing or damaged.
    """
    with _open(path, "mask") as image:
        return image.height, image.width


def read_foreground(path: Path) -> Mask:
    """Read a mask that distinguishes only foreground and background, from an image of any mode.

    Args:
        path: The file. In a palette PNG index 0 is background; in other images black is background, and transparency
            is ignored.

    Returns:
        Binary mask, shape (H, W). White (255) is foreground here, not a pixel to ignore.

    Raises:
        DataError: The file is missing or damaged, or its palette contradicts its indices, see :func:`read_mask`.
    """
    with _open(path, "ground-truth mask") as image:
        if image.mode in ("P", "1"):
            values: NDArray[Any] = _read_indices(image, path)
        else:
            values = np.asarray(image if image.mode in ("L", "I", "I;16") else image.convert("RGB"))
    return np.asarray(np.any(values != 0, axis=tuple(range(2, values.ndim))), dtype=np.uint8)


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
            return foreground_mask(_read_indices(image, path)).astype(np.float32)
        return _as_soft(image, path)


def _as_soft(image: PillowImage.Image, path: Path) -> SoftMask:
    if image.mode != "L":
        raise DataError(
            f"{path} must be a soft mask (8-bit gray PNG, foreground probability 0 to 255), but its mode is "
            f"{image.mode}; to start from a mask of class indices, choose the start 'mask' or 'box'."
        )
    soft: SoftMask = np.asarray(image, dtype=np.float32) / np.float32(255)
    return soft


def _read_indices(image: PillowImage.Image, path: Path | str) -> Mask:
    """Read the stored values of an image of mode P, L or 1. Pillow scales gray of 2 and 4 bits to 0..255."""
    tile = getattr(image, "tile", None)  # of an image file that is not yet decoded: (codec, box, offset, raw mode)
    values: Mask = np.asarray(image, dtype=np.uint8) // _GRAY_STEPS.get(str(tile[0][3]) if tile else "", 1)
    if "exif" in image.info and image.getexif().get(_EXIF_ORIENTATION, 1) != 1:
        raise DataError(f"{path} must be stored upright, but its EXIF flag turns it; save it turned, without the flag.")
    if image.mode == "P":
        _check_palette(image, values, path)
    return values


def _check_palette(image: PillowImage.Image, values: Mask, path: Path | str) -> None:
    """Refuse a palette that a tool has renumbered, so that the indices are not those of the classes.

    It holds PASCAL VOC colors, but not in the order of their classes; or it holds only those of this one mask, and they
    are not those of classes 0, 1, 2, ... A palette with any other color, or with one color twice, says nothing.
    """
    palette = [tuple(color) for color in np.reshape(image.getpalette("RGB") or [], (-1, 3)).tolist()]
    if palette == [(255, 255, 255), (0, 0, 0)]:
        raise DataError(
            f"{path} must have the class index of each pixel as palette index, but index 0, the background, is white "
            "and index 1 is black. Save it as 8-bit gray PNG with the class indices."
        )
    class_of = {tuple(color): index for index, color in enumerate(color_table().tolist())}
    classes: list[int] = []
    for color in palette:
        if color not in class_of or class_of[color] in classes:
            break
        classes.append(class_of[color])
    used = [index for index in np.unique(values).tolist() if index < len(palette) and index != IGNORE]
    if classes == [*range(len(classes))] or max(used, default=0) >= len(classes):
        return
    if classes != sorted(classes) or 2 < len(palette) == len(used):  # one color can be that of a class by chance
        index = next(index for index, number in enumerate(classes) if index != number)
        raise DataError(
            f"{path} must have the class index of each pixel as palette index, but index {index} has the color "
            f"{palette[index]}, which PASCAL VOC uses for class {classes[index]}, and a tool seems to have renumbered "
            "the palette. Save it as 8-bit gray PNG with the class indices, or with the palette in its usual order."
        )


@contextmanager
def _open(path: Path, what: str) -> Iterator[PillowImage.Image]:
    """Open an image file, which is decoded in the block; errors of Pillow become a DataError."""
    try:
        with lift_pixel_limit(), open_file(path) as file:
            check_header(file)
            with PillowImage.open(file, formats=FORMATS) as image:
                check_pixels(image)
                yield image
    except FileNotFoundError as error:
        raise DataError(f"There is no {what} {path}.") from error
    except (OSError, SyntaxError, ValueError, LimitError) as error:
        raise DataError(f"The {what} {path} cannot be read ({error}).") from error
