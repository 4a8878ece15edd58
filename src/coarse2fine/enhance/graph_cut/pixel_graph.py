"""Graph of the unknown pixels of an image; its minimum cut is the mask of minimum energy.

The n-links between neighboring pixels carry the pairwise (smoothness) term, the t-links to source and sink the unary
term.

Source: Rother, Kolmogorov, Blake, "GrabCut" (SIGGRAPH 2004), equation 11, over eight neighbors, with diagonal neighbors
weighted by 1 / sqrt 2; the constant gamma = 50 is theirs.
"""

import numpy as np
from numpy.typing import NDArray

from coarse2fine.enhance.graph_cut.compilation import compiled, compiled_no_refcount
from coarse2fine.enhance.graph_cut.max_flow import DIRECTIONS, Graph
from coarse2fine.enhance.graph_cut.trimap import PROBABLE_BACKGROUND, SURE_FOREGROUND
from coarse2fine.types import Image, Mask

SMOOTHNESS = 50.0
"""Gamma of the paper: pairwise energy between two neighbors of equal color, in the unit of natural log odds."""

CAPACITY_SCALE = 64.0
"""Energies are multiplied by this and rounded to integer capacities: the cut is exact and the same on every machine,
and the rounding moves no contour."""

_CONTRAST_SAMPLE_PIXELS = 50_000  # the mean contrast is taken over evenly spaced rows with about this many pixels
ROW_OFFSETS = (-1, -1, -1, 0, 0, 1, 1, 1)
COLUMN_OFFSETS = (-1, 0, 1, -1, 1, -1, 0, 1)
DISTANCE_WEIGHTS = (0.5**0.5, 1.0, 0.5**0.5, 1.0, 1.0, 0.5**0.5, 1.0, 0.5**0.5)


@compiled
def mean_contrast(image: Image) -> float:
    """Compute the mean squared RGB distance between neighboring pixels, over evenly spaced rows.

    Args:
        image: Shape (H, W, 3).

    Returns:
        The mean, 0 for an image of one pixel.
    """
    height, width, _ = image.shape
    total, pairs = 0.0, 0
    for y in range(0, height, max(1, height * width // _CONTRAST_SAMPLE_PIXELS)):
        for x in range(width):
            for direction in range(DIRECTIONS // 2, DIRECTIONS):
                v, u = y + ROW_OFFSETS[direction], x + COLUMN_OFFSETS[direction]
                if v < height and 0 <= u < width:
                    total += _squared_distance(image, y, x, v, u)
                    pairs += 1
    return total / max(pairs, 1)


@compiled
def build_graph(image: Image, trimap: Mask, smoothness: float) -> tuple[NDArray[np.int32], Graph]:
    """Build the graph of the unknown pixels with its pairwise terms; the unary color terms are added by the caller.

    Two unknown neighbors are connected by an n-link. The pairwise term between an unknown pixel and a fixed neighbor
    becomes a capacity to the terminal of that neighbor.

    Args:
        image: Shape (H, W, 3).
        trimap: Shape (H, W).
        smoothness: Pairwise energy between two neighbors of equal color.

    Returns:
        The unknown pixels in raster order, as indices into the flat image, shape (N,), and their graph.
    """
    height, width = trimap.shape
    pixels = np.flatnonzero(trimap.ravel() >= PROBABLE_BACKGROUND).astype(np.int32)
    node_at = np.empty(height * width, np.int32)
    for node in range(len(pixels)):
        node_at[pixels[node]] = node
    graph = Graph(
        np.full((len(pixels) + 1, DIRECTIONS), len(pixels), np.uint32),
        np.zeros((len(pixels) + 1, DIRECTIONS), np.int32),
        np.zeros(len(pixels) + 1, np.int32),
    )
    beta = 0.5 / max(mean_contrast(image), 1e-9)
    for node in range(len(pixels)):
        y, x = divmod(pixels[node], width)
        for direction in range(DIRECTIONS):
            v, u = y + ROW_OFFSETS[direction], x + COLUMN_OFFSETS[direction]
            if not (0 <= v < height and 0 <= u < width):
                continue
            unknown = trimap[v, u] >= PROBABLE_BACKGROUND
            if unknown and direction < DIRECTIONS // 2:
                continue  # this edge was added from its other node
            similarity = np.exp(-beta * _squared_distance(image, y, x, v, u))
            weight = np.int32(smoothness * DISTANCE_WEIGHTS[direction] * similarity * CAPACITY_SCALE + 0.5)
            if unknown:
                _add_edge(graph, node, node_at[v * width + u], direction, weight)
            else:
                graph.terminal_capacity[node] += weight if trimap[v, u] == SURE_FOREGROUND else -weight
    return pixels, graph


@compiled_no_refcount
def _add_edge(graph: Graph, node: int, other: int, direction: int, weight: np.int32) -> None:
    graph.neighbor[node, direction] = other
    graph.neighbor[other, direction ^ 7] = node
    graph.capacity[node, direction] = weight
    graph.capacity[other, direction ^ 7] = weight


@compiled_no_refcount
def _squared_distance(image: Image, y: int, x: int, v: int, u: int) -> float:
    red = float(image[y, x, 0]) - float(image[v, u, 0])
    green = float(image[y, x, 1]) - float(image[v, u, 1])
    blue = float(image[y, x, 2]) - float(image[v, u, 2])
    return red * red + green * green + blue * blue
