"""What is done to one mask: pure functions from arrays to arrays, without files and without networks.

In all of them the foreground of a mask is what is neither `BACKGROUND` nor `IGNORE`.
"""

from functools import cache
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from coarse2fine.errors import DataError
from coarse2fine.types import BACKGROUND, IGNORE, Image, Mask, Scores, SoftMask

BoxRule = Literal["all", "largest"]
ConstrainRule = Literal["label", "pair", "foreground"]

_IGNORE_COLOUR = (224, 224, 192)
_CONTOUR_COLOUR = (255, 255, 255)
_CONTOUR_SHARE = 1 / 300  # of the photo's longer side


class Box(NamedTuple):
    """A rectangle of pixels: rows ``y0`` to ``y1 - 1``, columns ``x0`` to ``x1 - 1``."""

    y0: int
    x0: int
    y1: int
    x1: int


@cache
def colour_table() -> NDArray[np.uint8]:
    """Make the palette of PASCAL VOC: RGB by class index.

    The bits of the index, lowest first, go in turn to red, green and blue, and fill each of them from its highest bit
    down. Index 255 is the light beige of ignored pixels.

    Returns:
        Shape (256, 3), read-only.

    Source: VOC 2012 development kit, VOClabelcolormap.
    """
    index = np.arange(256)
    table = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        table[:, bit % 3] |= ((index >> bit & 1) << (7 - bit // 3)).astype(np.uint8)
    table[IGNORE] = _IGNORE_COLOUR
    table.setflags(write=False)
    return table


def binarize(mask: Mask) -> Mask:
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
    foreground = binarize(mask)
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
    foreground = binarize(mask)
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


def constrain(scores: Scores, label: int, rule: ConstrainRule = "label", threshold: float = 0.5) -> Mask:
    """Keep of a prediction only what belongs to the image's own class.

    Args:
        scores: Class probabilities, shape (C, H, W); class 0 is background.
        label: The image's class, 1 to C - 1.
        rule: ``label``: the label is the likeliest class (the paper's rule); ``pair``: the label is likelier than
            background; ``foreground``: whatever the class, foreground is likelier than ``threshold``. In all three a
            tie is background.
        threshold: For the rule ``foreground``, 0 to 1.

    Returns:
        Binary mask, shape (H, W).

    Raises:
        DataError: ``label`` is not a foreground class of ``scores``.

    Source: the paper, section IV-D2, strategy b.
    """
    return (likelihood(scores, label, rule, threshold) > 0.5).astype(np.uint8)


def likelihood(scores: Scores, label: int, rule: ConstrainRule = "label", threshold: float = 0.5) -> SoftMask:
    """How likely a pixel is kept by :func:`constrain`; above 0.5 it is.

    The odds of the label against its strongest rival (``label``) or against background (``pair``), or those of
    foreground (``foreground``), shifted so that they are even at ``threshold``.

    Returns:
        Shape (H, W), 0 to 1; arguments and errors are those of :func:`constrain`.
    """
    if not 1 <= label < len(scores):
        raise DataError(
            f"The label of an image must be a foreground class of its scores, 1 to {len(scores) - 1}, found {label}; "
            "the network must be trained on the classes of this data set."
        )
    own, rival = scores[label], scores[BACKGROUND]
    if rule == "label":
        rival = np.delete(scores, label, axis=0).max(axis=0)
    elif rule == "foreground":
        own, rival = (1 - rival) * np.float32(1 - threshold), rival * np.float32(threshold)
    likely: SoftMask = own / np.maximum(own + rival, np.finfo(np.float32).tiny)
    return likely


def keep_reason(mask: Mask, min_share: float, max_share: float) -> str | None:
    """Judge whether a mask is fit to train the next round.

    Args:
        mask: Shape (H, W).
        min_share: Least share of all pixels that must be foreground, 0 to 1.
        max_share: Greatest share of all pixels that may be foreground, 0 to 1.

    Returns:
        None where the image stays (the limits themselves stay), else why it goes: ``foreground 0.4 % is below 1 %``.

    Source: the paper, whose limits are 1 % and 80 %.
    """
    share = float(binarize(mask).mean())
    if share < min_share:
        return f"foreground {100 * share:.4g} % is below {100 * min_share:.4g} %"
    if share > max_share:
        return f"foreground {100 * share:.4g} % is above {100 * max_share:.4g} %"
    return None


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


def paint(mask: Mask) -> Image:
    """Colour every pixel of a mask with its class's palette colour; shape (H, W, 3), RGB."""
    return colour_table()[mask]


def overlay(image: Image, mask: Mask, alpha: float = 0.5) -> Image:
    """Lay a mask over its photo, each class in its palette colour with a white contour.

    Args:
        image: Shape (H, W, 3).
        mask: Shape (H, W); background stays as photographed.
        alpha: Strength of the colour, 0 to 1.

    Returns:
        New RGB image, shape (H, W, 3).

    Raises:
        DataError: Photo and mask differ in height or width.
    """
    if image.shape[:2] != mask.shape:
        raise DataError(
            f"A mask must be as high and wide as its photo, found {mask.shape} on {image.shape[:2]}; resize the mask."
        )
    mixed = np.rint((1 - alpha) * image + alpha * paint(mask)).astype(np.uint8)
    shown = np.where((mask != BACKGROUND)[..., None], mixed, image)
    shown[_trace_contour(mask)] = _CONTOUR_COLOUR
    return shown


def _trace_contour(mask: Mask) -> NDArray[np.bool_]:
    radius_px = max(1, round(max(mask.shape) * _CONTOUR_SHARE))
    kernel = np.ones((2 * radius_px + 1, 2 * radius_px + 1), np.uint8)
    inner: NDArray[np.bool_] = (cv2.erode(mask, kernel) != cv2.dilate(mask, kernel)) & (mask != BACKGROUND)
    return inner
