import numpy as np

from coarse2fine.app.images import apply_drawing
from coarse2fine.masks.resize import resize_mask


def test_apply_drawing__changes_the_drawn_pixels_only():
    rng = np.random.default_rng(0)
    before = rng.integers(0, 3, (60, 80), np.uint8)
    small = resize_mask(before, 30, 40)
    assert np.array_equal(apply_drawing(before, small.copy()), before)
    drawn = small.copy()
    drawn[5:10, 5:10] = 7
    merged = apply_drawing(before, drawn)
    assert (merged[10:20, 10:20] == 7).all()
    merged[10:20, 10:20] = before[10:20, 10:20]
    assert np.array_equal(merged, before)
    assert apply_drawing(small, drawn) is drawn
