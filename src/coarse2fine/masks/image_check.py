"""Check that arrays from callers are images and masks, and say how to convert them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from coarse2fine.errors import DataError


def check_image(image: object, needed_by: str) -> None:
    """Check that an array is an 8-bit RGB image of shape (H, W, 3).

    Args:
        image: What a caller passed.
        needed_by: Who needs the image, for the error message, such as ``GrabCut``.

    Raises:
        DataError: It is something else; the message says how to convert it.
    """
    if found := describe_other(image):
        raise DataError(f"{needed_by} needs an 8-bit RGB image of shape (H, W, 3); found {found}.")


def describe_other(image: object) -> str | None:
    """Describe what is not an 8-bit RGB image, and how to convert it; None for an image of shape (H, W, 3)."""
    if not isinstance(image, np.ndarray) or isinstance(image, np.ma.MaskedArray):
        return f"{type(image).__name__}; read a file with coarse2fine.read_image, or pass a NumPy array"
    hint = _hint(image)
    return f"{image.dtype} {image.shape}" + (f"; {hint}" if hint else "") if hint is not None else None


def check_mask(mask: object, needed_by: str) -> None:
    """Check that an array is a mask of class indices of shape (H, W).

    Raises:
        DataError: It is something else.
    """
    if not isinstance(mask, np.ndarray) or mask.ndim != 2 or mask.dtype.kind not in "uib":
        found = f"{mask.dtype} {mask.shape}" if isinstance(mask, np.ndarray) else type(mask).__name__
        raise DataError(
            f"{needed_by} needs a mask of class indices, integers of shape (H, W); found {found}. Binarize a soft mask "
            "first, such as (soft > 0.5).astype(np.uint8)."
        )


def _hint(image: NDArray[Any]) -> str | None:
    """Return how to convert an array; None if it is an image, empty if nothing is known."""
    channels = image.shape[2] if image.ndim == 3 else 0
    hints = (
        (0 in image.shape, "it is empty"),
        (image.ndim == 2 or channels == 1, "repeat gray three times: np.dstack([gray] * 3)"),
        (channels == 4, "leave out the transparency: image[..., :3]"),
        (channels > 4 and image.shape[0] in (1, 3, 4), "put the channels last: image.transpose(1, 2, 0)"),
        (channels != 3, ""),
        (image.dtype.kind == "f", "convert values from 0 to 1: np.rint(image * 255).astype(np.uint8)"),
        (image.dtype == np.uint16, "convert 16 bits: (image // 257).astype(np.uint8)"),
        (image.dtype != np.uint8, "convert it to np.uint8 with values from 0 to 255"),
    )
    return next((hint for is_so, hint in hints if is_so), None)
