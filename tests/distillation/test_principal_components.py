import numpy as np
import pytest

from coarse2fine.distillation.principal_components import center, principal_directions
from coarse2fine.errors import DataError


def drifting(count: int = 60, seed: int = 0) -> list[np.ndarray]:
    """Frames whose variation falls off slowly, as that of real videos does."""
    rng = np.random.default_rng(seed)
    scenes = rng.normal(size=(12, 12, 16, 3)) / (1 + np.arange(12))[:, None, None, None]
    ways = rng.normal(size=(count, 12))
    mixed = 128 + 12 * np.tensordot(ways, scenes, 1) + rng.normal(scale=2, size=(count, 12, 16, 3))
    return list(mixed.clip(0, 255).astype(np.uint8))


def by_gram_matrix(frames: list[np.ndarray], count: int) -> np.ndarray:
    """As the source writes it: eigenvectors of the n x n Gram matrix, here turned into directions."""
    columns = np.stack([center(frame) for frame in frames]).astype(np.float64).T
    values, vectors = np.linalg.eigh(columns.T @ columns)
    directions = columns @ vectors[:, ::-1][:, :count] / np.sqrt(values[::-1][:count])
    return directions.T


def test_center__one_mean_per_frame():
    assert center(np.array([[[0, 0, 255]], [[0, 0, 255]]], np.uint8)) == pytest.approx([-1 / 3, -1 / 3, 2 / 3] * 2)


def test_principal_directions__as_by_the_gram_matrix():
    frames = drifting()
    found, expected = principal_directions(frames), by_gram_matrix(frames, 3)
    assert found @ found.T == pytest.approx(np.eye(3), abs=1e-5)
    assert np.abs(found.T @ found - expected.T @ expected).max() < 1e-3
    other = by_gram_matrix(frames, 2)
    assert np.abs(found.T @ found - other.T @ other).max() > 0.01


@pytest.mark.parametrize("chunk", [1, 7, 60])
def test_principal_directions__chunks_change_nothing(chunk):
    frames = drifting()
    whole, parts = principal_directions(frames), principal_directions(frames, chunk=chunk)
    assert np.abs(whole.T @ whole - parts.T @ parts).max() < 1e-4


def test_principal_directions__same_bits_again():
    assert principal_directions(drifting()).tobytes() == principal_directions(drifting()).tobytes()


def test_principal_directions__fewer_frames_than_directions():
    frames = drifting(2)
    found = principal_directions(frames)
    assert found.shape == (2, 12 * 16 * 3)
    left = [center(frame) - found.T @ (found @ center(frame)) for frame in frames]
    assert np.abs(left).max() < 1e-5


class Counted:
    """Frames that count how often they are read."""

    def __init__(self, frames):
        self.frames, self.passes = frames, 0

    def __iter__(self):
        self.passes += 1
        return (frame.copy() for frame in self.frames)


def test_principal_directions__rest_after_a_few_passes():
    frames = Counted(drifting())
    principal_directions(frames)
    assert 2 <= frames.passes <= 12


def test_principal_directions__refuses_frames_of_two_shapes_and_none():
    with pytest.raises(DataError, match=r"same shape, found \(12, 16, 3\) and \(3, 4, 3\)"):
        principal_directions([*drifting(4), np.zeros((3, 4, 3), np.uint8)])
    with pytest.raises(DataError, match="at least one frame"):
        principal_directions([])
