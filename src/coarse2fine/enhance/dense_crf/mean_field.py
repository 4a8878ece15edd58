"""Mean-field inference of a fully connected CRF for several photos at the same time.

The pixels of all photos are concatenated and share one lattice, in which the photos have separate vertices. So the
number of tensor operations does not grow with the number of photos, and no photo influences another.

Source: Krähenbühl, Koltun, "Efficient inference in fully connected CRFs with Gaussian edge potentials" (NIPS 2011).
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from threading import BoundedSemaphore
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from coarse2fine.config import CrfConfig
from coarse2fine.enhance.dense_crf.batching import locate_pixels
from coarse2fine.enhance.dense_crf.lattice import blur_points, build_lattice
from coarse2fine.types import Image, Probabilities

MIN_PROBABILITY = 1e-5
"""Class probabilities are raised to at least this value: a probability of 0 would give an infinite unary term, and no
neighbor could change the class of the pixel."""

_KERNEL_RADIUS_SIGMAS = 4.0  # of the position kernel: beyond it the Gaussian is below 0.0004 of its height
_NO_CLASS = -1.0  # probability of a class that a photo does not have, if another photo of the batch has more classes
_GPU_SLOTS, _CPU_SLOTS = BoundedSemaphore(1), BoundedSemaphore(4)  # concurrent calls, limited because of their memory


class CrfInput(NamedTuple):
    """A photo with the class probabilities that the CRF starts from.

    Attributes:
        probabilities: Class probabilities, shape (C, H, W).
        image: Shape (H, W, 3).
    """

    probabilities: Probabilities
    image: Image


class _Kernel(NamedTuple):
    """A symmetrically normalized Gaussian kernel between all pixels of a photo, times its weight."""

    blur: Callable[[Tensor], Tensor]
    scale: Tensor  # (N, 1): 1 / square root of the sum of the kernel row of each pixel
    weight: float

    def apply(self, values: Tensor) -> Tensor:
        return self.blur(values * self.scale).mul_(self.weight * self.scale)


class _PaddedGrid(NamedTuple):
    """Conversion between concatenated pixels and grids of equal size, one per photo, with 0 outside the photo."""

    shape: tuple[int, int, int]  # photos, height, width
    pixel_index: (
        Tensor | None
    )  # (N,): index of each pixel in the flat grid; None if all photos have the size of the grid

    def pad(self, values: Tensor) -> Tensor:
        if self.pixel_index is None:
            return values.reshape(*self.shape, -1)
        empty = values.new_zeros(math.prod(self.shape), values.shape[1])
        return empty.index_copy_(0, self.pixel_index, values).reshape(*self.shape, -1)

    def unpad(self, grid: Tensor) -> Tensor:
        values = grid.reshape(-1, grid.shape[-1])
        return values if self.pixel_index is None else values.index_select(0, self.pixel_index)


def infer_marginals(inputs: Sequence[CrfInput], config: CrfConfig, device: torch.device) -> list[Probabilities]:
    """Compute the mean-field marginals of the classes for each photo.

    The marginals of a photo do not depend on the other photos, except for the last bits if these have more classes.

    Memory, measured on the CPU on photos of VOC: 0.5 to 0.8 GB per megapixel for two classes, 0.8 to 1.5 GB for 21; at
    most 1.2 and 2 GB, if every pixel has another color. So a photo of 500 px takes 0.1 to 0.5 GB. In a batch, each
    photo counts as one with the largest number of classes; for the position kernel, also as one with the largest height
    and the largest width of the batch.

    Args:
        inputs: Class probabilities and image of each photo.
        config: Number of mean-field updates and the kernels.
        device: Device of the computation.

    Returns:
        Marginal probabilities of each photo, shape (C, H, W).
    """
    with _GPU_SLOTS if device.type == "cuda" else _CPU_SLOTS, torch.inference_mode():
        unary = _stack_log_probabilities([photo.probabilities for photo in inputs], device)
        kernels = _make_kernels([photo.image for photo in inputs], config, device)
        marginals = unary.softmax(1)
        for _ in range(config.steps):
            logits = unary.clone()
            for kernel in kernels:
                logits += kernel.apply(marginals)
            marginals = logits.softmax(1)
        stacked = marginals.cpu().numpy()
    ends = np.cumsum([photo.probabilities[0].size for photo in inputs])[:-1]
    return [
        np.ascontiguousarray(part.T[: len(probabilities)]).reshape(probabilities.shape)
        for part, (probabilities, _) in zip(np.split(stacked, ends), inputs, strict=True)
    ]


def _stack_log_probabilities(probabilities: Sequence[Probabilities], device: torch.device) -> Tensor:
    """Stack the log probabilities of all pixels, shape (N, largest C); minus infinity for classes a photo lacks."""
    rows = np.full((sum(one[0].size for one in probabilities), max(map(len, probabilities))), _NO_CLASS, np.float32)
    first = 0
    for one in probabilities:
        rows[first : first + one[0].size, : len(one)] = one.reshape(len(one), -1).T
        first += one[0].size
    stacked = torch.from_numpy(rows).to(device)
    absent = stacked == _NO_CLASS
    return stacked.clamp_(min=MIN_PROBABILITY).log_().masked_fill_(absent, -math.inf)


def _make_kernels(images: Sequence[Image], config: CrfConfig, device: torch.device) -> list[_Kernel]:
    shapes = [image.shape[:2] for image in images]
    locations = locate_pixels(shapes, device)
    blurs: list[tuple[float, Callable[[Tensor], Tensor]]] = []
    if config.position_weight > 0:
        grid = _make_grid(shapes, locations)
        blurs.append((config.position_weight, partial(_blur_positions, grid=grid, sigma_px=config.position_sigma_px)))
    if config.bilateral_weight > 0:
        pixels = np.concatenate([image.reshape(-1, 3) for image in images])
        colors = torch.from_numpy(pixels).to(device).float() / config.color_sigma
        features = torch.cat([locations[1:].T / config.bilateral_sigma_px, colors], 1)
        lattice = build_lattice(features, locations[0])
        blurs.append((config.bilateral_weight, partial(blur_points, lattice)))
    ones = torch.ones(locations.shape[1], 1, device=device)
    return [_Kernel(blur, blur(ones).rsqrt_(), weight) for weight, blur in blurs]


def _make_grid(shapes: Sequence[tuple[int, int]], locations: Tensor) -> _PaddedGrid:
    height, width = (max(sides) for sides in zip(*shapes, strict=True))
    shape = len(shapes), height, width
    if locations.shape[1] == math.prod(shape):
        return _PaddedGrid(shape, None)
    photo, y, x = locations.long()
    return _PaddedGrid(shape, (photo * height + y) * width + x)


def _blur_positions(values: Tensor, grid: _PaddedGrid, sigma_px: float) -> Tensor:
    """Sum the values around every pixel, weighted by a Gaussian of height 1; (N, C) to (N, C)."""
    blurred = grid.pad(values)
    for axis in (1, 2):
        side, unblurred = grid.shape[axis], blurred
        blurred = unblurred.clone()
        for distance in range(1, min(side - 1, math.ceil(_KERNEL_RADIUS_SIGMAS * sigma_px)) + 1):
            height, length = math.exp(-0.5 * (distance / sigma_px) ** 2), side - distance
            blurred.narrow(axis, distance, length).add_(unblurred.narrow(axis, 0, length), alpha=height)
            blurred.narrow(axis, 0, length).add_(unblurred.narrow(axis, distance, length), alpha=height)
    return grid.unpad(blurred)
