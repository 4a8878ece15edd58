"""A fully connected CRF: every pixel draws those near it, and those near and of its colour, to its own class.

Energy: for each pixel minus the logarithm of its class's probability, and for each pair of pixels of different classes
the sum of two Gaussian kernels, of place and of place and colour. Mean-field steps approximate the marginals. As in the
authors' code, each kernel is normalised symmetrically, and a pixel is a neighbour of its own.

One photo at a time, with tensor operations only: a photo of 500 px has over a million corners in the lattice, enough
for any device, and so no photo depends on another.

Source: Krähenbühl, Koltun, "Efficient inference in fully connected CRFs with Gaussian edge potentials" (NIPS 2011).
"""

import math
from collections.abc import Callable
from functools import partial
from threading import BoundedSemaphore
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coarse2fine.config import CrfConfig, EnhanceConfig, Start
from coarse2fine.enhance.grabcut import check_input, judge
from coarse2fine.enhance.lattice import blur_points, build_lattice
from coarse2fine.enhance.trimap import LEAST_ODDS
from coarse2fine.errors import Coarse2FineError, DataError
from coarse2fine.masks import binarize, resize_soft, shrink
from coarse2fine.types import Enhanced, Image, Mask, Scores, SoftMask

LEAST_PROBABILITY = 1e-5
"""Classes are taken to be at least this likely everywhere, or no neighbour could persuade a pixel."""

LEAST_CHANCE = 0.01
"""A class takes no part where it is nowhere in the photo this likely, compared with the likeliest class there.

Such a class cannot win: kernels of weights 3 and 4 favour it by a factor of exp(7 * 0.01) at most. Its probability
stays as it is. Of many classes only those that the photo may show cost time and memory.
"""

_REACH = 4.0  # of the kernel of place, in sigmas: beyond it the Gaussian is below 0.0004 of its height
_GPU_PLACES, _CPU_PLACES = BoundedSemaphore(1), BoundedSemaphore(4)  # photos at once: each needs its memory


class _Kernel(NamedTuple):
    """A normalised Gaussian kernel between all pixels, times its weight."""

    blur: Callable[[Tensor], Tensor]
    scale: Tensor  # (N, 1): 1 / root of the sum of a pixel's row
    weight: float

    def sum_up(self, values: Tensor) -> Tensor:
        return self.blur(values * self.scale).mul_(self.weight * self.scale)


def dense_crf(
    scores: Scores,
    image: Image,
    config: CrfConfig = CrfConfig(),  # noqa: B008 - frozen
    device: torch.device | None = None,
) -> Scores:
    """Draw class probabilities to the edges of their photo.

    A photo larger than ``config.max_side_px`` is reduced to it; sigmas are pixels of the photo as it is then.

    Args:
        scores: Class probabilities, shape (C, h, w), of any height and width.
        image: The photo, shape (H, W, 3).
        config: Steps, kernels, and the size.
        device: Where it is computed; default: the CPU.

    Returns:
        Marginal probabilities of the classes at the photo's size, reduced where it was reduced, shape (C, H', W').

    Raises:
        DataError: The photo is not 8-bit RGB, or there are no scores.
        Coarse2FineError: The GPU has too little memory.
    """
    _check(scores, image)
    image = shrink(image, config.max_side_px)
    sized = np.stack([resize_soft(channel, *image.shape[:2]) for channel in np.asarray(scores, np.float32)])
    chosen = (sized >= LEAST_CHANCE * sized.max(axis=0)).any(axis=(1, 2))
    if chosen.sum() > 1:
        left = sized[chosen].sum(axis=0)
        sized[chosen] = _infer_or_tell(sized[chosen], image, config, device or torch.device("cpu")) * left
    return sized


def _infer_or_tell(scores: Scores, image: Image, config: CrfConfig, device: torch.device) -> Scores:
    try:
        return infer(scores, image, config, device)
    except torch.OutOfMemoryError as error:
        raise Coarse2FineError(
            f"The GPU has too little memory for a CRF of {len(scores)} classes on a photo of {image.shape[1]} x "
            f"{image.shape[0]} px; lower crf.max_side_px, and run the same command again."
        ) from error


