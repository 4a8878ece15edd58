import numpy as np
import pytest
import torch
from torch import Tensor

from coarse2fine.enhance.dense_crf import lattice
from coarse2fine.enhance.dense_crf.lattice import blur_points, build_lattice


def grid(dimensions: int, spacing: float, side: int) -> Tensor:
    axis = torch.arange(side) * spacing
    return torch.stack(torch.meshgrid(*[axis] * dimensions, indexing="ij"), -1).reshape(-1, dimensions)


def scattered(count: int, dimensions: int = 5) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(0, 1.5, (count, dimensions)).astype(np.float32))


def gaussian(points: Tensor) -> Tensor:
    return (-0.5 * torch.cdist(points, points) ** 2).exp()


def test_build_lattice__weights_are_barycentric():
    points = scattered(300)
    built = build_lattice(points)
    assert built.vertices.shape == built.weights.shape == (300, 6)
    assert built.weights.min() >= -1e-5 and torch.allclose(built.weights.sum(1), torch.ones(300), atol=1e-5)
    number = len(built.offsets) - 1
    assert built.vertices.unique().tolist() == list(range(number))
    for lattice_point in (0, number // 2, number - 1):
        inside = built.points[built.offsets[lattice_point] : built.offsets[lattice_point + 1]].tolist()
        assert inside == (built.vertices == lattice_point).any(1).nonzero().flatten().tolist()


def test_build_lattice__neighbors_are_mutual():
    built = build_lattice(scattered(300))
    number = len(built.offsets) - 1
    after, before = built.neighbors[:, 0].long(), built.neighbors[:, 1].long()
    found = 0
    for axis in range(6):
        there = after[axis] < number
        assert (before[axis][after[axis][there]] == there.nonzero().flatten()).all()
        found += int(there.sum())
        assert after[axis, number] == before[axis, number] == number
    assert found > 100


@pytest.mark.parametrize("dimensions, side", [(1, 80), (2, 60), (3, 24)])
def test_blur_points__has_a_sigma_of_one_on_every_axis(dimensions, side):
    points = grid(dimensions, 0.25 if dimensions < 3 else 0.5, side)
    middle = points - points[len(points) // 2 + sum(side**axis for axis in range(dimensions)) // 2]
    impulse = (middle.abs().sum(1, keepdim=True) < 0.01).float()
    assert impulse.sum() == 1
    blurred = blur_points(build_lattice(points), impulse)
    assert blurred.min() >= 0
    variance = (blurred * middle**2).sum(0) / blurred.sum()
    assert torch.allclose(variance, torch.ones(dimensions), atol=0.35)


def test_blur_points__approximates_a_gaussian():
    points = grid(2, 0.25, 24)
    values = torch.stack([points[:, 0] < 3, points[:, 1] + points[:, 0] < 4], 1).float()
    exact = gaussian(points)
    wanted = exact @ values / exact.sum(1, keepdim=True)
    built = build_lattice(points)
    found = blur_points(built, values) / blur_points(built, torch.ones(len(points), 1))
    assert (found - wanted).abs().mean() < 0.01 < 0.1 < (values - wanted).abs().mean()
    wide = gaussian(points / 1.25)
    assert (found - wide @ values / wide.sum(1, keepdim=True)).abs().mean() > 0.015


def test_blur_points__distant_points_are_independent():
    points = torch.tensor([[0.0] * 5, [0.1] * 5, [50.0] * 5])
    blurred = blur_points(build_lattice(points), torch.tensor([[1.0], [1.0], [5.0]])).flatten()
    alone = blur_points(build_lattice(points[2:]), torch.tensor([[5.0]])).flatten()
    assert blurred[2] == alone[0] and blurred[0] < 2.1


def test_build_lattice__groups_share_no_vertex_and_no_neighbor():
    points, values = scattered(200), torch.rand(400, 3, generator=torch.Generator().manual_seed(0))
    groups = torch.arange(2, dtype=torch.int32).repeat_interleave(200)
    twice = torch.cat([points, points])
    apart, alone = build_lattice(twice, groups), build_lattice(points)
    assert len(apart.offsets) - 1 == 2 * (len(alone.offsets) - 1)
    number = len(apart.offsets) - 1
    group_of = torch.full((number + 1,), -1)
    for group in range(2):
        group_of[apart.vertices[groups == group].long().flatten()] = group
    for after, before in apart.neighbors.long():
        for neighbor in (after, before):
            assert ((group_of[neighbor] == group_of) | (neighbor == number))[:number].all()
    blurred = blur_points(apart, values)
    assert (blurred[:200] == blur_points(alone, values[:200])).all()
    assert (blurred[200:] == blur_points(alone, values[200:])).all()
    assert (blur_points(build_lattice(twice), values) != blurred).any()


def test_blur_points__many_channels_equal_single_channels(monkeypatch):
    points, values = scattered(100), torch.rand(100, 7, generator=torch.Generator().manual_seed(0))
    built = build_lattice(points)
    whole = blur_points(built, values)
    monkeypatch.setattr(lattice, "MAX_CHANNELS", 3)
    assert torch.allclose(blur_points(built, values), whole, rtol=1e-5)
    assert (whole[:, 0] != whole[:, 1]).any()
