"""Objects that a network found in a photo: a table of them, and the photo without its background."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coarse2fine.inference.segmenter import foreground_probability
from coarse2fine.masks.objects import split_into_parts
from coarse2fine.masks.polygons import trace_edges
from coarse2fine.masks.regions import Box, classes_in
from coarse2fine.masks.resize import resize
from coarse2fine.types import Image, Mask, Probabilities

OBJECT_COLUMNS = ("score", "x", "y", "width", "height", "area", "polygon")

EDGE_WIDTH = 0.4
"""Range of the foreground's share of probability, around .5, in which a cut-out is translucent.

The edge of the object is that of its mask, and the inside is opaque although a network is rarely sure.
"""


@dataclass(frozen=True)
class FoundObject:
    """A connected part of a class in a mask.

    Attributes:
        label: Class index.
        score: Mean probability of the class over the pixels of the object, 0 to 1.
        box: Bounding box.
        area: Number of pixels.
        polygon: Corners x, y along the edges of the pixels, as COCO has them. A bridge of zero width joins each hole.
    """

    label: int
    score: float
    box: Box
    area: int
    polygon: Sequence[int]

    def columns(self) -> tuple[str | int, ...]:
        """Return the values of `OBJECT_COLUMNS`."""
        y0, x0, y1, x1 = self.box
        return (f"{self.score:.4f}", x0, y0, x1 - x0, y1 - y0, self.area, " ".join(map(str, self.polygon)))


def list_objects(mask: Mask, probabilities: Probabilities) -> list[FoundObject]:
    """List the 8-connected objects of all classes.

    Args:
        mask: Class indices, shape (H, W).
        probabilities: Class probabilities at any size, shape (C, h, w).

    Returns:
        The objects, class by class, in raster order of their first pixels.
    """
    found = []
    for label in classes_in(mask):
        channel = resize(probabilities[label], *mask.shape)
        for part in split_into_parts(label, (mask == label).astype(np.uint8)):
            box, inside = part.box, part.crop > 0
            score = float(channel[box.y0 : box.y1, box.x0 : box.x1][inside].mean())
            (ring,) = trace_edges(part.crop)
            polygon = (ring + np.array([box.x0, box.y0])).ravel().tolist()
            found.append(FoundObject(label, min(max(score, 0.0), 1.0), box, int(inside.sum()), polygon))
    return found


def cut_out(image: Image, probabilities: Probabilities, foreground_first: bool) -> NDArray[np.uint8]:
    """Make the background of a photo transparent, with a soft edge.

    Args:
        image: The photo, shape (H, W, 3).
        probabilities: Class probabilities at any size, shape (C, h, w).
        foreground_first: As for the mask, see :func:`~coarse2fine.inference.segmenter.foreground_probability`.

    Returns:
        RGBA, shape (H, W, 4). Opacity is a ramp of width `EDGE_WIDTH` over the share of the foreground in the sum of
        its probability and that of background; it is at least one half exactly where the mask has a class.
    """
    height, width = image.shape[:2]
    background = resize(probabilities[0], height, width)
    best = np.zeros_like(background)
    for channel in probabilities[1:]:
        np.maximum(best, resize(channel, height, width), out=best)
    foreground = foreground_probability(background, best, foreground_first)
    share = foreground / np.maximum(foreground + background, 1e-6)
    opacity = np.clip((share - 0.5) / EDGE_WIDTH + 0.5, 0, 1)
    return np.dstack([image, np.rint(255 * opacity).astype(np.uint8)])
