"""Mean field of a fully connected CRF: tensor operations on the pixels of several photos at once.

The pixels of all photos lie in one row, photo by photo, and share one lattice in which photos never meet. So the number
of operations does not grow with that of the photos, and none depends on the others.

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
from coarse2fine.enhance.dense_crf.lattice import blur_points, build_lattice
from coarse2fine.enhance.dense_crf.pixel_rows import place_pixels
from coarse2fine.types import Image, Probabilities

LEAST_PROBABILITY = 1e-5
"""Classes are taken to be at least this likely everywhere, or no neighbor could persuade a pixel."""

_REACH = 4.0  # of the kernel of place, in sigmas: beyond it the Gaussian is below 0.0004 of its height
_NO_CLASS = -1.0  # stands where a photo has fewer classes than another
_GPU_PLACES, _CPU_PLACES = BoundedSemaphore(1), BoundedSemaphore(4)  # calls at once: each needs its memory


class Problem(NamedTuple):
    """A photo whose pixels are to be told apart.

    Attributes:
        scores: Class probabilities, shape (C, H, W).
        image: Shape (H, W, 3).
    """

    scores: Probabilities
    image: Image


class _Kernel(NamedTuple):
    """A normalized Gaussian kernel between all pixels of a photo, times its weight."""

    blur: Callable[[Tensor], Tensor]
    scale: Tensor  # (N, 1): 1 / root of the sum of a pixel's row
    weight: float

    def sum_up(self, values: Tensor) -> Tensor:
        return self.blur(values * self.scale).mul_(self.weight * self.scale)


class _Canvas(NamedTuple):
    """Equal rectangles, one for each photo, that hold the pixels of the row; what lies outside a photo is 0."""

    shape: tuple[int, int, int]  # photos, height, width
    place: Tensor | None  # (N,), where each pixel lies; none: one after another

    def lay_out(self, values: Tensor) -> Tensor:
        if self.place is None:
            return values.reshape(*self.shape, -1)
        empty = values.new_zeros(math.prod(self.shape), values.shape[1])
        return empty.index_copy_(0, self.place, values).reshape(*self.shape, -1)

    def pick_up(self, grid: Tensor) -> Tensor:
        values = grid.reshape(-1, grid.shape[-1])
        return values if self.place is None else values.index_select(0, self.place)


def infer(problems: Sequence[Problem], config: CrfConfig, device: torch.device) -> list[Probabilities]:
    """Mean-field marginals of the classes of each photo, shape (C, H, W).

    A photo's do not depend on the photos beside it, but for the last bits where these have more classes.

    Memory, measured on the CPU on photos of VOC: 0.5 to 0.8 GB per megapixel for two classes, 0.8 to 1.5 GB for 21; at
    most 1.2 and 2 GB, where every pixel has a color of its own. A photo of 500 px so takes 0.1 to 0.5 GB. Together,
    each photo counts as one of the most classes; for the kernel of place also as high as the highest and as wide as the
    widest.
    """
    with _GPU_PLACES if device.type == "cuda" else _CPU_PLACES, torch.inference_mode():
        unary = _weigh_classes([problem.scores for problem in problems], device)
        kernels = _make_kernels([problem.image for problem in problems], config, device)
        marginals = unary.softmax(1)
        for _ in range(config.steps):
            logits = unary.clone()
            for kernel in kernels:
                logits += kernel.sum_up(marginals)
            marginals = logits.softmax(1)
        found = marginals.cpu().numpy()
    ends = np.cumsum([problem.scores[0].size for problem in problems])[:-1]
    return [
        np.ascontiguousarray(part.T[: len(scores)]).reshape(scores.shape)
        for part, (scores, _) in zip(np.split(found, ends), problems, strict=True)
    ]


def _weigh_classes(scores: Sequence[Probabilities], device: torch.device) -> Tensor:
    """Logarithms of all pixels' probabilities, shape (N, C) for the most classes; minus infinity for none."""
    rows = np.full((sum(one[0].size for one in scores), max(map(len, scores))), _NO_CLASS, np.float32)
    first = 0
    for one in scores:
        rows[first : first + one[0].size, : len(one)] = one.reshape(len(one), -1).T
        first += one[0].size
    probabilities = torch.from_numpy(rows).to(device)
    absent = probabilities == _NO_CLASS
    return probabilities.clamp_(min=LEAST_PROBABILITY).log_().masked_fill_(absent, -math.inf)


def _make_kernels(images: Sequence[Image], config: CrfConfig, device: torch.device) -> list[_Kernel]:
    shapes = [image.shape[:2] for image in images]
    places, _ = place_pixels(shapes, device)
    blurs: list[tuple[float, Callable[[Tensor], Tensor]]] = []
    if config.position_weight > 0:
        canvas = _stretch_canvas(shapes, places)
        blurs.append((config.position_weight, partial(_blur_places, canvas=canvas, sigma_px=config.position_sigma_px)))
    if config.bilateral_weight > 0:
        row = np.concatenate([image.reshape(-1, 3) for image in images])
        colors = torch.from_numpy(row).to(device).float() / config.color_sigma
        features = torch.cat([places[1:].T / config.bilateral_sigma_px, colors], 1)
        lattice = build_lattice(features, places[0])
        blurs.append((config.bilateral_weight, partial(blur_points, lattice)))
    ones = torch.ones(places.shape[1], 1, device=device)
    return [_Kernel(blur, blur(ones).rsqrt_(), weight) for weight, blur in blurs]


def _stretch_canvas(shapes: Sequence[tuple[int, int]], places: Tensor) -> _Canvas:
    height, width = (max(sides) for sides in zip(*shapes, strict=True))
    shape = len(shapes), height, width
    if places.shape[1] == math.prod(shape):
        return _Canvas(shape, None)
    photo, y, x = places.long()
    return _Canvas(shape, (photo * height + y) * width + x)


def _blur_places(values: Tensor, canvas: _Canvas, sigma_px: float) -> Tensor:
    """Sum the values around every pixel, weighted by a Gaussian of height 1; (N, C) to (N, C)."""
    grid = canvas.lay_out(values)
    for axis in (1, 2):
        side = canvas.shape[axis]
        blurred = grid.clone()
        for distance in range(1, min(side - 1, math.ceil(_REACH * sigma_px)) + 1):
            height, length = math.exp(-0.5 * (distance / sigma_px) ** 2), side - distance
            blurred.narrow(axis, distance, length).add_(grid.narrow(axis, 0, length), alpha=height)
            blurred.narrow(axis, 0, length).add_(grid.narrow(axis, distance, length), alpha=height)
        grid = blurred
    return canvas.pick_up(grid)
