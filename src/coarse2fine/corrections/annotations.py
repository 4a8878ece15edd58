"""What a person drew in a labeling tool, and the mask it makes."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from skimage.draw import polygon

from coarse2fine.errors import DataError
from coarse2fine.types import Mask


class Shape(NamedTuple):
    """One region.

    Attributes:
        label: Its class, as the tool calls it.
        binary: 1 on its pixels, shape (H, W) of the photo.
    """

    label: str
    binary: Mask


class Corrected(NamedTuple):
    """One photo that a person has been through.

    Attributes:
        photo: As the tool names it.
        shapes: From the lowest to the topmost.
        size: Height and width of the photo, as the tool knows it; None where it does not say.
    """

    photo: str
    shapes: Sequence[Shape]
    size: tuple[int, int] | None


def fill_polygon(corners: Sequence[tuple[float, float]], height: int, width: int) -> Mask:
    """Pixels whose center lies in a polygon.

    Args:
        corners: x and y in pixels; the center of the first pixel is (0.5, 0.5).
        height: Of the photo.
        width: Of the photo.
    """
    filled = np.zeros((height, width), np.uint8)
    x, y = np.array(corners, np.float64).reshape(-1, 2).T
    filled[polygon(y - 0.5, x - 0.5, filled.shape)] = 1
    return filled


def paint_shapes(shapes: Sequence[Shape], labels: Mapping[str, int], height: int, width: int) -> Mask:
    """The mask that shapes make, later ones on top.

    Args:
        shapes: All of them ``height`` x ``width``.
        labels: Class index by the tool's label.
        height: Of the photo.
        width: Of the photo.

    Raises:
        DataError: A label is no class.
    """
    mask = np.zeros((height, width), np.uint8)
    for shape in shapes:
        if shape.label not in labels:
            raise DataError(f"its label '{shape.label}' must be one of the classes {', '.join(labels)}")
        mask[shape.binary > 0] = labels[shape.label]
    return mask
