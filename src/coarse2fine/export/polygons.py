"""Masks as polygons that a reader fills to the same mask: holes are joined to the outline by bridges, parts stay apart.

Two conventions: outlines through the centers of the pixels on the edge, as ``cv2.fillPoly`` fills them (YOLO), and
outlines along the edges of pixels, as pycocotools fills them (COCO). Both come back pixel for pixel.
"""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from coarse2fine.types import Mask

Ring = NDArray[np.int32]
"""Corners of a closed polygon, shape (N, 2), x and y."""


def trace_centers(binary: Mask) -> list[Ring]:
    """One ring for every 8-connected part, through the centers of its pixels on the edge.

    Args:
        binary: Shape (H, W), 0 and 1.

    Returns:
        Rings that ``cv2.fillPoly`` fills to ``binary``; at least three corners each, repeated where a part has fewer.
    """
    rings = [_simplify(ring) for ring in _trace(binary)]
    return [ring if len(ring) >= 3 else np.resize(ring, (3, 2)) for ring in rings]


def trace_edges(binary: Mask) -> list[Ring]:
    """One ring for every 8-connected part, along the edges of its pixels; pixel (y, x) spans x to x + 1, y to y + 1.

    Args:
        binary: Shape (H, W), 0 and 1.

    Returns:
        Rings of at least four corners that pycocotools fills to ``binary``.
    """
    doubled = np.repeat(np.repeat(binary, 2, axis=0), 2, axis=1)
    # Of a pixel doubled, the first half lies at its near edge, the second at its far edge.
    return [_simplify((ring + 1) // 2) for ring in _trace(doubled)]


def _trace(binary: Mask) -> Iterator[Ring]:
    """Outlines pixel by pixel, each with its holes.

    A bridge goes from a hole's leftmost pixel to the left, to the next outline. All pixels on the way are the part's,
    so that the bridge, walked there and back, fills nothing new. Where another hole comes first, it lies further to
    the left and is joined already.
    """
    contours, tree = cv2.findContours(binary, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return
    rings = [contour[:, 0] for contour in contours]
    parents = tree[0, :, 3]
    outlines = np.flatnonzero(parents < 0).tolist()
    holes = sorted(np.flatnonzero(parents >= 0).tolist(), key=lambda hole: int(rings[hole][:, 0].min()))
    chain = _Chain(rings, binary.shape, spare=2 * len(holes))
    for outline in outlines:
        chain.paint(outline)
    for hole in holes:
        chain.join(hole)
    for outline in outlines:
        yield chain.follow(outline)


class _Chain:
    """Corners of all rings, each knowing the one that follows it, so that a hole is joined in constant time."""

    def __init__(self, rings: list[Ring], shape: tuple[int, ...], spare: int) -> None:
        sizes = np.array([len(ring) for ring in rings])
        self.starts, self.ends = np.cumsum(sizes) - sizes, np.cumsum(sizes)
        self.corners = np.concatenate([*rings, np.zeros((spare, 2), np.int32)])
        self.following = np.arange(1, len(self.corners) + 1)
        self.following[self.ends - 1] = self.starts
        self.used = int(sizes.sum())
        self.painted = np.zeros(shape, np.int32)  # 1 + which corner of an outline or of a joined hole lies here

    def paint(self, ring: int) -> None:
        corners = np.arange(self.starts[ring], self.ends[ring])
        x, y = self.corners[corners].T
        self.painted[y, x] = corners + 1

    def join(self, hole: int) -> None:
        first, end = self.starts[hole], self.ends[hole]
        near = first + int(self.corners[first:end, 0].argmin())
        x, y = self.corners[near]
        far = self.painted[y, np.flatnonzero(self.painted[y, : x + 1])[-1]] - 1
        before = near - 1 if near > first else end - 1
        again_near, again_far = self.used, self.used + 1
        self.used += 2
        self.corners[again_near], self.corners[again_far] = self.corners[near], self.corners[far]
        self.following[before], self.following[again_near] = again_near, again_far
        self.following[again_far], self.following[far] = self.following[far], near
        self.paint(hole)

    def follow(self, outline: int) -> Ring:
        following = self.following
        order: list[int] = []
        corner = first = int(self.starts[outline])
        while not order or corner != first:
            order.append(corner)
            corner = int(following[corner])
        return self.corners[order]


def _simplify(ring: Ring) -> Ring:
    """Leave out corners that repeat the one before, then those at which the outline goes straight on."""
    ring = ring[np.any(ring != np.roll(ring, 1, axis=0), axis=1)] if len(ring) > 1 else ring
    if len(ring) < 3:
        return ring
    came, goes = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    turns = came[:, 0] * goes[:, 1] - came[:, 1] * goes[:, 0]
    straight = (turns == 0) & ((came * goes).sum(axis=1) > 0)
    simple: Ring = ring[~straight]
    return simple
