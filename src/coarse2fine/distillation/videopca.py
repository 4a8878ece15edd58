"""VideoPCA: soft masks of the objects that move against the background of a video.

Source: O. Stretcu, M. Leordeanu, "Multiple frames matching for object discovery in video", BMVC 2015, as Croitoru,
Bogolin, Leordeanu use it (ICCV 2017). The method needs no training and no labels.

    frames -> three principal directions -> reconstruction error -> rough masks -> color model -> soft masks

The description leaves some details open. They were decided by mean IoU on 16 DAVIS sequences (benchmarks/teacher.py;
figures are means over sequences at soft > 0.5):

- A rough mask is divided by the maximum of its frame: .288 (by the maximum of the video: .246).
- Color probability times prior is divided by the maximum of its frame before the hysteresis: .288 (undivided: .271).
- The soft mask holds the probability of the color model itself, undivided, so that the scores of different frames and
  videos are comparable: a frame without the object keeps low values. Divided by the maximum of the frame: .287.
- Colors are binned from 8-bit HSV: .289 (from floating-point HSV: .288).
- Regions are 8-connected: .288 (4-connected: .286).
- A frame in which nothing differs from the reconstruction has an empty mask.
"""

from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from coarse2fine.distillation.principal_components import Floats, center, principal_directions
from coarse2fine.runtime.device import count_cores
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import Image, SoftMask

# Values from the source.
DIRECTIONS = 3
BLUR_SIGMA_PX = 5.0
BLUR_SIDE_PX = 15
PRIOR_SIGMA_SHARE = 1 / 3  # of the shorter side
ROUGH_THRESHOLD = 0.5
HUE_COSINE_BINS, HUE_SINE_BINS, VALUE_BINS = 100, 25, 10
COLOR_BINS = HUE_COSINE_BINS * HUE_SINE_BINS * VALUE_BINS
HIGH_THRESHOLD, LOW_THRESHOLD = 0.8, 0.5

QUIET_ERROR = 0.5 / 255
"""A reconstruction error below half a gray level is rounding: nothing moves."""

Range = tuple[float, float]
Bins = NDArray[np.int32]


class ColorCounts(NamedTuple):
    """Number of pixels of each color inside and outside the rough masks, shape (25000,) each."""

    foreground: NDArray[np.int64]
    background: NDArray[np.int64]


def videopca(frames: Iterable[Image], threads: int | None = None) -> Iterator[SoftMask]:
    """Compute soft masks of the moving objects in a video.

    The frames are read about ten times and are not kept: memory is that of some 40 frames as float32 for any length.
    Sizes in pixels are those of the source, whose frames had 300 to 400 px: reduce larger frames.

    Args:
        frames: RGB frames of the same shape (H, W, 3); a list or another object that can be iterated again and again.
        threads: Number of frames to compute at the same time; None: the number of cores.

    Yields:
        One soft mask per frame, in order, shape (H, W), 0 to 1; all 0 if nothing moves.

    Raises:
        DataError: There are no frames, or they differ in shape.
    """
    threads = threads or count_cores()
    directions = principal_directions(frames, DIRECTIONS)
    low, high = find_error_range(frames, directions, threads)
    if high < QUIET_ERROR:
        yield from (np.zeros(frame.shape[:2], np.float32) for frame in frames)
        return
    counts = count_colors(frames, directions, (low, high), threads)
    probability = color_model(counts)

    def finish(frame: Image) -> SoftMask:
        if reconstruction_error(frame, directions).max() < QUIET_ERROR:
            return np.zeros(frame.shape[:2], np.float32)
        return soft_mask(probability[color_bins(frame)])

    yield from map_threads(finish, frames, threads)


def find_error_range(frames: Iterable[Image], directions: Floats, threads: int) -> Range:
    """Return the lowest and the highest reconstruction error of the whole video (step 4)."""

    def measure(frame: Image) -> Range:
        error = reconstruction_error(frame, directions)
        return float(error.min()), float(error.max())

    lows, highs = zip(*map_threads(measure, frames, threads), strict=True)
    return min(lows), max(highs)


def count_colors(frames: Iterable[Image], directions: Floats, error_range: Range, threads: int) -> ColorCounts:
    """Count the colors inside and outside the rough masks of all frames (steps 5 and 6)."""
    low, high = error_range

    def count(frame: Image) -> ColorCounts:
        error = (reconstruction_error(frame, directions) - np.float32(low)) / np.float32(high - low)
        bins, rough = color_bins(frame), rough_mask(error)
        return ColorCounts(
            np.bincount(bins[rough], minlength=COLOR_BINS), np.bincount(bins[~rough], minlength=COLOR_BINS)
        )

    foreground, background = np.zeros(COLOR_BINS, np.int64), np.zeros(COLOR_BINS, np.int64)
    for part in map_threads(count, frames, threads):
        foreground += part.foreground
        background += part.background
    return ColorCounts(foreground, background)


