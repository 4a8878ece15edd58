"""What is done to one mask: pure functions from arrays to arrays, without files and without networks.

In all of them the foreground of a mask is what is neither `BACKGROUND` nor `IGNORE`.
"""

from typing import Literal, NamedTuple

import cv2
import numpy as np

from coarse2fine.types import BACKGROUND, IGNORE, Mask

BoxRule = Literal["all", "largest"]


class Box(NamedTuple):
    """A rectangle of pixels: rows ``y0`` to ``y1 - 1``, columns ``x0`` to ``x1 - 1``."""

    y0: int
    x0: int
    y1: int
    x1: int


def foreground_mask(mask: Mask) -> Mask:
    """Mark the foreground of a mask of any classes: 1 there, 0 on background and ignored pixels; shape (H, W)."""
    foreground: Mask = ((mask != BACKGROUND) & (mask != IGNORE)).astype(np.uint8)
    return foreground


def classes_in(mask: Mask) -> list[int]:
    """Class indices that occur, in order, without `BACKGROUND` and `IGNORE`."""
    return [int(label) for label in np.unique(mask) if label not in (BACKGROUND, IGNORE)]


def foreground_values(mask: Mask) -> list[int]:
    """Values that mean an object in a mask of any origin, in order.

    These are the :func:`classes_in` it. A mask that holds nothing but 0 and 255 is that of a tool which paints the
    object white: 255 means the object there, and ignored pixels everywhere else.
    """
    return classes_in(mask) or ([IGNORE] if (mask == IGNORE).any() else [])


def bounding_box(mask: Mask) -> Box | None:
    """Find the smallest box around all foreground; None where there is no foreground."""
    foreground = foreground_mask(mask)
    rows = np.flatnonzero(foreground.any(axis=1))
    columns = np.flatnonzero(foreground.any(axis=0))
    if not len(rows):
        return None
    return Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)


def largest_component(mask: Mask) -> Mask:
    """Keep the largest piece of the foreground.

    Args:
        mask: Shape (H, W), any classes; touching pixels of different classes belong together.

    Returns:
        Binary mask, shape (H, W). Pieces are 8-connected; of equally large ones the first in raster order stays.
        Without foreground all of it is 0.
    """
    foreground = foreground_mask(mask)
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(foreground, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if not len(areas):
        return foreground
    largest = np.isin(pieces, 1 + np.flatnonzero(areas == areas.max()))
    piece: Mask = (pieces == pieces.flat[np.argmax(largest)]).astype(np.uint8)
    return piece


def fill_box(mask: Mask, rule: BoxRule = "all") -> Mask:
    """Replace the foreground by its smallest box.

    Args:
        mask: Shape (H, W).
        rule: ``all``: the box spans all foreground; ``largest``: only its largest component.

    Returns:
        Binary mask, shape (H, W), 1 in the box; all 0 where there is no foreground.
    """
    box = bounding_box(largest_component(mask) if rule == "largest" else mask)
    filled = np.zeros(mask.shape, np.uint8)
    if box is not None:
        filled[box.y0 : box.y1, box.x0 : box.x1] = 1
    return filled
