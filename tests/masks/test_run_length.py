import numpy as np
import pytest
from cvat_sdk.masks import decode_mask, encode_mask
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from label_studio_converter.brush import decode_rle, encode_rle

from coarse2fine.errors import DataError
from coarse2fine.masks.run_length import decode_brush, decode_counts, encode_brush, encode_counts, find_runs

masks = arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 40)), elements=st.integers(0, 1), fill=st.just(0))


def as_brush(mask: np.ndarray) -> np.ndarray:
    return np.repeat(mask.ravel() * np.uint8(255), 4)


def test_find_runs__lengths_in_order():
    assert find_runs(np.array([1, 1, 0, 5], np.uint8)).tolist() == [2, 1, 1]
    assert find_runs(np.zeros(0, np.uint8)).tolist() == []


@given(masks)
@settings(max_examples=150, deadline=None)
def test_encode_brush__read_by_label_studio(mask):
    assert np.array_equal(decode_rle(encode_brush(mask)), as_brush(mask))


@given(masks)
@settings(max_examples=150, deadline=None)
def test_decode_brush__what_label_studio_wrote(mask):
    assert np.array_equal(decode_brush(encode_rle(as_brush(mask)), *mask.shape), mask)


@pytest.mark.parametrize("pixels", [1, 2, 3, 4, 5, 64, 65, 16384, 16385, 40000])
def test_encode_brush__runs_of_every_size(pixels):
    mask = np.ones((1, pixels + 1), np.uint8)
    mask[0, 0] = 0
    assert np.array_equal(decode_rle(encode_brush(mask)), as_brush(mask))
    assert np.array_equal(decode_brush(encode_brush(mask), 1, pixels + 1), mask)


def test_decode_brush__runs_of_single_values_and_half_opaque_edges():
    """The browser writes values one by one where they differ, and softens the brush's edge."""
    bits = f"{12:032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}" + "0" + "01" + f"{11:04b}"
    pixels = [(1, 2, 3, 127), (1, 2, 3, 128), (0, 0, 0, 0)]
    bits += "".join(f"{value:08b}" for pixel in pixels for value in pixel)
    bits += "0" * (-len(bits) % 8)
    data = [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]
    assert decode_brush(data, 1, 3).tolist() == [[0, 1, 0]]


@pytest.mark.parametrize(
    "spoil", [lambda rle: rle[:-3], lambda rle: [255, *rle[1:]], lambda rle: [], lambda rle: [300]]
)
def test_decode_brush__damaged(spoil):
    rle = encode_brush(np.eye(5, dtype=np.uint8))
    with pytest.raises(DataError, match="5 x 5 pixels in four channels"):
        decode_brush(spoil(rle), 5, 5)


@given(masks)
@settings(max_examples=150, deadline=None)
def test_counts__as_cvat_has_them(mask):
    height, width = mask.shape
    counts, box = encode_counts(mask), [0, 0, width - 1, height - 1]
    assert np.array_equal(decode_mask([*counts, *box], image_width=width, image_height=height), mask)
    theirs = encode_mask(mask.astype(bool), [0, 0, width, height])[:-4]
    assert np.array_equal(decode_counts([int(count) for count in theirs], height, width), mask)


@pytest.mark.parametrize("counts", [[], [3], [-1, 5], [2, 3]])
def test_decode_counts__must_add_up(counts):
    with pytest.raises(DataError, match="2 x 2 pixels must have the sum 4"):
        decode_counts(counts, 2, 2)
