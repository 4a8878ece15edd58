import numpy as np

from coarse2fine.app.images import fit_size, lay_drawn
from coarse2fine.masks.resize import resize_mask


def test_fit_size__only_shrinks():
    assert fit_size((30, 40), 100) == (30, 40)
    assert fit_size((3000, 4000), 2000) == (1500, 2000)
    assert fit_size((1, 9000), 100) == (1, 100)


def test_lay_drawn__changes_what_was_drawn_and_nothing_else():
    rng = np.random.default_rng(0)
    before = rng.integers(0, 3, (60, 80), np.uint8)
    small = resize_mask(before, 30, 40)
    assert np.array_equal(lay_drawn(before, small.copy()), before)
    drawn = small.copy()
    drawn[5:10, 5:10] = 7
    laid = lay_drawn(before, drawn)
    assert (laid[10:20, 10:20] == 7).all()
    laid[10:20, 10:20] = before[10:20, 10:20]
    assert np.array_equal(laid, before)
    assert lay_drawn(small, drawn) is drawn
