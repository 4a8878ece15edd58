import numpy as np
import pytest

from coarse2fine.enhance.graph_cut.pixel_graph import CAPACITY_SCALE, build_graph, mean_contrast
from coarse2fine.enhance.graph_cut.trimap import (
    PROBABLE_BACKGROUND,
    PROBABLE_FOREGROUND,
    SURE_BACKGROUND,
    SURE_FOREGROUND,
)

RIGHT, BELOW, BELOW_RIGHT = 4, 6, 7


def gray(*rows: list[int]) -> np.ndarray:
    return np.repeat(np.array(rows, np.uint8)[..., None], 3, axis=2)


def test_mean_contrast__by_hand():
    # pairs: right 0-2 and 2-2; below none; squared distance over three channels
    assert mean_contrast(gray([0, 2, 2])) == pytest.approx((3 * 4 + 0) / 2)
    # right: 0-1, 0-1; below: 0-0, 1-1; diagonal: 0-1, 1-0
    assert mean_contrast(gray([0, 1], [0, 1])) == pytest.approx(3 * 4 / 6)


def test_mean_contrast__of_one_pixel_is_zero():
    assert mean_contrast(gray([7])) == 0


def test_build_graph__weights_by_hand():
    image = gray([0, 2], [0, 2])
    trimap = np.full((2, 2), PROBABLE_FOREGROUND, np.uint8)
    pixels, graph = build_graph(image, trimap, 50.0)
    sharpness = 1 / (2 * (12 * 4 / 6))
    across = 50 * np.exp(-sharpness * 12)
    assert pixels.tolist() == [0, 1, 2, 3]
    assert graph.capacity[0, BELOW] == 50 * CAPACITY_SCALE
    assert graph.capacity[0, RIGHT] == pytest.approx(across * CAPACITY_SCALE, abs=1)
    assert graph.capacity[0, BELOW_RIGHT] == pytest.approx(across / 2**0.5 * CAPACITY_SCALE, abs=1)
    assert graph.neighbor[0, [RIGHT, BELOW, BELOW_RIGHT]].tolist() == [1, 2, 3]
    assert graph.capacity[3, 0] == graph.capacity[0, BELOW_RIGHT] and graph.neighbor[3, 0] == 0
    assert (graph.terminal_capacity == 0).all()


def test_build_graph__missing_neighbors_have_no_capacity():
    _, graph = build_graph(gray([0, 0, 0]), np.full((1, 3), PROBABLE_BACKGROUND, np.uint8), 50.0)
    missing = graph.neighbor == 3
    assert (graph.capacity[missing] == 0).all()
    assert (~missing).sum() == 4


def test_build_graph__fixed_neighbors_add_terminal_capacity():
    trimap = np.array([[SURE_FOREGROUND, PROBABLE_BACKGROUND, PROBABLE_BACKGROUND, SURE_BACKGROUND]], np.uint8)
    pixels, graph = build_graph(gray([0, 0, 0, 0]), trimap, 50.0)
    assert pixels.tolist() == [1, 2]
    assert graph.terminal_capacity.tolist() == [50 * CAPACITY_SCALE, -50 * CAPACITY_SCALE, 0]
    assert graph.capacity[0, RIGHT] == 50 * CAPACITY_SCALE
