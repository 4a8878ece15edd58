"""Color models of background and foreground: one Gaussian mixture model (GMM) of five components each.

The mixtures are initialized by splitting clusters along their principal axis (Orchard, Bouman, "Color quantization of
images", 1991), so nothing about them is random.

Source: Rother, Kolmogorov, Blake, "GrabCut" (SIGGRAPH 2004), section 3.2.
"""

import numpy as np
from numpy.typing import NDArray

from coarse2fine.enhance.graph_cut.compilation import compiled, compiled_no_refcount

COMPONENTS = 5
"""Gaussian components of each mixture."""

MIXTURES = 2  # background, foreground

MAX_SAMPLES = 4000
"""Pixels that a mixture is fitted to, at most: evenly spaced in raster order."""

Colors = NDArray[np.uint8]
"""RGB of pixels, shape (N, 3), 0 to 255."""

ColorModels = NDArray[np.float64]
"""Parameters of both mixtures, shape (`MIXTURES`, `COMPONENTS`, 10). Of each component: the logarithm of its weight
divided by the square root of the determinant of its covariance, its mean (3), and the inverse of its covariance (xx,
xy, xz, yy, yz, zz)."""

ROUNDING_VARIANCE = 1 / 12  # of colors rounded to integers, added to every variance: no component is narrower
_NEGLIGIBLE_LOG_RATIO = 7.0  # a component this far below the largest one adds less than a thousandth
MAX_LOG_RATIO = 1000.0  # log-likelihood ratios are clipped to plus or minus this
K_MEANS_STEPS = 5
POWER_ITERATIONS = 30


@compiled
def initialize_models(colors: Colors, labels: NDArray[np.uint8]) -> ColorModels:
    """Fit both mixtures to labeled pixels: split into clusters, run k-means, then fit one Gaussian per cluster.

    Args:
        colors: Colors of the pixels, shape (N, 3).
        labels: 0 for background, 1 for foreground, shape (N,); both must occur.

    Returns:
        The mixtures of background and foreground.
    """
    models = np.empty((MIXTURES, COMPONENTS, 10))
    for label in range(MIXTURES):
        sample = _sample_colors(colors, labels, label)
        assignment = _split_clusters(sample)
        _run_k_means(sample, assignment)
        models[label] = _fit_components(_sum_moments(sample, assignment), len(sample))
    return models


@compiled
def update_models(colors: Colors, labels: NDArray[np.uint8], models: ColorModels) -> ColorModels:
    """Assign every pixel to its most likely component and fit the components again.

    A mixture with fewer pixels than components stays as it is.

    Args:
        colors: Colors of the pixels, shape (N, 3).
        labels: 0 for background, 1 for foreground, shape (N,).
        models: The mixtures to update; left unchanged.

    Returns:
        The updated mixtures.
    """
    updated = models.copy()
    for label in range(MIXTURES):
        sample = _sample_colors(colors, labels, label)
        if len(sample) >= COMPONENTS:
            assignment = _assign_components(sample, models[label])
            updated[label] = _fit_components(_sum_moments(sample, assignment), len(sample))
    return updated


@compiled
def log_likelihood_ratio(colors: Colors, models: ColorModels) -> NDArray[np.float32]:
    """Compute the log-likelihood ratio of foreground to background of each color: the unary term of GrabCut.

    Args:
        colors: Colors of the pixels, shape (N, 3).
        models: The mixtures of background and foreground.

    Returns:
        Natural logarithm of the ratio, shape (N,), clipped to -1000 to 1000.
    """
    ratios = np.empty(len(colors), np.float32)
    log_densities = np.empty(COMPONENTS)
    for pixel in range(len(colors)):
        foreground = _mixture_log_density(colors[pixel], models[1], log_densities)
        ratio = foreground - _mixture_log_density(colors[pixel], models[0], log_densities)
        ratios[pixel] = min(max(ratio, -MAX_LOG_RATIO), MAX_LOG_RATIO)
    return ratios


