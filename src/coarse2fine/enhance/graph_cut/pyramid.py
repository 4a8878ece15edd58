"""GrabCut from coarse to fine: the full iteration on the smallest level of an image pyramid, only the contour above it.

On the smallest level, color models and minimum cut alternate until the mask converges. Each finer level then moves the
contour within a narrow band. The contour has fewer pixels on a small level, and each of them stands for several pixels
of the photo; so the smoothness is multiplied by the scale of the level, which keeps the energy the same.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from coarse2fine.enhance.graph_cut.color_models import (
    ColorModels,
    initialize_models,
    log_likelihood_ratio,
    update_models,
)
from coarse2fine.enhance.graph_cut.max_flow import minimum_cut
from coarse2fine.enhance.graph_cut.pixel_graph import CAPACITY_SCALE, SMOOTHNESS, build_graph
from coarse2fine.enhance.graph_cut.trimap import PROBABLE_BACKGROUND, SURE_BACKGROUND, SURE_FOREGROUND
from coarse2fine.masks.resize import resize
from coarse2fine.types import Image, Mask

MAX_UNKNOWN_PIXELS = 16_000
"""Number of unknown pixels aimed at on the smallest level.

Half as many take two thirds of the time, but the masks agree less with those computed at full size."""

MIN_AREA_SHARE = 1 / 8
"""Least area of the smallest level as a share of the photo's area: its sides are at least about a third of the photo's,
however many pixels are unknown."""

BAND_PX = 2
"""Distance in pixels by which the contour may move on each finer level, inward or outward."""

CONVERGED_SHARE = 0.002
"""The mask has converged when an iteration changes at most this share of the unknown pixels."""

_MAX_SMALLEST_SCALE = 0.8  # a level that is hardly smaller than the photo saves nothing


class GrabCutInput(NamedTuple):
    """A photo with the trimap that GrabCut starts from.

    Attributes:
        image: Shape (H, W, 3).
        trimap: Shape (H, W); it must contain both background and foreground values.
        prior_log_odds: Log odds of the foreground from another source, such as a network; added to the unary term of
            the colors. Of any height and width; None adds nothing.
        scale: Ratio of the sides of ``image`` to those of the original photo; 1 if ``image`` was not reduced.
    """

    image: Image
    trimap: Mask
    prior_log_odds: NDArray[np.float32] | None = None
    scale: float = 1.0


def cut_coarse_to_fine(given: GrabCutInput, iterations: int) -> Mask:
    """Segment the unknown pixels of a photo into foreground and background.

    Args:
        given: The photo and its trimap.
        iterations: Maximum number of iterations (color models, then minimum cut) on the smallest level; it stops
            earlier when the mask has converged.

    Returns:
        Binary mask, shape (H, W).
    """
    image, trimap, prior, scale = given
    scales = plan_scales(int(np.count_nonzero(trimap >= PROBABLE_BACKGROUND)), trimap.shape)
    smallest, *larger = build_image_pyramid(image, scales)
    level_trimap = shrink_trimap(trimap, *smallest.shape[:2])
    mask, models = _iterate_grabcut(smallest, level_trimap, SMOOTHNESS * scale * scales[0], iterations, prior)
    for level, level_scale in zip(larger, scales[1:], strict=True):
        level_trimap = shrink_trimap(trimap, *level.shape[:2])
        mask, models = _refine_contour(level, level_trimap, SMOOTHNESS * scale * level_scale, mask, models, prior)
    return mask


def plan_scales(unknown_pixels: int, shape: tuple[int, int]) -> list[float]:
    """Compute the scales of the pyramid levels.

    Args:
        unknown_pixels: Number of unknown pixels of the photo.
        shape: Height and width of the photo.

    Returns:
        Scale of each level relative to the photo's sides, ascending; each is at most twice the one before, the last
        is 1.
    """
    smallest = max(math.sqrt(max(MAX_UNKNOWN_PIXELS / max(unknown_pixels, 1), MIN_AREA_SHARE)), 1 / min(shape))
    if smallest > _MAX_SMALLEST_SCALE:
        return [1.0]
    steps = math.ceil(-math.log2(smallest))
    return [smallest ** (1 - step / steps) for step in range(steps)] + [1.0]


def shrink_trimap(trimap: Mask, height: int, width: int) -> Mask:
    """Reduce a trimap: a pixel is fixed only if its whole area in the larger trimap is fixed to the same value.

    A fixed region too thin for that, such as a frame of one pixel, keeps the pixels that contain most of it, because
    both background and foreground need some colors.

    Args:
        trimap: Shape (H, W).
        height: New height, at most H.
        width: New width, at most W.

    Returns:
        Trimap, shape (height, width).
    """
    if trimap.shape == (height, width):
        return trimap
    foreground = _shrink_binary(trimap & 1, height, width)
    shrunk = PROBABLE_BACKGROUND + (foreground >= 128).astype(np.uint8)
    for label, share in ((SURE_BACKGROUND, 255 - foreground), (SURE_FOREGROUND, foreground)):
        shrunk[_shrink_binary(trimap == label, height, width) == 255] = label
        if not (shrunk & 1 == label).any() and share.any():
            shrunk[share >= max(1, share.max() // 2)] = label
    return shrunk


def _shrink_binary(mask: NDArray[np.generic], height: int, width: int) -> NDArray[np.uint8]:
    """Compute the share of foreground in the area of each smaller pixel, 0 to 255."""
    return resize(mask.astype(np.uint8) * np.uint8(255), height, width)


def resize_prior(prior: NDArray[np.float32] | None, height: int, width: int) -> NDArray[np.float32]:
    """Resize prior log odds to a pyramid level, shape (height, width); zeros if there is no prior."""
    return np.zeros((height, width), np.float32) if prior is None else resize(prior, height, width)


def build_image_pyramid(image: Image, scales: list[float]) -> list[Image]:
    """Reduce an image to several scales, each level from the next larger one.

    Args:
        image: Shape (H, W, 3).
        scales: From :func:`plan_scales`: ascending, the last is 1.

    Returns:
        One image per scale, the smallest first; the last is ``image`` itself.
    """
    levels = [image]
    height, width = image.shape[:2]
    for scale in scales[-2::-1]:
        levels.append(resize(levels[-1], max(1, round(height * scale)), max(1, round(width * scale))))
    return levels[::-1]


def _iterate_grabcut(
    image: Image, trimap: Mask, smoothness: float, iterations: int, prior: NDArray[np.float32] | None
) -> tuple[Mask, ColorModels]:
    """Alternate the update of the color models and the minimum cut until the mask has converged."""
    mask: Mask = (trimap & 1).astype(np.uint8)
    colors, labels = image.reshape(-1, 3), mask.reshape(-1)
    models = initialize_models(colors, labels)
    pixels, graph = build_graph(image, trimap, smoothness)
    previous = np.zeros(len(pixels), np.int32)
    unknown_colors, pixel_prior = colors[pixels], resize_prior(prior, *mask.shape).reshape(-1)[pixels]
    for _ in range(iterations):
        models = update_models(colors, labels, models)
        unary = _to_capacities(log_likelihood_ratio(unknown_colors, models) + pixel_prior)
        graph.terminal_capacity[:-1] += unary - previous  # keeps the flow of the last iteration
        previous = unary
        cut = minimum_cut(graph)
        changed = np.count_nonzero(cut != labels[pixels])
        labels[pixels] = cut
        if changed <= CONVERGED_SHARE * len(pixels):
            break
    return mask, models


def _refine_contour(
    image: Image,
    trimap: Mask,
    smoothness: float,
    coarser_mask: Mask,
    models: ColorModels,
    prior: NDArray[np.float32] | None,
) -> tuple[Mask, ColorModels]:
    """Enlarge the mask of the coarser level and cut once within a band of `BAND_PX` along its contour."""
    height, width = trimap.shape
    enlarged = resize(coarser_mask * np.uint8(255), height, width) >= 128
    mask = np.where(trimap >= PROBABLE_BACKGROUND, enlarged, trimap).astype(np.uint8)
    kernel = np.ones((2 * BAND_PX + 1, 2 * BAND_PX + 1), np.uint8)
    band = (cv2.dilate(mask, kernel) != cv2.erode(mask, kernel)) & (trimap >= PROBABLE_BACKGROUND)
    if not band.any():
        return mask, models
    colors, labels = image.reshape(-1, 3), mask.reshape(-1)
    models = update_models(colors, labels, models)
    pixels, graph = build_graph(image, mask + PROBABLE_BACKGROUND * band.astype(np.uint8), smoothness)
    pixel_prior = resize_prior(prior, height, width).reshape(-1)[pixels]
    graph.terminal_capacity[:-1] += _to_capacities(log_likelihood_ratio(colors[pixels], models) + pixel_prior)
    labels[pixels] = minimum_cut(graph)
    return mask, models


def _to_capacities(log_ratios: NDArray[np.float32]) -> NDArray[np.int32]:
    capacities: NDArray[np.int32] = np.rint(log_ratios * np.float32(CAPACITY_SCALE)).astype(np.int32)
    return capacities
