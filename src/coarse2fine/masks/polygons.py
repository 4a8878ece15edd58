"""Convert masks to polygons that a reader fills to exactly the same mask.

Each connected part is one polygon. A bridge of zero width joins each hole to the outline, because the formats cannot
store holes. There are two conventions: YOLO's outlines run through the centers of the border pixels, as
``cv2.fillPoly`` fills them; COCO's outlines run along the edges of the pixels, as pycocotools fills them.
"""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from coarse2fine.types import Mask

Ring = NDArray[np.int32]
"""Corners of a closed polygon, shape (N, 2), x and y."""


def trace_centers(binary: Mask) -> list[Ring]:
    """Trace each 8-connected part of a mask through the centers of its border pixels.

    Args:
        binary: Binary mask, shape (H, W).

    Returns:
        One ring per part, which ``cv2.fillPoly`` fills to the part. A ring has at least three corners; corners are
        repeated if the part has fewer.
    """
    rings = [_simplify(ring) for ring in _trace(binary)]
    return [ring if len(ring) >= 3 else np.resize(ring, (3, 2)) for ring in rings]


def trace_edges(binary: Mask) -> list[Ring]:
    """Trace each 8-connected part of a mask along the edges of its pixels.

    Pixel (y, x) spans x to x + 1 and y to y + 1.

    Args:
        binary: Binary mask, shape (H, W).

    Returns:
        One ring of at least four corners per part, which pycocotools fills to the part.
    """
    doubled = np.repeat(np.repeat(binary, 2, axis=0), 2, axis=1)
    # In the doubled mask, the first half of a pixel lies at its near edge and the second half at its far edge.
    return [_simplify((ring + 1) // 2) for ring in _trace(doubled)]


def _trace(binary: Mask) -> Iterator[Ring]:
    """Yield the outline of each part pixel by pixel, with its holes joined to it.

    A bridge runs from the leftmost pixel of a hole to the left, to the next outline. All pixels of the bridge belong to
    the part, so the bridge, which is passed in both directions, fills no new pixel. If it meets another hole first,
    that hole lies further to the left and has been joined already.
    """
    contours, tree = cv2.findContours(binary, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return
    rings = [contour[:, 0] for contour in contours]
    parents = tree[0, :, 3]
    outlines = np.flatnonzero(parents < 0).tolist()
    holes = sorted(np.flatnonzero(parents >= 0).tolist(), key=lambda hole: int(rings[hole][:, 0].min()))
    corners = _LinkedCorners(rings, binary.shape, spare=2 * len(holes))
    for outline in outlines:
        corners.paint(outline)
    for hole in holes:
        corners.join(hole)
    for outline in outlines:
        yield corners.follow(outline)


class _LinkedCorners:
    """Linked list of the corners of all rings, in which a hole is joined to an outline in constant time.

    Args:
        rings: All outlines and holes.
        shape: Height and width of the mask.
        spare: Number of corners to reserve for bridges, two per hole.
    """

    def __init__(self, rings: list[Ring], shape: tuple[int, ...], spare: int) -> None:
        sizes = np.array([len(ring) for ring in rings])
        self.starts, self.ends = np.cumsum(sizes) - sizes, np.cumsum(sizes)
        self.corners = np.concatenate([*rings, np.zeros((spare, 2), np.int32)])
        self.following = np.arange(1, len(self.corners) + 1)
        self.following[self.ends - 1] = self.starts
        self.used = int(sizes.sum())
        # 1 + index of the corner of an outline or joined hole that lies at a pixel; 0 if there is none.
        self.painted = np.zeros(shape, np.int32)

    def paint(self, ring: int) -> None:
        """Record the corners of a ring at their pixels."""
        corners = np.arange(self.starts[ring], self.ends[ring])
        x, y = self.corners[corners].T
        self.painted[y, x] = corners + 1

    def join(self, hole: int) -> None:
        """Join a hole to the outline or joined hole on its left."""
        first, end = self.starts[hole], self.ends[hole]
        leftmost = first + int(self.corners[first:end, 0].argmin())
        x, y = self.corners[leftmost]
        target = self.painted[y, np.flatnonzero(self.painted[y, : x + 1])[-1]] - 1
        previous = leftmost - 1 if leftmost > first else end - 1
        # The way back over the bridge needs copies: target, leftmost, ..., previous, leftmost copy, target copy.
        leftmost_copy, target_copy = self.used, self.used + 1
        self.used += 2
        self.corners[leftmost_copy], self.corners[target_copy] = self.corners[leftmost], self.corners[target]
        self.following[previous], self.following[leftmost_copy] = leftmost_copy, target_copy
        self.following[target_copy], self.following[target] = self.following[target], leftmost
        self.paint(hole)

    def follow(self, outline: int) -> Ring:
        """Return all corners from the first one of an outline until it is reached again."""
        following = self.following
        order: list[int] = []
        corner = first = int(self.starts[outline])
        while not order or corner != first:
            order.append(corner)
            corner = int(following[corner])
        return self.corners[order]


def _simplify(ring: Ring) -> Ring:
    """Remove corners that repeat the previous one, and corners at which the outline does not turn."""
    ring = ring[np.any(ring != np.roll(ring, 1, axis=0), axis=1)] if len(ring) > 1 else ring
    if len(ring) < 3:
        return ring
    incoming, outgoing = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    turns = incoming[:, 0] * outgoing[:, 1] - incoming[:, 1] * outgoing[:, 0]
    straight = (turns == 0) & ((incoming * outgoing).sum(axis=1) > 0)
    simple: Ring = ring[~straight]
    return simple
