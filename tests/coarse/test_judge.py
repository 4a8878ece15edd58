import numpy as np
import pytest

from coarse2fine.coarse.judge import score_masks


def draw(photos: int, masks_of) -> tuple[list, list]:
    """Features of two channels, object and background, at random cells, and the masks that ``masks_of`` makes."""
    rng = np.random.default_rng(0)
    objects = [(rng.random((6, 8)) > 0.5).astype(np.uint8) for _ in range(photos)]
    features = [np.stack([one, 1 - one], axis=-1).astype(np.float32) for one in objects]
    return features, [masks_of(one, rng) for one in objects]


def test_score_masks__those_of_the_objects_are_predicted_and_random_ones_are_not():
    features, masks = draw(10, lambda one, rng: [one, (rng.random(one.shape) > 0.5).astype(np.uint8)])
    objects, noise = score_masks(features, masks)
    assert objects == pytest.approx(1, abs=1e-3) and abs(noise) < 0.2


def test_score_masks__a_mask_that_is_the_reverse_counts_as_much_and_an_empty_one_counts_0():
    features, masks = draw(4, lambda one, _: [1 - one, np.zeros_like(one), np.ones_like(one)])
    assert score_masks(features, masks) == pytest.approx([1, 0, 0], abs=1e-3)


def test_score_masks__masks_of_any_size():
    features, masks = draw(4, lambda one, _: [np.kron(one, np.ones((5, 5), np.uint8))])
    assert score_masks(features, masks) == pytest.approx([1], abs=1e-3)
