"""Method box: a centered box, because photographers often place the object in the center."""

import numpy as np

from coarse2fine.errors import ConfigError
from coarse2fine.masks.image_check import check_image
from coarse2fine.types import Image, SoftMask


def centered_box(image: Image, share: float = 0.8) -> SoftMask:
    """Return a soft mask of a centered box.

    Args:
        image: Shape (H, W, 3); only its height and width are used.
        share: Height and width of the box as a share of those of the photo, above 0, at most 1.

    Returns:
        Soft mask, shape (H, W): 1 inside the box, 0 outside. The sides of the box are rounded to whole pixels, at least
        one. If an odd number of pixels remains, the box lies half a pixel above or left of the center.

    Raises:
        ConfigError: ``share`` is not above 0 and at most 1.
        DataError: The photo is not 8-bit RGB.
    """
    check_image(image, "A centered box")
    if not 0 < share <= 1:
        raise ConfigError(f"coarse.box.share must be above 0 and at most 1; found {share}.")
    rows, columns = (_centered(side_px, share) for side_px in image.shape[:2])
    soft = np.zeros(image.shape[:2], np.float32)
    soft[rows, columns] = 1
    return soft


def _centered(side_px: int, share: float) -> slice:
    length_px = max(1, round(side_px * share))
    start_px = (side_px - length_px) // 2
    return slice(start_px, start_px + length_px)
