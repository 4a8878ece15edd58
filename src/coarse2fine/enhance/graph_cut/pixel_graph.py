"""The undecided pixels of a photo as a graph whose cheapest cut is the mask of least energy.

Source: Rother, Kolmogorov, Blake, "GrabCut" (SIGGRAPH 2004), equation 11, over eight neighbors, diagonal ones weighing
1 / sqrt 2; the constant 50 is theirs.
"""

import numpy as np
from numpy.typing import NDArray

from coarse2fine.enhance.graph_cut.compilation import compiled, compiled_lean
from coarse2fine.enhance.graph_cut.max_flow import DIRECTIONS, Graph
from coarse2fine.enhance.graph_cut.trimap import CERTAIN_FOREGROUND, MAYBE_BACKGROUND
from coarse2fine.types import Image, Mask

SMOOTHNESS = 50.0
"""Energy of a contour's pixel in a flat area, in natural logarithms of odds."""

UNIT = 64.0
"""Capacities are whole numbers of 1 / 64: the cut is exact, the same everywhere, and rounding moves no contour."""

_CONTRAST_PIXELS = 50_000  # the mean contrast is taken from rows that hold about as many
ROWS = (-1, -1, -1, 0, 0, 1, 1, 1)
COLUMNS = (-1, 0, 1, -1, 1, -1, 0, 1)
SHARES = (0.5**0.5, 1.0, 0.5**0.5, 1.0, 1.0, 0.5**0.5, 1.0, 0.5**0.5)


@compiled
def mean_contrast(image: Image) -> float:
    """Mean squared RGB distance of neighboring pixels, from evenly spaced rows; image of shape (H, W, 3)."""
    height, width, _ = image.shape
    total, pairs = 0.0, 0
    for y in range(0, height, max(1, height * width // _CONTRAST_PIXELS)):
        for x in range(width):
            for direction in range(DIRECTIONS // 2, DIRECTIONS):
                v, u = y + ROWS[direction], x + COLUMNS[direction]
                if v < height and 0 <= u < width:
                    total += _squared_distance(image, y, x, v, u)
                    pairs += 1
    return total / max(pairs, 1)


@compiled
def build_graph(image: Image, trimap: Mask, smoothness: float) -> tuple[NDArray[np.int32], Graph]:
    """Join undecided pixels to each other, and to a terminal where they touch a certain pixel.

    Args:
        image: Shape (H, W, 3).
        trimap: Shape (H, W).
        smoothness: Energy of a contour's pixel in a flat area.

    Returns:
        Undecided pixels in raster order, as indices into the flat image, shape (N,), and their graph; colors are not
        in its excesses yet.
    """
    height, width = trimap.shape
    pixels = np.flatnonzero(trimap.ravel() >= MAYBE_BACKGROUND).astype(np.int32)
    node_at = np.empty(height * width, np.int32)
    for node in range(len(pixels)):
        node_at[pixels[node]] = node
    graph = Graph(
        np.full((len(pixels) + 1, DIRECTIONS), len(pixels), np.uint32),
        np.zeros((len(pixels) + 1, DIRECTIONS), np.int32),
        np.zeros(len(pixels) + 1, np.int32),
    )
    sharpness = 0.5 / max(mean_contrast(image), 1e-9)
    for node in range(len(pixels)):
        y, x = divmod(pixels[node], width)
        for direction in range(DIRECTIONS):
            v, u = y + ROWS[direction], x + COLUMNS[direction]
            if not (0 <= v < height and 0 <= u < width):
                continue
            undecided = trimap[v, u] >= MAYBE_BACKGROUND
            if undecided and direction < DIRECTIONS // 2:
                continue  # its other node has joined it
            alike = np.exp(-sharpness * _squared_distance(image, y, x, v, u))
            weight = np.int32(smoothness * SHARES[direction] * alike * UNIT + 0.5)
            if undecided:
                _join(graph, node, node_at[v * width + u], direction, weight)
            else:
                graph.excess[node] += weight if trimap[v, u] == CERTAIN_FOREGROUND else -weight
    return pixels, graph


@compiled_lean
def _join(graph: Graph, node: int, other: int, direction: int, weight: np.int32) -> None:
    graph.neighbor[node, direction] = other
    graph.neighbor[other, direction ^ 7] = node
    graph.capacity[node, direction] = weight
    graph.capacity[other, direction ^ 7] = weight


@compiled_lean
def _squared_distance(image: Image, y: int, x: int, v: int, u: int) -> float:
    red = float(image[y, x, 0]) - float(image[v, u, 0])
    green = float(image[y, x, 1]) - float(image[v, u, 1])
    blue = float(image[y, x, 2]) - float(image[v, u, 2])
    return red * red + green * green + blue * blue
