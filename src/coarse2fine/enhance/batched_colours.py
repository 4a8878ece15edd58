"""Colours of background and foreground of many photos at once: what `colour_models` does, with tensor operations.

The same pixels are sampled and the same clusters split. Sums are of whole numbers in float64, so they are exact: the
same in every order, on every device and beside any other photos.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from coarse2fine.enhance.graph_cut.color_models import (
    FARTHEST,
    GAUSSIANS,
    LLOYD_STEPS,
    POWER_STEPS,
    ROUNDING_VARIANCE,
    SAMPLES,
)

_FIRST, _SECOND = (0, 0, 0, 1, 1, 2), (0, 1, 2, 1, 2, 2)  # the products xx, xy, xz, yy, yz, zz


class Samples(NamedTuple):
    """Pixels that the models of P photos are learned from, at most `SAMPLES` of a side.

    Attributes:
        colours: RGB, shape (P, 2, S, 3), float32, 0 to 255.
        terms: Of each colour 1, r, g, b and the products rr, rg, rb, gg, gb, bb, shape (P, 2, S, 10), float64.
        there: Which of them are pixels, shape (P, 2, S); sides of fewer pixels are filled up.
    """

    colours: Tensor
    terms: Tensor
    there: Tensor


def sample_sides(colours: Tensor, side: Tensor, first: Tensor) -> Samples:
    """Take evenly spaced pixels, in raster order, of each photo's background and foreground.

    Args:
        colours: RGB of all photos' pixels, photo by photo, shape (N, 3), uint8.
        side: 0 where a pixel is background, 1 where it is foreground, shape (N,), uint8.
        first: Where each photo's pixels begin, shape (P,).
    """
    edges = torch.nn.functional.pad(first.long(), (0, 1), value=len(side))
    foreground = torch.nn.functional.pad(side.cumsum(0, dtype=torch.int32), (1, 0))
    background = torch.arange(len(side) + 1, dtype=torch.int32, device=side.device) - foreground
    before = torch.stack([background[edges], foreground[edges]])
    counts = before.diff().long()
    step = counts.add(SAMPLES - 1).div(SAMPLES, rounding_mode="floor").clamp(min=1)
    ranks = torch.arange(int(((counts + step - 1) // step).max()), device=side.device) * step[..., None]
    there = ranks < counts[..., None]
    wanted = (before[:, :-1, None] + ranks + 1).to(torch.int32)
    found = [torch.searchsorted(passed, wanted[n]) for n, passed in enumerate((background, foreground))]
    pixels = (torch.stack(found, 1) - 1).clamp(0, len(side) - 1)
    taken = colours[pixels].float()
    exact = taken.double()
    terms = torch.cat([torch.ones_like(exact[..., :1]), exact, exact[..., _FIRST] * exact[..., _SECOND]], -1)
    return Samples(taken, terms, there.transpose(0, 1))


def start_models(samples: Samples) -> Tensor:
    """Learn models from nothing.

    Returns:
        Of each photo, side and Gaussian the logarithm of its weight over the root of its determinant, its mean (3), and
        its covariance's Cholesky factor (xx, xy, yy, xz, yz, zz; those on the diagonal inverted), shape (P, 2,
        `GAUSSIANS`, 10), float32. A side without pixels has Gaussians of no weight.
    """
    member = _split(samples)
    for _ in range(LLOYD_STEPS):
        member = _nearest(samples, _sum_up(samples, member))
    return _fit(_sum_up(samples, member))


def learn_models(samples: Samples, models: Tensor) -> Tensor:
    """Learn models anew from the pixels that each Gaussian of the old ones explains best.

    A side that has fewer pixels than Gaussians keeps its old model. Shapes as for :func:`start_models`.
    """
    member = _exponents(samples.colours[..., None, :], models[:, :, None]).argmax(-1)
    enough = samples.there.sum(-1) >= GAUSSIANS
    return torch.where(enough[..., None, None], _fit(_sum_up(samples, member)), models)


def compare(colours: Tensor, photo: Tensor, models: Tensor) -> Tensor:
    """How much likelier a colour is as foreground than as background: natural logarithm, at most 1000 either way.

    Args:
        colours: RGB, shape (N, 3), uint8.
        photo: Number of each pixel's photo, shape (N,).
        models: Those of all photos, shape (P, 2, `GAUSSIANS`, 10).

    Returns:
        Shape (N,), float32; 0 where neither side has a model.
    """
    exact = colours.float()
    background, foreground = (
        torch.stack(
            [_exponents(exact, side[:, number].index_select(0, photo)) for number in range(GAUSSIANS)]
        ).logsumexp(0)
        for side in models.unbind(1)
    )
    return (foreground - background).nan_to_num(0.0).clamp(-FARTHEST, FARTHEST)


def _exponents(colours: Tensor, gaussians: Tensor) -> Tensor:
    """Logarithm of weighted densities, up to a constant; shapes (..., 3) and (..., 10) fit each other."""
    height, red, green, blue, xx, xy, yy, xz, yz, zz = gaussians.unbind(-1)
    x = (colours[..., 0] - red) * xx
    y = (colours[..., 1] - green - xy * x) * yy
    z = (colours[..., 2] - blue - xz * x - yz * y) * zz
    return height - 0.5 * (x * x + y * y + z * z)


def _sum_up(samples: Samples, member: Tensor) -> Tensor:
    """Add up the terms of each cluster, shape (P, 2, `GAUSSIANS`, 10)."""
    clusters = torch.arange(GAUSSIANS, device=member.device)
    chosen = (member[..., None] == clusters) & samples.there[..., None]
    return chosen.double().transpose(-1, -2) @ samples.terms


def _moments(sums: Tensor) -> tuple[Tensor, Tensor]:
    """Means, shape (..., 3), and covariances (xx, xy, xz, yy, yz, zz), shape (..., 6)."""
    means = sums[..., 1:] / sums[..., :1].clamp(min=1)
    return means[..., :3], means[..., 3:] - means[..., _FIRST] * means[..., _SECOND]


def _fit(sums: Tensor) -> Tensor:
    means, covariances = _moments(sums)
    xx, xy, xz, yy, yz, zz = covariances.unbind(-1)
    shares = sums[..., 0] / sums[..., 0].sum(-1, keepdim=True).clamp(min=1)
    floor = ROUNDING_VARIANCE
    a = (xx + floor).clamp(min=floor).sqrt()
    b, c = xy / a, xz / a
    d = (yy + floor - b * b).clamp(min=floor).sqrt()
    e = (yz - b * c) / d
    f = (zz + floor - c * c - e * e).clamp(min=floor).sqrt()
    heights = shares.log() - (a * d * f).log()
    return torch.stack([heights, *means.unbind(-1), 1 / a, b, 1 / d, c, e, 1 / f], -1).float()


def _split(samples: Samples) -> Tensor:
    """Split the cluster of the greatest scatter along its principal axis until there are `GAUSSIANS`."""
    member = torch.zeros_like(samples.there, dtype=torch.int64)
    exact = samples.terms[..., 1:4]
    for new in range(1, GAUSSIANS):
        sums = _sum_up(samples, member)
        variances, axes = _principal_axes(sums)
        scatter, widest = (variances * sums[..., 0]).max(-1, keepdim=True)
        axis = axes.take_along_dim(widest[..., None], 2)
        middle = (axis * sums[..., 1:4].take_along_dim(widest[..., None], 2)).sum(-1) / sums[..., 0].gather(-1, widest)
        beyond = (member == widest) & ((exact * axis).sum(-1) > middle) & (scatter > 0)
        member = torch.where(beyond, new, member)
    return member


def _principal_axes(sums: Tensor) -> tuple[Tensor, Tensor]:
    """Greatest variance of each cluster, shape (...), and its direction, shape (..., 3), by power iteration."""
    covariance = _moments(sums)[1][..., ((0, 1, 2), (1, 3, 4), (2, 4, 5))]
    axis = torch.tensor([0.577, 0.578, 0.576], dtype=sums.dtype, device=sums.device).expand(*sums.shape[:-1], 3)
    variance = sums[..., 0]
    for _ in range(POWER_STEPS):
        turned = (covariance * axis[..., None, :]).sum(-1)
        variance = turned.square().sum(-1).sqrt()
        axis = turned / variance.clamp(min=1e-9)[..., None]
    return torch.where(variance < 1e-9, 0, variance), axis


def _nearest(samples: Samples, sums: Tensor) -> Tensor:
    """Number of the nearest mean."""
    means = (sums[..., 1:4] / sums[..., :1].clamp(min=1)).float()
    axes = [(samples.colours[..., c, None] - means[..., None, :, c]).square() for c in range(3)]
    distances = axes[0] + axes[1] + axes[2]
    return distances.masked_fill(sums[..., None, :, 0] == 0, torch.inf).argmin(-1)
