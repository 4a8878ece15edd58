"""Colors of background and foreground, each a mixture of five Gaussians.

Source: Rother, Kolmogorov, Blake, "GrabCut" (SIGGRAPH 2004), section 3.2. The mixtures begin by splitting clusters
along their principal axis (Orchard, Bouman, "Color quantization of images", 1991), so nothing about them is random.
"""

import numpy as np
from numpy.typing import NDArray

from coarse2fine.enhance.graph_cut.compilation import compiled, compiled_lean

GAUSSIANS = 5
SIDES = 2  # background, foreground

SAMPLES = 4000
"""Pixels of a side that its model is learned from, evenly spaced in raster order; fewer where there are no more."""

Colors = NDArray[np.uint8]
"""RGB of pixels, shape (N, 3), 0 to 255."""

Models = NDArray[np.float64]
"""Shape (`SIDES`, `GAUSSIANS`, 10): of each Gaussian the logarithm of its weight over the root of its determinant, its
mean (3), and the inverse of its covariance (xx, xy, xz, yy, yz, zz)."""

ROUNDING_VARIANCE = 1 / 12  # of colors in whole numbers: no Gaussian is narrower
_NEGLIGIBLE = 7.0  # a component this much less likely than the likeliest adds less than a thousandth
FARTHEST = 1000.0  # log odds are cut off here
LLOYD_STEPS = 5
POWER_STEPS = 30


@compiled
def start_models(colors: Colors, side: NDArray[np.uint8]) -> Models:
    """Learn models from nothing.

    Args:
        colors: Pixels.
        side: 0 where a pixel is background, 1 where it is foreground, shape (N,); both must occur.
    """
    models = np.empty((SIDES, GAUSSIANS, 10))
    for which in range(SIDES):
        sample = _sample(colors, side, which)
        member = _split(sample)
        _lloyd(sample, member)
        models[which] = _fit(_sum_up(sample, member), len(sample))
    return models


@compiled
def learn_models(colors: Colors, side: NDArray[np.uint8], models: Models) -> Models:
    """Learn models anew from the pixels that each Gaussian of the old ones explains best.

    A side that has fewer pixels than Gaussians keeps its old model.
    """
    learned = models.copy()
    for which in range(SIDES):
        sample = _sample(colors, side, which)
        if len(sample) >= GAUSSIANS:
            learned[which] = _fit(_sum_up(sample, _assign(sample, models[which])), len(sample))
    return learned


@compiled
def compare(colors: Colors, models: Models) -> NDArray[np.float32]:
    """How much likelier a color is as foreground than as background: natural logarithm, at most 1000 either way."""
    odds = np.empty(len(colors), np.float32)
    terms = np.empty(GAUSSIANS)
    for pixel in range(len(colors)):
        ratio = _mixture(colors[pixel], models[1], terms) - _mixture(colors[pixel], models[0], terms)
        odds[pixel] = min(max(ratio, -FARTHEST), FARTHEST)
    return odds


