"""Method features: a normalized cut of the self-supervised features of a vision transformer.

Each patch of the photo is a node of a graph, and patches with similar keys are connected. The normalized cut splits the
graph into foreground and background. There are no random numbers.

The keys must be those of DINO version 1. The keys of DINOv2, DINOv3, CLIP and of networks trained with labels also
depend on the position or the content of a patch, and then the second eigenvector does not follow the object.

Source: TokenCut (Wang et al., "Self-Supervised Transformers for Unsupervised Object Discovery using Normalized Cut",
CVPR 2022); Deep Spectral Methods (Melas-Kyriazi et al., CVPR 2022) use the same features and the same eigenvector. The
normalized cut is that of Shi and Malik (TPAMI 2000).
"""

from collections.abc import Callable
from functools import partial
from threading import Lock

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from coarse2fine.config import CoarseFeaturesConfig
from coarse2fine.masks.resize import resize, resize_soft
from coarse2fine.runtime.device import pick_device
from coarse2fine.types import CoarseMethod, Image, SoftMask

# Values of TokenCut, section 3.2 and its implementation details.
SIMILAR = 0.2  # tau: patches are connected if the cosine of their keys is above it
WEAK_EDGE = 1e-5  # weight of all other edges, so that the graph is connected

SIDE_PX = 480
"""Longer side to which photos are resized: at most 900 patches of 16 px, or 3,600 of 8 px.

A cut of 660 patches takes 25 ms of a core, one of 4,096 patches 14 s and 0.6 GB (docs/log.md). Memory grows with the
square of the number of patches, time with the cube. The masks of other sizes were not measured.
"""

FLAT_LEVELS = 2
"""A photo is flat if the values of each channel span at most this many of 256 levels. The keys of its patches differ
only by their position."""

Floats = NDArray[np.float64]
Extract = Callable[[Image], NDArray[np.float32]]
"""A function from a photo of (h * patch_px, w * patch_px) pixels to one key per patch, shape (h, w, C)."""


def features_from(config: CoarseFeaturesConfig) -> CoarseMethod:
    """Load the network and return the coarse method, which all threads may call.

    The network is freed with the method, so that the GPU's memory is available for the training that follows.

    Raises:
        ConfigError: There is no such network, or its weights cannot be loaded.
    """
    from coarse2fine.networks.vit import build_key_network, extract_keys  # importing torch and timm takes seconds

    network = build_key_network(config.model, config.weights)
    network.to(pick_device())
    in_use = Lock()  # one photo at a time, on all cores or on the GPU; other threads read and cut meanwhile

    def extract(photo: Image) -> NDArray[np.float32]:
        with in_use:
            return extract_keys(network, photo)

    return partial(cut_photo, extract=extract, patch_px=network.patch_px, side_px=SIDE_PX)


def cut_photo(image: Image, extract: Extract, patch_px: int, side_px: int) -> SoftMask:
    """Estimate the foreground of a photo from the keys of its patches.

    Args:
        image: RGB, shape (H, W, 3), at least 1 x 1.
        extract: Returns the keys of a photo.
        patch_px: Side of a patch.
        side_px: Longer side to which the photo is resized first; smaller photos are enlarged.

    Returns:
        Soft mask, shape (H, W), 0 to 1. On the grid of patches, the foreground is above 0.5, has a maximum of 1, and is
        one connected component, as in TokenCut. All 0 if there is nothing to cut: the photo is flat, or all patches are
        connected, or none are.
    """
    fitted = fit_to_patches(image, side_px, patch_px)
    if np.ptp(fitted, axis=(0, 1)).max() <= FLAT_LEVELS:
        return np.zeros(image.shape[:2], np.float32)
    keys = extract(fitted)
    rows, columns, channels = keys.shape
    eigenvector = find_cut(join_similar(keys.reshape(-1, channels)))
    soft = keep_seed_component(soften(eigenvector).reshape(rows, columns))
    return resize_soft(soft, *image.shape[:2])


