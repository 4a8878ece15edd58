import numpy as np
import pytest

from coarse2fine.coarse.box import centred_box
from coarse2fine.errors import ConfigError


def photo(height, width):
    return np.zeros((height, width, 3), np.uint8)


def test_centred_box__spans_the_share_of_each_side():
    soft = centred_box(photo(5, 10), share=0.6)
    expected = np.zeros((5, 10))
    expected[1:4, 2:8] = 1
    np.testing.assert_array_equal(soft, expected)
    assert soft.dtype == np.float32


def test_centred_box__share_1_is_everything():
    assert centred_box(photo(4, 7), share=1.0).all()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (2, 3)])
def test_centred_box__never_vanishes(height, width):
    soft = centred_box(photo(height, width), share=0.01)
    assert soft.shape == (height, width)
    assert soft.sum() == 1


@pytest.mark.parametrize("share", [0.0, -0.5, 1.1, float("nan")])
def test_centred_box__impossible_share_is_refused(share):
    with pytest.raises(ConfigError, match="above 0 and at most 1"):
        centred_box(photo(4, 4), share=share)