def reconstruction_error(frame: Image, directions: Floats) -> Floats:
    """Compute the distance of each pixel from the reconstruction by the principal directions.

    Args:
        frame: Shape (H, W, 3).
        directions: Orthonormal rows, shape (k, H * W * 3).

    Returns:
        Euclidean distance over RGB with colors from 0 to 1; shape (H, W), 0 or more.

    Source: steps 3 and 4, before the normalization over the video.
    """
    left = center(frame)
    # This runs in many threads. einsum has no threads of its own, unlike BLAS.
    strengths = np.einsum("kp,p->k", directions, left)
    for strength, direction in zip(strengths, directions, strict=True):
        left -= strength * direction
    colors = left.reshape(frame.shape)
    error: Floats = np.sqrt(np.einsum("ijc,ijc->ij", colors, colors))
    return error


def rough_mask(error: Floats) -> NDArray[np.bool_]:
    """Compute a rough mask of the object from the reconstruction error of a frame.

    Args:
        error: Reconstruction error, shape (H, W), scaled to 0..1 over the whole video.

    Returns:
        Pixels at which blurred error times prior is above half of its maximum, shape (H, W); none if all errors are 0.

    Source: step 5. Not specified there: the normalization, and the borders of the blur (mirrored here).
    """
    blurred = cv2.GaussianBlur(error, (BLUR_SIDE_PX, BLUR_SIDE_PX), BLUR_SIGMA_PX, borderType=cv2.BORDER_REFLECT)
    weighted = blurred * centered_gaussian(*error.shape)
    rough: NDArray[np.bool_] = weighted > ROUGH_THRESHOLD * weighted.max()
    return rough


def color_bins(frame: Image) -> Bins:
    """Return the index of the color bin of every pixel: 100 x 25 bins of hue and saturation in the color disc times 10.

    Args:
        frame: Shape (H, W, 3).

    Returns:
        Bin indices, shape (H, W), 0 to 24999.

    Source: step 6.
    """
    hue, saturation, value = cv2.split(cv2.cvtColor(frame, cv2.COLOR_RGB2HSV_FULL))
    bins: Bins = _disc_bins()[hue, saturation] + _value_bins()[value]
    return bins


def color_model(counts: ColorCounts) -> Floats:
    """Compute for each color the probability that it belongs to the object.

    Args:
        counts: Pixel counts of all frames.

    Returns:
        fg / (fg + bg) per color bin, shape (25000,), 0 to 1, from normalized histograms. The background histogram has
        one more pixel in every bin. All 0 if there was no foreground.

    Source: step 6.
    """
    foreground = counts.foreground / max(1, counts.foreground.sum())
    background = counts.background + 1.0
    background /= background.sum()
    probability: Floats = (foreground / (foreground + background)).astype(np.float32)
    return probability


def soft_mask(probability: Floats) -> SoftMask:
    """Keep the color probabilities in regions with a peak, and set all others to 0.

    Args:
        probability: Probability of each pixel's color to belong to the object, shape (H, W), 0 to 1.

    Returns:
        ``probability`` inside the regions, 0 outside; shape (H, W). In a region ``probability`` times prior is above
        0.5 of its maximum everywhere and above 0.8 of it at some pixel.

    Source: step 7. Not specified there: the normalization before the thresholds, and 8-connected regions.
    """
    weighted = probability * centered_gaussian(*probability.shape)
    kept = hysteresis(weighted, LOW_THRESHOLD * weighted.max(), HIGH_THRESHOLD * weighted.max())
    return np.where(kept, probability, np.float32(0))


def hysteresis(values: Floats, low: float, high: float) -> NDArray[np.bool_]:
    """Return the 8-connected regions above ``low`` that contain a pixel above ``high``; shape (H, W)."""
    number, regions = cv2.connectedComponents((values > low).astype(np.uint8), connectivity=8)
    rises = np.zeros(number, np.bool_)
    rises[regions[values > high]] = True
    kept: NDArray[np.bool_] = rises[regions]
    return kept


@lru_cache(maxsize=4)
def centered_gaussian(height: int, width: int, sigma_share: float = PRIOR_SIGMA_SHARE) -> Floats:
    """Return the prior of a centered object: a Gaussian with maximum 1, read-only, shape (height, width).

    Args:
        height: Height in pixels.
        width: Width in pixels.
        sigma_share: Sigma as a share of the shorter side.

    Source: steps 5 and 7.
    """
    sigma = sigma_share * min(height, width)
    down, across = (
        np.exp(-(((np.arange(side) - (side - 1) / 2) / sigma) ** 2) / 2).astype(np.float32) for side in (height, width)
    )
    prior: Floats = np.outer(down, across)
    prior.setflags(write=False)
    return prior


@cache
def _disc_bins() -> Bins:
    """Return the first bin index of each hue and saturation, shape (256, 256)."""
    angle = np.arange(256)[:, np.newaxis] * (2 * np.pi / 256)
    saturation = np.arange(256) / 255
    cosine = (saturation * np.cos(angle) + 1) / 2 * HUE_COSINE_BINS
    sine = (saturation * np.sin(angle) + 1) / 2 * HUE_SINE_BINS
    down = np.minimum(cosine.astype(np.int32), HUE_COSINE_BINS - 1)
    across = np.minimum(sine.astype(np.int32), HUE_SINE_BINS - 1)
    bins: Bins = (down * HUE_SINE_BINS + across) * VALUE_BINS
    return bins


@cache
def _value_bins() -> Bins:
    """Return the bin index of each value, shape (256,)."""
    return np.minimum(np.arange(256, dtype=np.int32) * VALUE_BINS // 255, VALUE_BINS - 1)
