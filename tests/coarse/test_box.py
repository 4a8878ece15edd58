import numpy as np
import pytest

from coarse2fine.coarse import binarize, coarse_from, saliency
from coarse2fine.coarse.box import centered_box
from coarse2fine.config import CoarseBoxConfig, CoarseConfig, CoarseFolderConfig
from coarse2fine.errors import ConfigError

PHOTO = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


def photo(height, width):
    return np.zeros((height, width, 3), np.uint8)


def test_centered_box__spans_the_share_of_each_side():
    soft = centered_box(photo(5, 10), share=0.6)
    expected = np.zeros((5, 10))
    expected[1:4, 2:8] = 1
    np.testing.assert_array_equal(soft, expected)
    assert soft.dtype == np.float32


def test_centered_box__share_1_is_everything():
    assert centered_box(photo(4, 7), share=1.0).all()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (2, 3)])
def test_centered_box__never_vanishes(height, width):
    soft = centered_box(photo(height, width), share=0.01)
    assert soft.shape == (height, width)
    assert soft.sum() == 1


@pytest.mark.parametrize("share", [0.0, -0.5, 1.1, float("nan")])
def test_centered_box__impossible_share_is_refused(share):
    with pytest.raises(ConfigError, match="above 0 and at most 1"):
        centered_box(photo(4, 4), share=share)


def test_coarse_from__box_uses_its_share():
    soft = coarse_from(CoarseConfig(method="box", box=CoarseBoxConfig(share=0.5)))(PHOTO)
    np.testing.assert_array_equal(soft, centered_box(PHOTO, 0.5))
    assert soft.sum() == 20 * 30


def test_coarse_from__saliency_at_its_size():
    soft = coarse_from(CoarseConfig(method="saliency"))(PHOTO)
    np.testing.assert_array_equal(soft, saliency(PHOTO))
    assert not np.array_equal(soft, saliency(PHOTO, max_side_px=30))


def test_coarse_from__folder_is_read_not_computed(tmp_path):
    with pytest.raises(ConfigError, match=r"found 'folder'.*coarse\.folder"):
        coarse_from(CoarseConfig(method="folder", folder=CoarseFolderConfig(path=tmp_path)))


@pytest.mark.parametrize("method", ["box", "saliency"])  # those with networks have their own tests
def test_coarse_from__every_method_keeps_the_contract(method):
    soft = coarse_from(CoarseConfig(method=method))(PHOTO)
    assert (soft.shape, soft.dtype) == ((40, 60), np.float32)
    assert (soft.min(), soft.max()) == (0, 1)


def test_binarize__number_is_the_threshold_and_the_tie_is_background():
    soft = np.array([[0.1, 0.5, 0.6]], np.float32)
    mask = binarize(soft, threshold=0.5)
    np.testing.assert_array_equal(mask, [[0, 0, 1]])
    assert mask.dtype == np.uint8


def test_binarize__otsu_splits_two_groups_below_one_half():
    soft = np.array([[0.0, 0.02, 0.04, 0.3, 0.32]], np.float32)
    np.testing.assert_array_equal(binarize(soft, "otsu"), [[0, 0, 0, 1, 1]])


@pytest.mark.parametrize(("value", "expected"), [(0.0, 0), (0.3, 0), (0.5, 0), (1.0, 1)])
def test_binarize__otsu_on_a_constant_falls_back_to_one_half(value, expected):
    mask = binarize(np.full((2, 3), value, np.float32), "otsu")
    np.testing.assert_array_equal(mask, np.full((2, 3), expected))