def fit_to_patches(image: Image, side_px: int, patch_px: int) -> Image:
    """Resize a photo to a longer side of about ``side_px``, such that both sides are whole patches, at least one."""
    scale = side_px / max(image.shape[:2])
    height, width = (max(1, round(side * scale / patch_px)) * patch_px for side in image.shape[:2])
    return resize(image, height, width)


def join_similar(keys: NDArray[np.floating]) -> Floats:
    """Return the edge weights of the graph of patches.

    Args:
        keys: Shape (N, C); a key of zeros is similar to no other key.

    Returns:
        Edge weights, shape (N, N), symmetric: 1 where the cosine of two keys is above `SIMILAR`, else `WEAK_EDGE`.

    Source: TokenCut, eq. 5.
    """
    lengths = np.linalg.norm(keys, axis=1, keepdims=True)
    directions = keys / np.maximum(lengths, np.finfo(np.float32).tiny)
    return np.where(directions @ directions.T > SIMILAR, 1.0, WEAK_EDGE)


def find_cut(weights: Floats) -> Floats:
    """Solve the normalized cut: the second smallest generalized eigenvector of ``(D - W) x = lambda D x``.

    It is computed as the second largest eigenvector of ``D^-1/2 W D^-1/2``, times ``D^-1/2``, which is faster.

    Args:
        weights: W, shape (N, N), symmetric, above 0; D holds its row sums.

    Returns:
        Eigenvector, shape (N,), of either sign; all 0 if all edges have the same weight.

    Source: Shi and Malik, TPAMI 2000, section 2; TokenCut, eqs. 3 and 4.
    """
    nodes = len(weights)
    edges = weights[~np.eye(nodes, dtype=bool)]
    if nodes < 2 or edges.min() == edges.max():
        return np.zeros(nodes)
    roots = np.sqrt(weights.sum(axis=1))
    _, vectors = eigh(weights / np.outer(roots, roots), subset_by_index=[nodes - 2, nodes - 2], overwrite_a=True)
    eigenvector: Floats = vectors[:, 0] / roots
    return eigenvector


def soften(eigenvector: Floats) -> SoftMask:
    """Convert an eigenvector of either sign to foreground probabilities of the patches.

    The seed is the patch with the largest absolute value (the first, if several are equal), and its sign is that of the
    foreground. Reason: the sum of the eigenvector, weighted by degree, is 0, so that the smaller and more similar part
    has the larger values.

    Args:
        eigenvector: Shape (N,).

    Returns:
        Shape (N,): 1 at the seed, 0.5 at the mean of the eigenvector, where TokenCut cuts, and 0 at the other extreme.
        In between, the distance from 0.5 follows the square root of the distance from the mean, which separates the two
        sides so clearly that Otsu's threshold is near 0.5. All 0 if the values are equal up to rounding.

    Source: TokenCut, section 3.2.
    """
    seed = np.argmax(np.abs(eigenvector))
    mean = eigenvector.mean()
    offsets = eigenvector - mean if eigenvector[seed] > mean else mean - eigenvector
    if np.ptp(offsets) <= 1e-9 * np.abs(eigenvector).max():
        return np.zeros(len(offsets), np.float32)
    shares = np.where(offsets > 0, offsets / offsets.max(), offsets / offsets.min())
    soft: SoftMask = (0.5 + 0.5 * np.sign(offsets) * np.sqrt(shares)).astype(np.float32)
    return soft


def keep_seed_component(soft: SoftMask) -> SoftMask:
    """Keep only the connected component of the foreground (above 0.5) with the most probable patch.

    The background patches next to it keep their values, so that its contour does not move when the mask is enlarged.
    All other patches become 0, so that they do not appear at a threshold below 0.5.

    Args:
        soft: Shape (h, w), 0 to 1.

    Returns:
        Shape (h, w). Components are 4-connected, as in TokenCut; of equally probable patches, the first in raster order
        is the seed.
    """
    foreground = soft > 0.5
    _, components = cv2.connectedComponents(foreground.astype(np.uint8), connectivity=4)
    component = foreground & (components == components.flat[soft.argmax()])
    near = cv2.dilate(component.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    kept: SoftMask = np.where(component | (near & ~foreground), soft, np.float32(0))
    return kept
