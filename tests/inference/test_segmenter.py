import numpy as np
import pytest

from coarse2fine.inference.segmenter import likeliest, plan_batches, working_shape


@pytest.mark.parametrize(
    "shape, size_px, working",
    [
        ((375, 500), 320, (256, 320)),
        ((500, 375, 3), 320, (320, 256)),
        ((1, 4000), 320, (32, 320)),
        ((9, 9), 64, (64, 64)),
    ],
)
def test_working_shape__multiples_of_the_deepest_stride(shape, size_px, working):
    assert working_shape(shape, size_px) == working


def test_plan_batches__one_shape_per_batch_every_photo_once():
    shapes = {0: (32, 64), 1: (64, 32), 2: (32, 64), 3: (32, 64), 5: (64, 32)}
    assert plan_batches(shapes, 2) == [[0, 2], [3], [1, 5]]


def test_likeliest__ties_go_to_the_lower_class():
    scores = np.zeros((3, 1, 4), np.float32)
    scores[:, 0] = [[0.5, 0.3, 0.2, 0.4], [0.5, 0.4, 0.3, 0.2], [0.0, 0.3, 0.5, 0.4]]
    assert likeliest(scores, 1, 4).tolist() == [[0, 1, 2, 0]]
    assert likeliest(scores, 3, 8).shape == (3, 8)


def test_likeliest__leaves_the_scores_as_they_were():
    scores = np.array([[[0.2]], [[0.8]]], np.float32)
    assert likeliest(scores, 1, 1).tolist() == [[1]]
    assert scores[:, 0, 0].tolist() == pytest.approx([0.2, 0.8])
