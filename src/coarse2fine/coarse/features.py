"""What self-supervised features tell apart: a spectral cut of a vision transformer's keys.

Source: TokenCut (Wang et al., "Self-Supervised Transformers for Unsupervised Object Discovery using Normalized Cut",
CVPR 2022); the same features and the same eigenvector stand in Deep Spectral Methods (Melas-Kyriazi et al., CVPR 2022).
The cut is the normalized one of Shi and Malik (TPAMI 2000). Nothing is random.

The keys must be DINO's, the first version: those of DINOv2, DINOv3, CLIP and of networks trained with labels also tell
patches by their place or by what they hold, and the second eigenvector then follows something else than the object.
"""

from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from coarse2fine.config import CoarseConfig
from coarse2fine.errors import ConfigError
from coarse2fine.masks.resize import resize, resize_soft
from coarse2fine.runtime.device import pick_device
from coarse2fine.types import CoarseMethod, Image, SoftMask

# Given in TokenCut, section 3.2 and its implementation details.
SIMILAR = 0.2  # tau: patches whose keys are more alike than this, in cosine, are joined
WEAK_EDGE = 1e-5  # weight of all other edges, so that the graph is connected

MAX_PATCHES = 4096
"""So many take 0.6 GB and 14 s of a core per photo; memory grows with their square, time with their cube."""

FLAT_LEVELS = 2
"""A photo whose channels all span at most this many of 256 levels is flat: its keys would only tell places apart."""

Floats = NDArray[np.float64]
Pieces = Literal["seed", "all"]
Extract = Callable[[Image], NDArray[np.float32]]
"""From a photo of (h * patch_px, w * patch_px) pixels to one key per patch, shape (h, w, C)."""


def features_from(config: CoarseConfig) -> CoarseMethod:
    """Make the method that the settings name; the network is loaded here, once, and shared by all threads.

    It lives as long as the method: the GPU's memory is free again for the training that follows.

    Raises:
        ConfigError: There is no such network, its weights cannot be had or do not fit, or photos would have too many
            patches.
    """
    from coarse2fine.networks.vit import build_key_network, extract_keys  # torch and timm take seconds

    network = build_key_network(config.features_model, config.features_weights)
    _check_patches(config.features_side_px, network.patch_px, config.features_model)
    network.to(pick_device())
    in_use = Lock()  # one photo at a time, on all cores or on the GPU; other threads read and cut meanwhile

    def extract(photo: Image) -> NDArray[np.float32]:
        with in_use:
            return extract_keys(network, photo)

    return partial(
        cut_photo,
        extract=extract,
        patch_px=network.patch_px,
        side_px=config.features_side_px,
        pieces=config.features_pieces,
    )


def cut_photo(image: Image, extract: Extract, patch_px: int, side_px: int, pieces: Pieces = "seed") -> SoftMask:
    """Estimate the foreground of a photo from the keys of its patches.

    Args:
        image: Any height and width from 1 on.
        extract: Gives the keys.
        patch_px: Side of a patch.
        side_px: The photo is brought to this longer side first, smaller ones too.
        pieces: ``seed``: only the piece that holds the patch likeliest to be foreground, as in TokenCut; ``all``.

    Returns:
        Shape (H, W), 0 to 1; before it is enlarged, foreground patches lie above 0.5 and one of them at 1. All 0 where
        there is nothing to cut: in a flat photo, or where all patches are alike or none are.
    """
    fitted = fit_to_patches(image, side_px, patch_px)
    if np.ptp(fitted, axis=(0, 1)).max() <= FLAT_LEVELS:
        return np.zeros(image.shape[:2], np.float32)
    keys = extract(fitted)
    rows, columns, channels = keys.shape
    eigenvector = find_cut(join_similar(keys.reshape(-1, channels)))
    soft = soften(eigenvector).reshape(rows, columns)
    if pieces == "seed":
        soft = keep_seed_piece(soft)
    return resize_soft(soft, *image.shape[:2])


def fit_to_patches(image: Image, side_px: int, patch_px: int) -> Image:
    """Bring a photo to a longer side, each side rounded to whole patches, at least one; shape (h, w, 3)."""
    scale = side_px / max(image.shape[:2])
    height, width = (max(1, round(side * scale / patch_px)) * patch_px for side in image.shape[:2])
    return resize(image, height, width)


def join_similar(keys: NDArray[np.floating]) -> Floats:
    """Make the graph of patches.

    Args:
        keys: Shape (N, C); a key of zeros is like no other.

    Returns:
        Edge weights, shape (N, N), symmetric: 1 where the cosine of two keys is above `SIMILAR`, else `WEAK_EDGE`.

    Source: TokenCut, eq. 5.
    """
    lengths = np.linalg.norm(keys, axis=1, keepdims=True)
    directions = keys / np.maximum(lengths, np.finfo(np.float32).tiny)
    return np.where(directions @ directions.T > SIMILAR, 1.0, WEAK_EDGE)


def find_cut(weights: Floats) -> Floats:
    """Solve the normalized cut: second smallest generalized eigenvector of ``(D - W) x = lambda D x``.

    It is the second largest of ``D^-1/2 W D^-1/2``, times ``D^-1/2``, which is quicker to find.

    Args:
        weights: W, shape (N, N), symmetric, above 0; D holds its row sums.

    Returns:
        Shape (N,), of either sign; all 0 where all edges are alike, so that no cut is better than another.

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
    """Turn an eigenvector of either sign into how likely each patch is foreground.

    The seed is the patch with the largest absolute value, and its side is the foreground: the eigenvector sums to 0
    (weighted by degree), so that the smaller and tighter part lies further from it. Of equal patches the first counts.

    Args:
        eigenvector: Shape (N,).

    Returns:
        Shape (N,), rising with the oriented eigenvector: 0 at its least, 0.5 at its mean, where TokenCut cuts, and 1 at
        the seed. In between it goes with the root of the distance from the mean, which parts the two sides so clearly
        that Otsu's threshold lies near 0.5. All 0 where the values are alike up to rounding.

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


def keep_seed_piece(soft: SoftMask) -> SoftMask:
    """Set to 0 what is neither the foreground (above 0.5) that holds the likeliest patch nor background beside it.

    The patches beside it keep their values, so that its contour does not move when the mask is enlarged; beyond them
    nothing can come up at a threshold below 0.5.

    Args:
        soft: Shape (h, w), 0 to 1.

    Returns:
        Shape (h, w). Pieces are 4-connected, as in TokenCut; of equally likely patches the first in raster order
        counts.
    """
    foreground = soft > 0.5
    _, pieces = cv2.connectedComponents(foreground.astype(np.uint8), connectivity=4)
    piece = foreground & (pieces == pieces.flat[soft.argmax()])
    near = cv2.dilate(piece.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    kept: SoftMask = np.where(piece | (near & ~foreground), soft, np.float32(0))
    return kept


def _check_patches(side_px: int, patch_px: int, model: str) -> None:
    limit_px = int(MAX_PATCHES**0.5) * patch_px
    if side_px > limit_px:
        raise ConfigError(
            f"coarse.features_side_px must be at most {limit_px} with the {patch_px} px patches of '{model}', found "
            f"{side_px}: the cut would need too much memory and time; lower it."
        )
