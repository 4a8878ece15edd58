"""What stands out from the background: robust background detection on superpixels.

Source: W. Zhu, S. Liang, Y. Wei, J. Sun, "Saliency Optimization from Robust Background Detection", CVPR 2014; equation
numbers below are theirs. Background is what is widely connected to the border of the photo; an object may touch the
border, but with little of its outline. Nothing is learned and nothing is random.

Photos are computed in parallel threads, so nothing here calls BLAS, whose own threads would fight over the same cores
(measured: 25 ms instead of 1 ms for the linear system).
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array
from scipy.sparse.linalg import spsolve
from scipy.spatial.distance import cdist
from skimage.segmentation import slic

from coarse2fine.masks.resize import resize_soft, shrink
from coarse2fine.types import Image, SoftMask

# Given in the paper, sections 3 to 5.
COLOR_SIGMA = 10.0  # in units of Lab
POSITION_SIGMA = 0.25  # in shares of the longer side
CONNECTIVITY_SIGMA = 1.0
REGULARIZATION = 0.1  # mu in eq. 10

# Chosen by measurement on photos of the training split of voc-animals; see benchmarks/coarse.py.
SUPERPIXELS = 250
SUPERPIXEL_MIN_PX = 16
SLIC_COMPACTNESS = 0.2  # of the photo's own range of values, to which skimage's slic stretches it
SLIC_ITERATIONS = 5

FLAT_LAB = 1.0
"""A photo whose superpixels all differ by less than this in Lab is flat; people see a difference from about 2.3."""

Floats = NDArray[np.float64]


class Superpixels(NamedTuple):
    """The nodes of the graph, N of them.

    Attributes:
        labels: Which superpixel each pixel belongs to, shape (H, W), 0 to N - 1.
        colors: Mean Lab, shape (N, 3); lightness 0 to 100.
        positions: Mean row and column in shares of the photo's longer side, shape (N, 2).
        adjacent: Which superpixels touch, corners included, or are the same; shape (N, N), symmetric.
        at_border: Which superpixels touch the border of the photo, shape (N,).
    """

    labels: NDArray[np.int64]
    colors: Floats
    positions: Floats
    adjacent: NDArray[np.bool_]
    at_border: NDArray[np.bool_]


def saliency(image: Image, max_side_px: int = 320) -> SoftMask:
    """Estimate how much each pixel stands out from the background.

    Args:
        image: Any height and width from 1 on.
        max_side_px: Larger photos are brought to this longer side first; time grows with its square.

    Returns:
        Shape (H, W), stretched to span 0 to 1. All 0 where nothing can stand out: in a flat photo, or in one so
        small that it is a single superpixel.

    Source: Zhu et al., CVPR 2014.
    """
    superpixels = find_superpixels(shrink(image, max_side_px))
    color_distances = cdist(superpixels.colors, superpixels.colors)
    if color_distances.max() < FLAT_LAB:
        return np.zeros(image.shape[:2], np.float32)
    background = estimate_background(superpixels, color_distances)
    contrast = weigh_contrast(superpixels, color_distances, background)
    salient = _stretch(optimize(superpixels, color_distances, background, foreground=contrast))
    return resize_soft(salient[superpixels.labels].astype(np.float32), *image.shape[:2])


def find_superpixels(image: Image) -> Superpixels:
    """Cut a photo into at most about 250 superpixels of 16 pixels or more, alike in color.

    Source: SLIC (Achanta et al., TPAMI 2012), in Lab.
    """
    height, width = image.shape[:2]
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    labels = slic(
        lab,
        n_segments=max(1, min(SUPERPIXELS, height * width // SUPERPIXEL_MIN_PX)),
        compactness=SLIC_COMPACTNESS,
        max_num_iter=SLIC_ITERATIONS,
        convert2lab=False,
        start_label=0,
    )
    rows, columns = np.indices(labels.shape) / max(height, width)
    return Superpixels(
        labels=labels,
        colors=_average(np.moveaxis(lab, -1, 0), labels),
        positions=_average(np.stack([rows, columns]), labels),
        adjacent=_find_adjacent(labels),
        at_border=_find_at_border(labels),
    )


def estimate_background(superpixels: Superpixels, color_distances: Floats) -> Floats:
    """Estimate how surely each superpixel is background, from how much of its region lies on the photo's border.

    A superpixel's region is soft: all others count, the less the more color changes on the way to them.

    Args:
        superpixels: N nodes.
        color_distances: In Lab, shape (N, N).

    Returns:
        Probabilities, shape (N,).

    Source: eqs. 2 to 5 and 7; border superpixels are linked to each other (section 3.2).
    """
    border = superpixels.at_border
    linked = superpixels.adjacent | np.outer(border, border)
    path_lengths = _shortest_paths(np.where(linked, color_distances, np.inf))
    shares = np.exp(-(path_lengths**2) / (2 * COLOR_SIGMA**2))
    connectivity = shares[:, border].sum(axis=1) / np.sqrt(shares.sum(axis=1))
    background: Floats = 1 - np.exp(-(connectivity**2) / (2 * CONNECTIVITY_SIGMA**2))
    return background


def weigh_contrast(superpixels: Superpixels, color_distances: Floats, background: Floats) -> Floats:
    """Sum each superpixel's color distance to the near and to the probable background.

    Args:
        superpixels: N nodes.
        color_distances: In Lab, shape (N, N).
        background: Probabilities, shape (N,).

    Returns:
        Shape (N,), stretched to span 0 to 1.

    Source: eqs. 6 and 8.
    """
    distances = cdist(superpixels.positions, superpixels.positions)
    nearness = np.exp(-(distances**2) / (2 * POSITION_SIGMA**2))
    return _stretch((color_distances * nearness * background).sum(axis=1))


def optimize(superpixels: Superpixels, color_distances: Floats, background: Floats, foreground: Floats) -> Floats:
    """Find the values that are near 0 on background, near 1 on foreground, and alike in neighbors of like color.

    Neighbors here are at most two steps apart; the masks are measurably better than with touching ones alone.

    Args:
        superpixels: N nodes.
        color_distances: In Lab, shape (N, N).
        background: How much each value is drawn to 0, shape (N,), at least one above 0.
        foreground: How much each value is drawn to 1, shape (N,).

    Returns:
        The least-squares solution, shape (N,), 0 to 1.

    Source: eqs. 9 and 10.
    """
    adjacent = csc_array(superpixels.adjacent, dtype=np.int32)
    neighbors = (adjacent @ adjacent).toarray() > 0
    likeness = np.exp(-(color_distances**2) / (2 * COLOR_SIGMA**2))
    weights = np.where(neighbors, likeness + REGULARIZATION, 0)
    system = np.diag(weights.sum(axis=1) + background + foreground) - weights
    solution: Floats = spsolve(csc_array(system), foreground)
    return solution


def _average(channels: NDArray[np.floating], labels: NDArray[np.int64]) -> Floats:
    flat = labels.ravel()
    sums = [np.bincount(flat, weights=channel.ravel()) for channel in channels]
    return np.stack(sums, axis=1) / np.bincount(flat)[:, None]


def _find_adjacent(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    adjacent = np.eye(labels.max() + 1, dtype=np.bool_)
    adjacent[labels[:, 1:], labels[:, :-1]] = True
    adjacent[labels[1:], labels[:-1]] = True
    adjacent[labels[1:, 1:], labels[:-1, :-1]] = True
    adjacent[labels[1:, :-1], labels[:-1, 1:]] = True
    return adjacent | adjacent.T


def _find_at_border(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    at_border = np.zeros(labels.max() + 1, np.bool_)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        at_border[edge] = True
    return at_border


def _shortest_paths(steps: Floats) -> Floats:
    """Floyd and Warshall's algorithm in single precision: here twice as fast as scipy's, and free of Python's lock."""
    lengths = steps.astype(np.float32)
    detours = np.empty_like(lengths)
    for via in range(len(lengths)):
        np.add(lengths[:, via, None], lengths[via], out=detours)
        np.minimum(lengths, detours, out=lengths)
    return lengths.astype(np.float64)


def _stretch(values: Floats) -> Floats:
    """Span 0 to 1; values that are alike up to rounding become 0."""
    spread = np.ptp(values)
    if spread <= 1e-6 * np.abs(values).max():
        return np.zeros_like(values)
    stretched: Floats = (values - values.min()) / spread
    return stretched
