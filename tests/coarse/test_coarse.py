import numpy as np
import pytest

from coarse2fine.coarse import METHODS, binarise, centred_box, coarse_from, saliency
from coarse2fine.config import CoarseConfig
from coarse2fine.errors import ConfigError

PHOTO = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


def test_coarse_from__box_uses_its_share():
    soft = coarse_from(CoarseConfig(method="box", box_share=0.5))(PHOTO)
    np.testing.assert_array_equal(soft, centred_box(PHOTO, 0.5))
    assert soft.sum() == 20 * 30


def test_coarse_from__saliency_uses_its_size():
    soft = coarse_from(CoarseConfig(method="saliency", max_side_px=30))(PHOTO)
    np.testing.assert_array_equal(soft, saliency(PHOTO, max_side_px=30))
    assert not np.array_equal(soft, saliency(PHOTO, max_side_px=60))


def test_coarse_from__folder_is_read_not_computed(tmp_path):
    with pytest.raises(ConfigError, match=r"found 'folder'.*coarse\.folder"):
        coarse_from(CoarseConfig(method="folder", folder=tmp_path))


@pytest.mark.parametrize("method", METHODS)
def test_coarse_from__every_method_keeps_the_contract(method):
    soft = coarse_from(CoarseConfig(method=method))(PHOTO)
    assert (soft.shape, soft.dtype) == ((40, 60), np.float32)
    assert (soft.min(), soft.max()) == (0, 1)


def test_binarise__number_is_the_threshold_and_the_tie_is_background():
    soft = np.array([[0.1, 0.5, 0.6]], np.float32)
    mask = binarise(soft, threshold=0.5)
    np.testing.assert_array_equal(mask, [[0, 0, 1]])
    assert mask.dtype == np.uint8


def test_binarise__otsu_splits_two_groups_below_one_half():
    soft = np.array([[0.0, 0.02, 0.04, 0.3, 0.32]], np.float32)
    np.testing.assert_array_equal(binarise(soft, "otsu"), [[0, 0, 0, 1, 1]])


@pytest.mark.parametrize(("value", "expected"), [(0.0, 0), (0.3, 0), (0.5, 0), (1.0, 1)])
def test_binarise__otsu_on_a_constant_falls_back_to_one_half(value, expected):
    mask = binarise(np.full((2, 3), value, np.float32), "otsu")
    np.testing.assert_array_equal(mask, np.full((2, 3), expected))
