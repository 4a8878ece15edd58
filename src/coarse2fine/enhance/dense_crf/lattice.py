"""A Gaussian blur among points of many dimensions, such as pixels by place and color, in time linear in their number.

Every point is spread over the corners of the simplex it lies in, of the permutohedral lattice; the lattice is blurred
along its axes; every point reads its corners. Corners are numbered by sorting, so there is no table to fill one by one:
the same tensor operations run on any device, and add in the same order every time.

Source: Adams, Baek, Davis, "Fast high-dimensional filtering using the permutohedral lattice" (Eurographics 2010), as in
the code of Krähenbühl, Koltun (NIPS 2011): only corners of points take part, and each axis is blurred by [1/2, 1, 1/2].
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, pad

CHANNELS_AT_ONCE = 16
"""More are blurred in turns: the memory of the lattice does not grow with the number of classes."""

_SPREAD = 0x9E3779B97F4A7C15  # odd; its powers spread whole coordinates over 64 bits


class Lattice(NamedTuple):
    """N points of D dimensions between the corners of their simplices, M lattice points in all.

    The last lattice point, number M, is none: it stands for every neighbor that is missing, and its value is 0.

    Attributes:
        corners: Lattice points around each point, shape (N, D + 1), int32.
        shares: How much of the point each of them takes, 0 to 1, shape (N, D + 1).
        points: Points around each lattice point, one lattice point after another, shape (N * (D + 1),), int32.
        point_shares: How much of the point it takes, of the same shape.
        starts: Where each lattice point's part begins in ``points``, shape (M + 1,), int32.
        neighbors: Next and previous lattice point on each axis, shape (D + 1, 2, M + 1), int32.
    """

    corners: Tensor
    shares: Tensor
    points: Tensor
    point_shares: Tensor
    starts: Tensor
    neighbors: Tensor


def build_lattice(features: Tensor, groups: Tensor | None = None) -> Lattice:
    """Lay points into the lattice.

    Args:
        features: Coordinates in units of the Gaussian's sigma, shape (N, D), float32.
        groups: Number of each point's group, such as its photo, shape (N,), integer: groups share no lattice point, and
            are no neighbors of each other, wherever they lie. None: all are of one.

    Returns:
        The lattice. In five dimensions it takes 96 bytes per point and 52 per lattice point, and several times as much
        while it is built.
    """
    elevated = _elevate(features)
    origin, rank = _find_simplex(elevated)
    shares = _weigh_corners(elevated, origin, rank)
    names = _name_corners(origin, rank, groups)
    keys, numbers, counts = torch.unique(names, return_inverse=True, return_counts=True)
    order = numbers.reshape(-1).argsort(stable=True)
    starts = pad(counts.cumsum(0), (1, 0))
    sides = features.shape[1] + 1
    return Lattice(
        numbers.int(), shares, (order // sides).int(), shares.reshape(-1)[order], starts.int(), _link(keys, sides)
    )


def blur_points(lattice: Lattice, values: Tensor) -> Tensor:
    """Sum the values around every point, weighted by a Gaussian of their distance, up to a factor common to all.

    Args:
        lattice: From :func:`build_lattice`.
        values: Shape (N, C), float32.

    Returns:
        Shape (N, C). Neither the lattice's factor nor that of a density is taken out: divide by the blur of ones.
    """
    return torch.cat([_blur(lattice, part.contiguous()) for part in torch.split(values, CHANNELS_AT_ONCE, 1)], 1)


def _blur(lattice: Lattice, values: Tensor) -> Tensor:
    laid = embedding_bag(lattice.points, values, lattice.starts, mode="sum", per_sample_weights=lattice.point_shares)
    for after, before in lattice.neighbors:
        laid = laid.index_select(0, after).add_(laid.index_select(0, before)).mul_(0.5).add_(laid)
    return embedding_bag(lattice.corners, laid, mode="sum", per_sample_weights=lattice.shares)


def _elevate(features: Tensor) -> Tensor:
    """Place points on the plane of D + 1 coordinates with sum 0, so that the blur has a sigma of 1; (N, D + 1)."""
    dimensions = features.shape[1]
    axes = torch.arange(dimensions + 1, device=features.device, dtype=features.dtype)
    stretch = (dimensions + 1) * math.sqrt(2 / 3) / ((axes[:-1] + 1) * (axes[:-1] + 2)).sqrt()
    scaled = features * stretch
    return pad(scaled.flip(1).cumsum(1).flip(1), (0, 1)) - axes * pad(scaled, (1, 0))


def _find_simplex(elevated: Tensor) -> tuple[Tensor, Tensor]:
    """The corner of each point's simplex with all coordinates multiples of D + 1, in such units, and the simplex.

    Returns:
        Corners, shape (N, D + 1), int64, and the rank of each coordinate's distance from it, the largest first, which
        tells the simplices around a corner apart.
    """
    sides = elevated.shape[1]
    origin = (elevated / sides).round()
    rank = (elevated - origin * sides).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    origin = origin.long()
    rank += origin.sum(1, keepdim=True)
    turns = (rank < 0).long() - (rank >= sides).long()
    return origin + turns, rank + turns * sides


def _weigh_corners(elevated: Tensor, origin: Tensor, rank: Tensor) -> Tensor:
    """Barycentric coordinates of each point in its simplex, shape (N, D + 1), 0 to 1, of sum 1."""
    sides = elevated.shape[1]
    ascending = torch.empty_like(elevated).scatter_(1, rank, elevated / sides - origin).flip(1)
    shares = ascending - ascending.roll(1, 1)
    shares[:, 0] += 1
    return shares


def _multipliers(count: int, device: torch.device) -> Tensor:
    powers = [pow(_SPREAD, exponent, 2**64) for exponent in range(1, count + 1)]
    return torch.tensor([power - 2**64 * (power >= 2**63) for power in powers], dtype=torch.int64, device=device)


def _name_corners(origin: Tensor, rank: Tensor, groups: Tensor | None) -> Tensor:
    """A number for each corner, shape (N, D + 1): linear in its coordinates and group, with 64 bits that overflow.

    Two corners of a photo share one, or take each other for neighbors, with a chance below one in a million, and would
    then be blurred together; in a batch of twenty photos of 500 px, with a chance below one in a thousand.
    """
    sides = origin.shape[1]
    multipliers = _multipliers(sides + 1, origin.device)
    names = []
    for remainder in range(sides):
        corner = sides * (origin - (rank >= sides - remainder).long()) + remainder
        names.append((corner * multipliers[:-1]).sum(1))
    named = torch.stack(names, 1)
    return named if groups is None else named.add_((groups.long() * multipliers[-1])[:, None])


def _link(keys: Tensor, sides: int) -> Tensor:
    """Numbers of the next and the previous lattice point along each axis, `Lattice.neighbors`, from sorted names."""
    multipliers = _multipliers(sides, keys.device)
    steps = sides * multipliers - multipliers.sum()
    return torch.stack([torch.stack([_look_up(keys, keys + step), _look_up(keys, keys - step)]) for step in steps])


def _look_up(keys: Tensor, wanted: Tensor) -> Tensor:
    """Where names stand in a sorted list, one past its end where they do not; that place itself comes last."""
    place = torch.searchsorted(keys, wanted).clamp_(max=len(keys) - 1)
    return pad(torch.where(keys[place] == wanted, place, len(keys)), (0, 1), value=len(keys)).int()