@compiled
def _sample_colors(colors: Colors, labels: NDArray[np.uint8], label: int) -> Colors:
    count = 0
    for pixel in range(len(labels)):
        count += labels[pixel] == label
    step = max(1, -(-count // MAX_SAMPLES))
    sample = np.empty((-(-count // step), 3), np.uint8)
    seen = 0
    for pixel in range(len(labels)):
        if labels[pixel] == label:
            if seen % step == 0:
                for channel in range(3):
                    sample[seen // step, channel] = colors[pixel, channel]
            seen += 1
    return sample


@compiled_no_refcount
def _component_log_density(color: NDArray[np.uint8], gaussian: NDArray[np.float64]) -> float:
    x, y, z = color[0] - gaussian[1], color[1] - gaussian[2], color[2] - gaussian[3]
    square = gaussian[4] * x * x + gaussian[7] * y * y + gaussian[9] * z * z
    return gaussian[0] - 0.5 * square - (gaussian[5] * x * y + gaussian[6] * x * z + gaussian[8] * y * z)


@compiled_no_refcount
def _mixture_log_density(
    color: NDArray[np.uint8], model: NDArray[np.float64], log_densities: NDArray[np.float64]
) -> float:
    """Compute the logarithm of a mixture's density up to a constant; ``log_densities`` is a work buffer."""
    largest = -np.inf
    for component in range(COMPONENTS):
        log_densities[component] = _component_log_density(color, model[component])
        largest = max(largest, log_densities[component])
    total = 0.0
    for component in range(COMPONENTS):
        if log_densities[component] > largest - _NEGLIGIBLE_LOG_RATIO:
            total += np.exp(log_densities[component] - largest)
    return largest + np.log(total)


@compiled
def _assign_components(colors: Colors, model: NDArray[np.float64]) -> NDArray[np.uint8]:
    assignment = np.zeros(len(colors), np.uint8)
    for pixel in range(len(colors)):
        best = -np.inf
        for component in range(COMPONENTS):
            log_density = _component_log_density(colors[pixel], model[component])
            if log_density > best:
                best = log_density
                assignment[pixel] = component
    return assignment


@compiled
def _sum_moments(colors: Colors, assignment: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Sum over each component: pixel count, colors (3), and the products xx, xy, xz, yy, yz, zz; shape (K, 10)."""
    sums = np.zeros((COMPONENTS, 10))
    for pixel in range(len(colors)):
        row = sums[assignment[pixel]]
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
def _fit_components(sums: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Fit a Gaussian to each component from its sums; ``count`` is the pixel count of the mixture."""
    model = np.zeros((COMPONENTS, 10))
    model[:, 0] = -np.inf
    for component in range(COMPONENTS):
        if sums[component, 0] == 0:
            continue
        xx, xy, xz, yy, yz, zz = _covariance(sums[component])
        xx, yy, zz = xx + ROUNDING_VARIANCE, yy + ROUNDING_VARIANCE, zz + ROUNDING_VARIANCE
        determinant = xx * (yy * zz - yz * yz) - xy * (xy * zz - yz * xz) + xz * (xy * yz - yy * xz)
        determinant = max(determinant, ROUNDING_VARIANCE**3)
        model[component, 0] = np.log(sums[component, 0] / count) - 0.5 * np.log(determinant)
        model[component, 1:4] = sums[component, 1:4] / sums[component, 0]
        model[component, 4] = (yy * zz - yz * yz) / determinant
        model[component, 5] = (xz * yz - xy * zz) / determinant
        model[component, 6] = (xy * yz - xz * yy) / determinant
        model[component, 7] = (xx * zz - xz * xz) / determinant
        model[component, 8] = (xy * xz - xx * yz) / determinant
        model[component, 9] = (xx * yy - xy * xy) / determinant
    return model


@compiled
def _split_clusters(colors: Colors) -> NDArray[np.uint8]:
    """Split the cluster with the largest scatter along its principal axis until there are `COMPONENTS` clusters."""
    assignment = np.zeros(len(colors), np.uint8)
    for new in range(1, COMPONENTS):
        sums = _sum_moments(colors, assignment)
        widest, widest_scatter = 0, 0.0
        axis = np.zeros(3)
        for component in range(new):
            if sums[component, 0] > 1:
                variance, direction = _principal_axis(sums[component])
                if variance * sums[component, 0] > widest_scatter:
                    widest, widest_scatter, axis = component, variance * sums[component, 0], direction
        if widest_scatter == 0:
            break
        mean_along_axis = (axis * sums[widest, 1:4]).sum() / sums[widest, 0]
        for pixel in range(len(colors)):
            projection = axis[0] * colors[pixel, 0] + axis[1] * colors[pixel, 1] + axis[2] * colors[pixel, 2]
            if assignment[pixel] == widest and projection > mean_along_axis:
                assignment[pixel] = new
    return assignment


@compiled
def _principal_axis(sums: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Compute the largest variance of a cluster and its direction by power iteration."""
    xx, xy, xz, yy, yz, zz = _covariance(sums)
    x, y, z, variance = 0.577, 0.578, 0.576, 0.0
    for _ in range(POWER_ITERATIONS):
        u, v, w = xx * x + xy * y + xz * z, xy * x + yy * y + yz * z, xz * x + yz * y + zz * z
        variance = np.sqrt(u * u + v * v + w * w)
        if variance < 1e-9:
            return 0.0, np.zeros(3)
        x, y, z = u / variance, v / variance, w / variance
    return variance, np.array([x, y, z])


@compiled
def _run_k_means(colors: Colors, assignment: NDArray[np.uint8]) -> None:
    """Assign every pixel to the nearest cluster mean, `K_MEANS_STEPS` times; changes ``assignment`` in place."""
    for _ in range(K_MEANS_STEPS):
        sums = _sum_moments(colors, assignment)
        means = sums[:, 1:4] / np.maximum(sums[:, :1], 1)
        for pixel in range(len(colors)):
            nearest = np.inf
            for component in range(COMPONENTS):
                if sums[component, 0] == 0:
                    continue
                distance = 0.0
                for channel in range(3):
                    distance += (colors[pixel, channel] - means[component, channel]) ** 2
                if distance < nearest:
                    nearest = distance
                    assignment[pixel] = component
