"""The simplest coarse mask: photographers put the object in the middle."""

import numpy as np

from coarse2fine.errors import ConfigError
from coarse2fine.types import Image, SoftMask


def centered_box(image: Image, share: float = 0.8) -> SoftMask:
    """Mark a centered box, whatever the photo shows.

    Args:
        image: Only its height and width matter.
        share: Share of the photo's height and of its width (not of its area) that the box spans, above 0, at most 1.

    Returns:
        Shape (H, W): 1 inside the box, 0 outside. Sides are rounded to whole pixels, at least one; where the box cannot
        be in the exact middle it lies half a pixel up or left.

    Raises:
        ConfigError: ``share`` is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise ConfigError(f"The centered box must span a share above 0 and at most 1 of each side; found {share}.")
    rows, columns = (_centered(side_px, share) for side_px in image.shape[:2])
    soft = np.zeros(image.shape[:2], np.float32)
    soft[rows, columns] = 1
    return soft


def _centered(side_px: int, share: float) -> slice:
    length_px = max(1, round(side_px * share))
    start_px = (side_px - length_px) // 2
    return slice(start_px, start_px + length_px)
