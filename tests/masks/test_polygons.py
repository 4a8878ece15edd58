import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as run_lengths

from coarse2fine.masks.polygons import trace_centers, trace_edges

small_masks = arrays(np.uint8, st.tuples(st.integers(1, 16), st.integers(1, 16)), elements=st.integers(0, 1))


def fill(rings, shape) -> np.ndarray:
    filled = np.zeros(shape, np.uint8)
    for ring in rings:
        part = np.zeros(shape, np.uint8)
        cv2.fillPoly(part, [ring], 1)
        filled |= part
    return filled


def fill_as_coco(rings, shape) -> np.ndarray:
    if not rings:
        return np.zeros(shape, np.uint8)
    parts = run_lengths.frPyObjects([ring.ravel().tolist() for ring in rings], *shape)
    return run_lengths.decode(run_lengths.merge(parts))


def large_mask() -> np.ndarray:
    """A mask of 4,000 x 3,000 pixels: a disc with holes, a disc in a hole, a thin line and single pixels."""
    mask = np.zeros((3000, 4000), np.uint8)
    cv2.circle(mask, (2000, 1500), 1400, 1, -1)
    for x in range(900, 3200, 150):
        cv2.circle(mask, (x, 1500 + x % 7 * 40), 30, 0, -1)
    cv2.circle(mask, (1500, 900), 200, 0, -1)
    cv2.circle(mask, (1500, 900), 100, 1, -1)
    cv2.line(mask, (0, 2999), (3999, 0), 1, 1)
    mask[::500, ::500] = 1
    return mask


@pytest.mark.slow
@given(small_masks)
@settings(max_examples=300, deadline=None)
def test_trace_centers__fills_to_the_same_mask(mask):
    assert np.array_equal(fill(trace_centers(mask), mask.shape), mask)


@pytest.mark.slow
@given(small_masks)
@settings(max_examples=300, deadline=None)
def test_trace_edges__fills_to_the_same_mask(mask):
    assert np.array_equal(fill_as_coco(trace_edges(mask), mask.shape), mask)


@given(small_masks)
@settings(max_examples=100, deadline=None)
def test_trace__one_ring_for_every_part(mask):
    parts = cv2.connectedComponents(mask, connectivity=8)[0] - 1
    assert len(trace_centers(mask)) == len(trace_edges(mask)) == parts


def test_trace_centers__a_ring_is_one_polygon_with_a_bridge():
    mask = np.ones((5, 7), np.uint8)
    mask[2, 3] = 0
    (ring,) = trace_centers(mask)
    corners = [tuple(corner) for corner in ring.tolist()]
    assert {(0, 0), (6, 0), (6, 4), (0, 4)} <= set(corners)
    assert corners.count((2, 2)) == 2 and (0, 2) in corners  # there and back


def test_trace_centers__few_pixels_still_make_a_polygon():
    mask = np.zeros((3, 9), np.uint8)
    mask[1, 1] = mask[1, 4:6] = 1
    rings = sorted(trace_centers(mask), key=lambda ring: ring[0, 0])
    assert [len(ring) for ring in rings] == [3, 3]
    assert {tuple(corner) for corner in rings[1].tolist()} == {(4, 1), (5, 1)}


@pytest.mark.parametrize("trace, fill_back", [(trace_centers, fill), (trace_edges, fill_as_coco)])
def test_trace__twelve_megapixels(trace, fill_back):
    mask = large_mask()
    rings = trace(mask)
    assert np.array_equal(fill_back(rings, mask.shape), mask)
    assert sum(map(len, rings)) < 60_000  # corners only where an outline turns
