"""GrabCut from coarse to fine: the whole question on a small copy of the photo, only the contour on larger ones.

Color models and cut alternate where the undecided pixels are few enough; each finer copy then moves the contour within
a narrow band. A contour has fewer pixels on a small copy, where each pixel stands for many: to be the same energy,
the smoothness shrinks with the copy.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from coarse2fine.enhance.graph_cut.color_models import Models, compare, learn_models, start_models
from coarse2fine.enhance.graph_cut.max_flow import minimum_cut
from coarse2fine.enhance.graph_cut.pixel_graph import SMOOTHNESS, UNIT, build_graph
from coarse2fine.enhance.graph_cut.trimap import CERTAIN_BACKGROUND, CERTAIN_FOREGROUND, MAYBE_BACKGROUND
from coarse2fine.masks.resize import resize
from coarse2fine.types import Image, Mask

UNDECIDED_PIXELS = 16_000
"""On the smallest copy. Half as many take two thirds of the time; the masks agree less with those at full size."""

LEAST_AREA = 1 / 8
"""Of the photo, that the smallest copy has: however many pixels are undecided, its sides are a third of the photo's."""

BAND_PX = 2
"""How far a contour may move on a finer copy, either way."""

RESTING_SHARE = 0.002
"""A mask rests when an iteration moves no more of its undecided pixels."""

_WORTH_A_COPY = 0.8  # a copy that is hardly smaller saves nothing


class Question(NamedTuple):
    """A photo whose undecided pixels are to be cut into foreground and background.

    Attributes:
        image: Shape (H, W, 3).
        trimap: Shape (H, W); labels of both background and foreground must occur.
        prior: Log odds of foreground known from elsewhere, added to those of the colors, of any height and width.
        scale: Of ``image`` to the photo whose energy is meant.
    """

    image: Image
    trimap: Mask
    prior: NDArray[np.float32] | None = None
    scale: float = 1.0


def cut_pyramid(question: Question, iterations: int) -> Mask:
    """Cut the undecided pixels of a photo.

    Args:
        question: The photo, and what is known of it.
        iterations: Most rounds of color models and cut on the smallest copy; it stops where the mask rests.

    Returns:
        Binary mask, shape (H, W).
    """
    image, trimap, prior, scale = question
    scales = plan_scales(int(np.count_nonzero(trimap >= MAYBE_BACKGROUND)), trimap.shape)
    smallest, *larger = shrink_image(image, scales)
    own = shrink_trimap(trimap, *smallest.shape[:2])
    mask, models = _settle(smallest, own, SMOOTHNESS * scale * scales[0], iterations, prior)
    for copy, shrunk in zip(larger, scales[1:], strict=True):
        own = shrink_trimap(trimap, *copy.shape[:2])
        mask, models = _follow(copy, own, SMOOTHNESS * scale * shrunk, mask, models, prior)
    return mask


def plan_scales(undecided: int, shape: tuple[int, int]) -> list[float]:
    """Sizes of the copies, as shares of the photo's sides, the smallest first; each at most twice the one before."""
    smallest = max(math.sqrt(max(UNDECIDED_PIXELS / max(undecided, 1), LEAST_AREA)), 1 / min(shape))
    if smallest > _WORTH_A_COPY:
        return [1.0]
    steps = math.ceil(-math.log2(smallest))
    return [smallest ** (1 - step / steps) for step in range(steps)] + [1.0]


def shrink_trimap(trimap: Mask, height: int, width: int) -> Mask:
    """Bring a trimap to a smaller size: what is certain there is certain all over its area here.

    A side too thin for that, such as a frame of one pixel, keeps the pixels that hold most of it: each side needs some
    colors.
    """
    if trimap.shape == (height, width):
        return trimap
    foreground = _shrink_binary(trimap & 1, height, width)
    shrunk = MAYBE_BACKGROUND + (foreground >= 128).astype(np.uint8)
    for label, sides in ((CERTAIN_BACKGROUND, 255 - foreground), (CERTAIN_FOREGROUND, foreground)):
        shrunk[_shrink_binary(trimap == label, height, width) == 255] = label
        if not (shrunk & 1 == label).any() and sides.any():
            shrunk[sides >= max(1, sides.max() // 2)] = label
    return shrunk


def _shrink_binary(mask: NDArray[np.generic], height: int, width: int) -> NDArray[np.uint8]:
    """Share of foreground in each pixel's area, 0 to 255."""
    return resize(mask.astype(np.uint8) * np.uint8(255), height, width)


def resize_prior(prior: NDArray[np.float32] | None, height: int, width: int) -> NDArray[np.float32]:
    """Log odds at the size of a copy, shape (H, W); zeros where nothing is known."""
    if prior is None:
        return np.zeros((height, width), np.float32)
    return resize(prior, height, width)


def shrink_image(image: Image, scales: list[float]) -> list[Image]:
    """Copies of a photo, the smallest first, each made from the next larger one."""
    copies = [image]
    height, width = image.shape[:2]
    for scale in scales[-2::-1]:
        copies.append(resize(copies[-1], max(1, round(height * scale)), max(1, round(width * scale))))
    return copies[::-1]


def _settle(
    image: Image, trimap: Mask, smoothness: float, iterations: int, prior: NDArray[np.float32] | None
) -> tuple[Mask, Models]:
    """Alternate color models and cut until the mask rests."""
    mask: Mask = (trimap & 1).astype(np.uint8)
    colors, side = image.reshape(-1, 3), mask.reshape(-1)
    models = start_models(colors, side)
    pixels, graph = build_graph(image, trimap, smoothness)
    before = np.zeros(len(pixels), np.int32)
    undecided, known = colors[pixels], resize_prior(prior, *mask.shape).reshape(-1)[pixels]
    for _ in range(iterations):
        models = learn_models(colors, side, models)
        odds = _in_units(compare(undecided, models) + known)
        graph.excess[:-1] += odds - before
        before = odds
        cut = minimum_cut(graph)
        moved = np.count_nonzero(cut != side[pixels])
        side[pixels] = cut
        if moved <= RESTING_SHARE * len(pixels):
            break
    return mask, models


def _follow(
    image: Image, trimap: Mask, smoothness: float, coarser: Mask, models: Models, prior: NDArray[np.float32] | None
) -> tuple[Mask, Models]:
    """Move the contour of a coarser mask to where it is cheapest on this copy."""
    height, width = trimap.shape
    grown = cv2.resize(coarser * np.uint8(255), (width, height), interpolation=cv2.INTER_LINEAR) >= 128
    mask = np.where(trimap >= MAYBE_BACKGROUND, grown, trimap).astype(np.uint8)
    kernel = np.ones((2 * BAND_PX + 1, 2 * BAND_PX + 1), np.uint8)
    band = (cv2.dilate(mask, kernel) != cv2.erode(mask, kernel)) & (trimap >= MAYBE_BACKGROUND)
    if not band.any():
        return mask, models
    colors, side = image.reshape(-1, 3), mask.reshape(-1)
    models = learn_models(colors, side, models)
    pixels, graph = build_graph(image, mask + MAYBE_BACKGROUND * band.astype(np.uint8), smoothness)
    known = resize_prior(prior, height, width).reshape(-1)[pixels]
    graph.excess[:-1] += _in_units(compare(colors[pixels], models) + known)
    side[pixels] = minimum_cut(graph)
    return mask, models


def _in_units(odds: NDArray[np.float32]) -> NDArray[np.int32]:
    units: NDArray[np.int32] = np.rint(odds * np.float32(UNIT)).astype(np.int32)
    return units