@compiled
def _sample(colors: Colors, side: NDArray[np.uint8], which: int) -> Colors:
    count = 0
    for pixel in range(len(side)):
        count += side[pixel] == which
    step = max(1, -(-count // SAMPLES))
    sample = np.empty((-(-count // step), 3), np.uint8)
    seen = 0
    for pixel in range(len(side)):
        if side[pixel] == which:
            if seen % step == 0:
                for channel in range(3):
                    sample[seen // step, channel] = colors[pixel, channel]
            seen += 1
    return sample


@compiled_lean
def _exponent(color: NDArray[np.uint8], gaussian: NDArray[np.float64]) -> float:
    x, y, z = color[0] - gaussian[1], color[1] - gaussian[2], color[2] - gaussian[3]
    square = gaussian[4] * x * x + gaussian[7] * y * y + gaussian[9] * z * z
    return gaussian[0] - 0.5 * square - (gaussian[5] * x * y + gaussian[6] * x * z + gaussian[8] * y * z)


@compiled_lean
def _mixture(color: NDArray[np.uint8], model: NDArray[np.float64], terms: NDArray[np.float64]) -> float:
    """Logarithm of a mixture's density, up to a constant; ``terms`` is room to work in."""
    top = -np.inf
    for number in range(GAUSSIANS):
        terms[number] = _exponent(color, model[number])
        top = max(top, terms[number])
    total = 0.0
    for number in range(GAUSSIANS):
        if terms[number] > top - _NEGLIGIBLE:
            total += np.exp(terms[number] - top)
    return top + np.log(total)


@compiled
def _assign(colors: Colors, model: NDArray[np.float64]) -> NDArray[np.uint8]:
    member = np.zeros(len(colors), np.uint8)
    for pixel in range(len(colors)):
        best = -np.inf
        for number in range(GAUSSIANS):
            exponent = _exponent(colors[pixel], model[number])
            if exponent > best:
                best = exponent
                member[pixel] = number
    return member


@compiled
def _sum_up(colors: Colors, member: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Of each cluster the number of pixels, the sum of their colors, and of the products xx, xy, xz, yy, yz, zz."""
    sums = np.zeros((GAUSSIANS, 10))
    for pixel in range(len(colors)):
        row = sums[member[pixel]]
        r, g, b = float(colors[pixel, 0]), float(colors[pixel, 1]), float(colors[pixel, 2])
        row[0] += 1
        row[1] += r
        row[2] += g
        row[3] += b
        row[4] += r * r
        row[5] += r * g
        row[6] += r * b
        row[7] += g * g
        row[8] += g * b
        row[9] += b * b
    return sums


@compiled
def _covariance(sums: NDArray[np.float64]) -> tuple[float, float, float, float, float, float]:
    r, g, b = sums[1] / sums[0], sums[2] / sums[0], sums[3] / sums[0]
    xx, xy, xz = sums[4] / sums[0] - r * r, sums[5] / sums[0] - r * g, sums[6] / sums[0] - r * b
    yy, yz, zz = sums[7] / sums[0] - g * g, sums[8] / sums[0] - g * b, sums[9] / sums[0] - b * b
    return xx, xy, xz, yy, yz, zz


@compiled
def _fit(sums: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Gaussians from sums over ``count`` pixels; one without pixels has no weight."""
    model = np.zeros((GAUSSIANS, 10))
    model[:, 0] = -np.inf
    for number in range(GAUSSIANS):
        if sums[number, 0] == 0:
            continue
        xx, xy, xz, yy, yz, zz = _covariance(sums[number])
        xx, yy, zz = xx + ROUNDING_VARIANCE, yy + ROUNDING_VARIANCE, zz + ROUNDING_VARIANCE
        determinant = xx * (yy * zz - yz * yz) - xy * (xy * zz - yz * xz) + xz * (xy * yz - yy * xz)
        determinant = max(determinant, ROUNDING_VARIANCE**3)
        model[number, 0] = np.log(sums[number, 0] / count) - 0.5 * np.log(determinant)
        model[number, 1:4] = sums[number, 1:4] / sums[number, 0]
        model[number, 4] = (yy * zz - yz * yz) / determinant
        model[number, 5] = (xz * yz - xy * zz) / determinant
        model[number, 6] = (xy * yz - xz * yy) / determinant
        model[number, 7] = (xx * zz - xz * xz) / determinant
        model[number, 8] = (xy * xz - xx * yz) / determinant
        model[number, 9] = (xx * yy - xy * xy) / determinant
    return model


@compiled
def _split(colors: Colors) -> NDArray[np.uint8]:
    """Split the cluster of the greatest scatter along its principal axis until there are `GAUSSIANS`."""
    member = np.zeros(len(colors), np.uint8)
    for new in range(1, GAUSSIANS):
        sums = _sum_up(colors, member)
        widest, widest_scatter = 0, 0.0
        axis = np.zeros(3)
        for number in range(new):
            if sums[number, 0] > 1:
                variance, direction = _principal_axis(sums[number])
                if variance * sums[number, 0] > widest_scatter:
                    widest, widest_scatter, axis = number, variance * sums[number, 0], direction
        if widest_scatter == 0:
            break
        middle = (axis * sums[widest, 1:4]).sum() / sums[widest, 0]
        for pixel in range(len(colors)):
            along = axis[0] * colors[pixel, 0] + axis[1] * colors[pixel, 1] + axis[2] * colors[pixel, 2]
            if member[pixel] == widest and along > middle:
                member[pixel] = new
    return member


@compiled
def _principal_axis(sums: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Greatest variance of a cluster and its direction, by power iteration."""
    xx, xy, xz, yy, yz, zz = _covariance(sums)
    x, y, z, variance = 0.577, 0.578, 0.576, 0.0
    for _ in range(POWER_STEPS):
        u, v, w = xx * x + xy * y + xz * z, xy * x + yy * y + yz * z, xz * x + yz * y + zz * z
        variance = np.sqrt(u * u + v * v + w * w)
        if variance < 1e-9:
            return 0.0, np.zeros(3)
        x, y, z = u / variance, v / variance, w / variance
    return variance, np.array([x, y, z])


@compiled
def _lloyd(colors: Colors, member: NDArray[np.uint8]) -> None:
    """Move every pixel to the nearest mean, a few times over."""
    for _ in range(LLOYD_STEPS):
        sums = _sum_up(colors, member)
        means = sums[:, 1:4] / np.maximum(sums[:, :1], 1)
        for pixel in range(len(colors)):
            nearest = np.inf
            for number in range(GAUSSIANS):
                if sums[number, 0] == 0:
                    continue
                distance = 0.0
                for channel in range(3):
                    distance += (colors[pixel, channel] - means[number, channel]) ** 2
                if distance < nearest:
                    nearest = distance
                    member[pixel] = number
