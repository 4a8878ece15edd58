"""Objects in a mask: a class, or each connected part of a class."""

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from coarse2fine.masks.regions import Box, bounding_box
from coarse2fine.types import Mask


class ObjectMask(NamedTuple):
    """The pixels of one annotation.

    Attributes:
        label: Class index.
        box: Bounding box of the pixels.
        crop: Binary mask within the box, shape (y1 - y0, x1 - x0).
    """

    label: int
    box: Box
    crop: Mask

    def to_full_size(self, height: int, width: int) -> Mask:
        """Return the binary mask in the size of the photo."""
        full = np.zeros((height, width), np.uint8)
        full[self.box.y0 : self.box.y1, self.box.x0 : self.box.x1] = self.crop
        return full


def split_into_parts(label: int, binary: Mask) -> Iterator[ObjectMask]:
    """Yield the 8-connected parts of a binary mask, in raster order of their first pixels."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(binary, connectivity=8)
    for part in range(1, count):
        x0, y0, width, height = stats[part, :4].tolist()
        box = Box(y0, x0, y0 + height, x0 + width)
        yield ObjectMask(label, box, (parts[box.y0 : box.y1, box.x0 : box.x1] == part).astype(np.uint8))


def crop_to_object(label: int, binary: Mask) -> ObjectMask:
    """Crop a binary mask, which must have foreground, to its bounding box."""
    box = bounding_box(binary)
    assert box is not None
    return ObjectMask(label, box, binary[box.y0 : box.y1, box.x0 : box.x1])
