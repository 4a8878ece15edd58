import numpy as np
import pytest

from coarse2fine.distillation.selection import mean_nonzero, select_best


def test_mean_nonzero__mean_of_the_non_zero_pixels():
    assert mean_nonzero(np.array([[0, 0.5], [1, 0]], np.float32)) == 0.75
    assert mean_nonzero(np.zeros((2, 2), np.float32)) == 0


@pytest.mark.parametrize(
    ("scores", "keep_share", "kept"),
    [
        ([0.1, 0.9, 0.5, 0.7], 0.5, [False, True, False, True]),
        ([0.5, 0.5, 0.5, 0.5], 0.5, [True, True, False, False]),
        ([0.0, 0.0, 0.2], 1.0, [False, False, True]),
        ([0.3, 0.4], 0.01, [False, True]),
        ([0.0], 1.0, [False]),
        ([], 0.15, []),
    ],
    ids=["best share", "ties go to the earlier", "empty masks never stay", "at least one", "nothing", "none"],
)
def test_select_best__keeps_the_best_share(scores, keep_share, kept):
    assert select_best(scores, keep_share) == kept