def crf_with_note(
    image: Image,
    mask: Mask,
    config: EnhanceConfig,
    start: Start,
    soft: SoftMask | None = None,
    device: torch.device | None = None,
) -> Enhanced:
    """Draw a rough mask to the edges of its image, and say so where that was not possible.

    ``start="scores"``: ``soft`` says how likely each pixel is foreground, but is never surer than `LEAST_ODDS`. Any
    other start: the mask does, as sure as ``config.mask_certainty`` everywhere.

    Args:
        image: Shape (H, W, 3).
        mask: Shape (H, W); ignored pixels are background.
        config: Its ``crf`` and ``mask_certainty`` count.
        start: Where the probabilities come from.
        soft: How likely each pixel is foreground, 0 to 1, of any height and width; for ``start="scores"``.
        device: Where it is computed; default: the CPU.

    Returns:
        Where foreground is likelier than not, with no note. The binary input mask, with a note, where it is empty or
        where :func:`~coarse2fine.enhance.grabcut.judge` finds that the object was lost.

    Raises:
        DataError: Image and mask differ in height or width, the image is not 8-bit RGB, or scores are missing.
    """
    check_input(image, mask, start, soft, "The CRF")
    rough = binarize(mask)
    if not rough.any():
        return Enhanced(rough, "empty")
    if start == "scores" and soft is not None:
        likely = soft.clip(LEAST_ODDS, 1 - LEAST_ODDS)
    else:
        likely = np.where(rough, config.mask_certainty, 1 - config.mask_certainty).astype(np.float32)
    image = shrink(image, config.crf.max_side_px)
    likely = resize_soft(likely, *image.shape[:2])  # the photo may be huge: two classes only where it is small
    marginals = dense_crf(np.stack([1 - likely, likely]), image, config.crf, device)
    found = resize_soft(marginals[1], *rough.shape) > 0.5
    return judge(found.astype(np.uint8), rough, "the CRF")


def infer(scores: Scores, image: Image, config: CrfConfig, device: torch.device) -> Scores:
    """Mean-field marginals of the classes, shape (C, H, W), from probabilities of the same shape.

    Memory, measured on photos of VOC: 0.5 to 0.7 GB per megapixel for two classes, 0.8 to 1.5 GB for 21; at most 1.2
    and 2 GB, where every pixel has a colour of its own. A photo of 500 px so takes 0.1 to 0.5 GB.
    """
    places = _GPU_PLACES if device.type == "cuda" else _CPU_PLACES
    with places, torch.inference_mode():
        pixels = torch.from_numpy(image.astype(np.float32, order="C")).to(device)
        unary = torch.from_numpy(scores.reshape(len(scores), -1).T.copy()).to(device)
        unary = unary.clamp_(min=LEAST_PROBABILITY).log_()
        kernels = _make_kernels(pixels, config)
        marginals = unary.softmax(1)
        for _ in range(config.steps):
            logits = unary.clone()
            for kernel in kernels:
                logits += kernel.sum_up(marginals)
            marginals = logits.softmax(1)
        found: NDArray[np.float32] = marginals.T.reshape(scores.shape).cpu().numpy()
    return found


def _make_kernels(pixels: Tensor, config: CrfConfig) -> list[_Kernel]:
    blurs: list[tuple[float, Callable[[Tensor], Tensor]]] = []
    if config.position_weight > 0:
        shape = pixels.shape[0], pixels.shape[1]
        blurs.append((config.position_weight, partial(_blur_places, shape=shape, sigma_px=config.position_sigma_px)))
    if config.bilateral_weight > 0:
        lattice = build_lattice(_place_and_colour(pixels, config.bilateral_sigma_px, config.colour_sigma))
        blurs.append((config.bilateral_weight, partial(blur_points, lattice)))
    ones = pixels.new_ones((pixels.shape[0] * pixels.shape[1], 1))
    return [_Kernel(blur, blur(ones).rsqrt_(), weight) for weight, blur in blurs]


def _place_and_colour(pixels: Tensor, sigma_px: float, colour_sigma: float) -> Tensor:
    """Row, column and colour of every pixel in units of sigma, shape (H * W, 5)."""
    height, width, _ = pixels.shape
    sides = (torch.arange(side, device=pixels.device, dtype=pixels.dtype) for side in (height, width))
    places = torch.stack(torch.meshgrid(*sides, indexing="ij"), -1)
    return torch.cat([places / sigma_px, pixels / colour_sigma], -1).reshape(-1, 5)


def _blur_places(values: Tensor, shape: tuple[int, int], sigma_px: float) -> Tensor:
    """Sum the values around every pixel, weighted by a Gaussian of height 1; (H * W, C) to (H * W, C)."""
    grid = values.reshape(*shape, -1)
    for axis, side in enumerate(shape):
        blurred = grid.clone()
        for distance in range(1, min(side - 1, math.ceil(_REACH * sigma_px)) + 1):
            height, length = math.exp(-0.5 * (distance / sigma_px) ** 2), side - distance
            blurred.narrow(axis, distance, length).add_(grid.narrow(axis, 0, length), alpha=height)
            blurred.narrow(axis, 0, length).add_(grid.narrow(axis, distance, length), alpha=height)
        grid = blurred
    return grid.reshape_as(values)


def _check(scores: Scores, image: Image) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise DataError(f"The CRF needs an 8-bit RGB image, shape (H, W, 3), found {image.dtype} {image.shape}.")
    if scores.ndim != 3 or not scores.size:
        raise DataError(f"The CRF needs class probabilities, shape (C, H, W), found {scores.shape}.")
