"""Foreground, boxes and components of one mask.

The foreground of a mask are all pixels that are neither `BACKGROUND` nor `IGNORE`.
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
    """Convert a mask of any classes to a binary mask: 1 is foreground, 0 is background and ignored pixels."""
    foreground: Mask = ((mask != BACKGROUND) & (mask != IGNORE)).astype(np.uint8)
    return foreground


def classes_in(mask: Mask) -> list[int]:
    """Return the class indices in a mask in ascending order, without `BACKGROUND` and `IGNORE`."""
    return [int(label) for label in np.unique(mask) if label not in (BACKGROUND, IGNORE)]


def foreground_values(mask: Mask) -> list[int]:
    """Return the values that mean foreground in a mask from any tool, in ascending order.

    These are the class indices (:func:`classes_in`). A mask with no values except 0 and 255 comes from a tool that
    paints the object white: there 255 means foreground, in all other masks it means ignored pixels.
    """
    return classes_in(mask) or ([IGNORE] if (mask == IGNORE).any() else [])


def bounding_box(mask: Mask) -> Box | None:
    """Compute the smallest box around all foreground; None for a mask without foreground."""
    foreground = foreground_mask(mask)
    rows = np.flatnonzero(foreground.any(axis=1))
    columns = np.flatnonzero(foreground.any(axis=0))
    if not len(rows):
        return None
    return Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)


def largest_component(mask: Mask) -> Mask:
    """Keep only the largest connected component of the foreground.

    Args:
        mask: Shape (H, W), any classes; touching pixels of different classes belong to one component.

    Returns:
        Binary mask, shape (H, W). Components are 8-connected; of several largest ones the first in raster order is
        kept. Without foreground all values are 0.
    """
    foreground = foreground_mask(mask)
    _, components, stats, _ = cv2.connectedComponentsWithStats(foreground, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if not len(areas):
        return foreground
    largest = np.isin(components, 1 + np.flatnonzero(areas == areas.max()))
    component: Mask = (components == components.flat[np.argmax(largest)]).astype(np.uint8)
    return component


def fill_box(mask: Mask, rule: BoxRule = "all") -> Mask:
    """Replace the foreground by its bounding box.

    Args:
        mask: Shape (H, W).
        rule: ``all``: the box around all foreground; ``largest``: around its largest component.

    Returns:
        Binary mask, shape (H, W): 1 inside the box; all 0 if there is no foreground.
    """
    box = bounding_box(largest_component(mask) if rule == "largest" else mask)
    filled = np.zeros(mask.shape, np.uint8)
    if box is not None:
        filled[box.y0 : box.y1, box.x0 : box.x1] = 1
    return filled
