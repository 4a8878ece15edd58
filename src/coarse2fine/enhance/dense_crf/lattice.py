"""Gaussian filtering of points in many dimensions, in time linear in their number, with the permutohedral lattice.

The points are, for example, pixels described by position and color. Filtering has three steps. Splat: the value of
every point is distributed to the vertices of its enclosing simplex. Blur: the lattice is filtered along each of its
axes. Slice: every point reads the values of its vertices. Vertices are numbered by sorting their hashes, not with a
hash table filled one by one: so the same tensor operations run on any device, and they add in the same order every
time.

Source: Adams, Baek, Davis, "Fast high-dimensional filtering using the permutohedral lattice" (Eurographics 2010), as in
the code of Krähenbühl, Koltun (NIPS 2011): only the vertices of points are stored, and each axis is blurred by
[1/2, 1, 1/2].
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, pad

MAX_CHANNELS = 16
"""Channels filtered at the same time; more are filtered one group after another, so that the memory of the lattice does
not grow with the number of classes."""

_HASH_BASE = 0x9E3779B97F4A7C15  # odd; its powers distribute integer coordinates over 64 bits


class Lattice(NamedTuple):
    """N points of D dimensions in the permutohedral lattice, with the M lattice vertices of their simplices.

    Vertex M is a placeholder for missing neighbors; its value is always 0.

    Attributes:
        vertices: Vertices of the simplex of each point, shape (N, D + 1), int32.
        weights: Barycentric weight of each of these vertices, 0 to 1, shape (N, D + 1).
        points: The points of each vertex, one vertex after another, shape (N * (D + 1),), int32.
        point_weights: Barycentric weight of each entry of ``points``, same shape.
        offsets: Index in ``points`` at which the points of each vertex start, shape (M + 1,), int32.
        neighbors: Next and previous vertex along each axis, shape (D + 1, 2, M + 1), int32.
    """

    vertices: Tensor
    weights: Tensor
    points: Tensor
    point_weights: Tensor
    offsets: Tensor
    neighbors: Tensor


def build_lattice(features: Tensor, groups: Tensor | None = None) -> Lattice:
    """Build the lattice of a set of points.

    Args:
        features: Coordinates divided by the sigma of the Gaussian, shape (N, D), float32.
        groups: Index of the group of each point, such as its photo, shape (N,), integer. Groups share no vertex and are
            never neighbors, wherever their points are. None: all points are in one group.

    Returns:
        The lattice. In five dimensions it takes 96 bytes per point and 52 per vertex, and several times as much while
        it is built.
    """
    elevated = _elevate(features)
    origin, rank = _find_simplex(elevated)
    weights = _compute_barycentric_weights(elevated, origin, rank)
    hashes = _hash_vertices(origin, rank, groups)
    keys, numbers, counts = torch.unique(hashes, return_inverse=True, return_counts=True)
    order = numbers.reshape(-1).argsort(stable=True)
    offsets = pad(counts.cumsum(0), (1, 0))
    sides = features.shape[1] + 1
    return Lattice(
        vertices=numbers.int(),
        weights=weights,
        points=(order // sides).int(),
        point_weights=weights.reshape(-1)[order],
        offsets=offsets.int(),
        neighbors=_find_neighbors(keys, sides),
    )


def blur_points(lattice: Lattice, values: Tensor) -> Tensor:
    """Sum the values around every point, weighted by a Gaussian of their distance, up to a constant factor.

    Args:
        lattice: From :func:`build_lattice`.
        values: Shape (N, C), float32.

    Returns:
        Shape (N, C), not normalized: divide by the result for ones to get a weighted mean.
    """
    return torch.cat([_blur(lattice, part.contiguous()) for part in torch.split(values, MAX_CHANNELS, 1)], 1)


def _blur(lattice: Lattice, values: Tensor) -> Tensor:
    splat = embedding_bag(lattice.points, values, lattice.offsets, mode="sum", per_sample_weights=lattice.point_weights)
    for after, before in lattice.neighbors:
        splat = splat.index_select(0, after).add_(splat.index_select(0, before)).mul_(0.5).add_(splat)
    return embedding_bag(lattice.vertices, splat, mode="sum", per_sample_weights=lattice.weights)


def _elevate(features: Tensor) -> Tensor:
    """Map points to the hyperplane of D + 1 coordinates with sum 0, scaled for a blur of sigma 1; shape (N, D + 1)."""
    dimensions = features.shape[1]
    axes = torch.arange(dimensions + 1, device=features.device, dtype=features.dtype)
    stretch = (dimensions + 1) * math.sqrt(2 / 3) / ((axes[:-1] + 1) * (axes[:-1] + 2)).sqrt()
    scaled = features * stretch
    return pad(scaled.flip(1).cumsum(1).flip(1), (0, 1)) - axes * pad(scaled, (1, 0))


def _find_simplex(elevated: Tensor) -> tuple[Tensor, Tensor]:
    """Find the enclosing simplex of each point.

    Returns:
        The remainder-0 vertex of the simplex, whose coordinates are all multiples of D + 1, divided by D + 1, shape
        (N, D + 1), int64; and the rank of each coordinate of the point's offset from it, the largest first, which
        identifies the simplex among those around that vertex, shape (N, D + 1).
    """
    sides = elevated.shape[1]
    origin = (elevated / sides).round()
    rank = (elevated - origin * sides).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    origin = origin.long()
    rank += origin.sum(1, keepdim=True)
    correction = (rank < 0).long() - (rank >= sides).long()
    return origin + correction, rank + correction * sides


def _compute_barycentric_weights(elevated: Tensor, origin: Tensor, rank: Tensor) -> Tensor:
    """Compute the barycentric coordinates of each point in its simplex, shape (N, D + 1), 0 to 1, with sum 1."""
    sides = elevated.shape[1]
    ascending = torch.empty_like(elevated).scatter_(1, rank, elevated / sides - origin).flip(1)
    weights = ascending - ascending.roll(1, 1)
    weights[:, 0] += 1
    return weights


def _hash_multipliers(count: int, device: torch.device) -> Tensor:
    powers = [pow(_HASH_BASE, exponent, 2**64) for exponent in range(1, count + 1)]
    return torch.tensor([power - 2**64 * (power >= 2**63) for power in powers], dtype=torch.int64, device=device)


def _hash_vertices(origin: Tensor, rank: Tensor, groups: Tensor | None) -> Tensor:
    """Hash each vertex, shape (N, D + 1): a linear function of its coordinates and group, modulo 2**64.

    If two vertices have the same hash, or the hash of a neighbor, they are blurred together. The probability is below
    one in a million for a photo, and below one in a thousand for a batch of twenty photos of 500 px.
    """
    sides = origin.shape[1]
    multipliers = _hash_multipliers(sides + 1, origin.device)
    hashes = []
    for remainder in range(sides):
        vertex = sides * (origin - (rank >= sides - remainder).long()) + remainder
        hashes.append((vertex * multipliers[:-1]).sum(1))
    hashed = torch.stack(hashes, 1)
    return hashed if groups is None else hashed.add_((groups.long() * multipliers[-1])[:, None])


def _find_neighbors(keys: Tensor, sides: int) -> Tensor:
    """Find the next and the previous vertex along each axis (`Lattice.neighbors`) from the sorted hashes."""
    multipliers = _hash_multipliers(sides, keys.device)
    steps = sides * multipliers - multipliers.sum()
    return torch.stack([torch.stack([_look_up(keys, keys + step), _look_up(keys, keys - step)]) for step in steps])


def _look_up(keys: Tensor, wanted: Tensor) -> Tensor:
    """Find the index of each wanted hash in sorted keys, ``len(keys)`` if it is missing; ``len(keys)`` is appended."""
    index = torch.searchsorted(keys, wanted).clamp_(max=len(keys) - 1)
    return pad(torch.where(keys[index] == wanted, index, len(keys)), (0, 1), value=len(keys)).int()
