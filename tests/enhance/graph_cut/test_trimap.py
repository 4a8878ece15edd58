import numpy as np
import pytest

from coarse2fine.enhance.graph_cut.trimap import log_odds, trimap_from_band, trimap_from_box, trimap_from_probabilities


def test_trimap_from_box__fixes_the_outside():
    region = np.array([[0, 1, 1, 0]], np.uint8)
    assert trimap_from_box(region).tolist() == [[0, 3, 3, 0]]


def test_trimap_from_box__a_full_region_leaves_the_frame_to_the_background():
    assert trimap_from_box(np.ones((3, 4), np.uint8)).tolist() == [[0, 0, 0, 0], [0, 3, 3, 0], [0, 0, 0, 0]]


def test_trimap_from_band__fixes_deep_pixels_on_both_sides():
    region = np.array([[0] * 6 + [1] * 6], np.uint8)
    # half width: 0.9 * sqrt(6) = 2.2 px
    assert trimap_from_band(region, 0.9).tolist() == [[0, 0, 0, 0, 2, 2, 3, 3, 1, 1, 1, 1]]


def test_trimap_from_probabilities__fixes_confident_pixels():
    soft = np.array([[0.01, 0.3, 0.6, 0.99]], np.float32)
    region = np.array([[0, 0, 1, 1]], np.uint8)
    assert trimap_from_probabilities(region, soft, 0.02).tolist() == [[0, 2, 3, 1]]
    assert trimap_from_probabilities(region, soft, 0.0).tolist() == [[2, 2, 3, 3]]


def test_trimap_from_probabilities__of_any_size():
    soft = np.array([[0.0, 1.0]], np.float32)
    region = np.array([[0] * 8 + [1] * 8] * 4, np.uint8)
    trimap = trimap_from_probabilities(region, soft, 0.02)
    assert trimap.shape == (4, 16)
    assert (trimap[:, 0] == 0).all() and (trimap[:, -1] == 1).all() and (trimap[:, 7:9] == [2, 3]).all()


def test_log_odds__of_one_half_is_zero_and_extremes_are_clipped():
    odds = log_odds(np.array([[0.0, 0.25, 0.5, 0.75, 1.0]], np.float32))
    assert odds[0] == pytest.approx([-np.log(49), -np.log(3), 0, np.log(3), np.log(49)], abs=1e-5)
