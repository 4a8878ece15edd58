"""Method saliency: robust background detection on superpixels.

Regions with a long border along the edge of the photo are background; an object may touch the edge, but only with a
small part of its outline. Nothing is trained, and there are no random numbers.

Photos are computed in parallel threads, so nothing here calls BLAS: its threads would compete for the same cores
(measured: 25 ms instead of 1 ms for the linear system).

Source: W. Zhu, S. Liang, Y. Wei, J. Sun, "Saliency Optimization from Robust Background Detection", CVPR 2014; equation
numbers below refer to it.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array
from scipy.sparse.linalg import spsolve
from scipy.spatial.distance import cdist
from skimage.segmentation import slic

from coarse2fine.masks.image_check import check_image
from coarse2fine.masks.resize import resize_soft, shrink
from coarse2fine.types import Image, SoftMask

# Values of Zhu et al., sections 3 to 5.
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
"""A photo is flat if all its superpixels differ by less than this in Lab; people see a difference from about 2.3."""

MAX_SIDE_PX = 320
"""Larger photos are reduced to this longer side, the largest of the photos on which the method was measured
(voc-animals, docs/log.md); time grows with the square of the side."""

Floats = NDArray[np.float64]


class Superpixels(NamedTuple):
    """The N superpixels of a photo.

    Attributes:
        labels: Number of the superpixel of each pixel, shape (H, W), 0 to N - 1.
        colors: Mean Lab color, shape (N, 3); lightness 0 to 100.
        positions: Mean row and column as shares of the photo's longer side, shape (N, 2).
        adjacent: Whether two superpixels touch, corners included, or are the same; shape (N, N), symmetric.
        at_border: Whether a superpixel touches the border of the photo, shape (N,).
    """

    labels: NDArray[np.int64]
    colors: Floats
    positions: Floats
    adjacent: NDArray[np.bool_]
    at_border: NDArray[np.bool_]


def saliency(image: Image, max_side_px: int = MAX_SIDE_PX) -> SoftMask:
    """Estimate the saliency of each pixel: how clearly it differs from the background.

    Args:
        image: RGB, shape (H, W, 3), at least 1 x 1.
        max_side_px: Larger photos are reduced to this longer side first.

    Returns:
        Soft mask, shape (H, W), stretched to the range 0 to 1. All 0 if the photo is flat, or so small that it is a
        single superpixel.

    Raises:
        DataError: The photo is not 8-bit RGB.

    Source: Zhu et al., CVPR 2014.
    """
    check_image(image, "Saliency")
    superpixels = find_superpixels(shrink(image, max_side_px))
    color_distances = cdist(superpixels.colors, superpixels.colors)
    if color_distances.max() < FLAT_LAB:
        return np.zeros(image.shape[:2], np.float32)
    background = estimate_background(superpixels, color_distances)
    contrast = weigh_contrast(superpixels, color_distances, background)
    salient = _stretch(optimize(superpixels, color_distances, background, foreground=contrast))
    return resize_soft(salient[superpixels.labels].astype(np.float32), *image.shape[:2])


def find_superpixels(image: Image) -> Superpixels:
    """Split a photo into at most about 250 superpixels of similar color, each of 16 pixels or more.

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
    """Estimate the background probability of each superpixel from the share of its region on the photo's border.

    The region of a superpixel is soft: each other superpixel belongs to it with a weight that falls with the change of
    color along the path between them.

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
    """Sum the color distances of each superpixel to all others, weighted by nearness and background probability.

    Args:
        superpixels: N nodes.
        color_distances: In Lab, shape (N, N).
        background: Probabilities, shape (N,).

    Returns:
        Shape (N,), stretched to the range 0 to 1.

    Source: eqs. 6 and 8.
    """
    distances = cdist(superpixels.positions, superpixels.positions)
    nearness = np.exp(-(distances**2) / (2 * POSITION_SIGMA**2))
    return _stretch((color_distances * nearness * background).sum(axis=1))


def optimize(superpixels: Superpixels, color_distances: Floats, background: Floats, foreground: Floats) -> Floats:
    """Find values near 0 on the background, near 1 on the foreground, and similar in neighbors of similar color.

    Neighbors are superpixels at most two steps apart; with touching ones only, the masks were measurably worse.

    Args:
        superpixels: N nodes.
        color_distances: In Lab, shape (N, N).
        background: Weight of the value 0, shape (N,), at least one above 0.
        foreground: Weight of the value 1, shape (N,).

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
    """Floyd and Warshall's algorithm in single precision: twice as fast as scipy's here, and it releases the GIL."""
    lengths = steps.astype(np.float32)
    detours = np.empty_like(lengths)
    for via in range(len(lengths)):
        np.add(lengths[:, via, None], lengths[via], out=detours)
        np.minimum(lengths, detours, out=lengths)
    return lengths.astype(np.float64)


def _stretch(values: Floats) -> Floats:
    """Stretch values to the range 0 to 1; values that are equal up to rounding become 0."""
    spread = np.ptp(values)
    if spread <= 1e-6 * np.abs(values).max():
        return np.zeros_like(values)
    stretched: Floats = (values - values.min()) / spread
    return stretched
