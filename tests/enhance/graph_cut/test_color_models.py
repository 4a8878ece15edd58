import numpy as np
import pytest

from coarse2fine.enhance.graph_cut.color_models import (
    COMPONENTS,
    MAX_SAMPLES,
    initialize_models,
    log_likelihood_ratio,
    update_models,
)

BLUE, ORANGE, GREEN = (40, 70, 160), (220, 130, 40), (40, 200, 60)


def spread(color: tuple[int, int, int], count: int, seed: int = 0, sigma: float = 8) -> np.ndarray:
    grain = np.random.default_rng(seed).normal(0, sigma, (count, 3))
    return (np.array(color) + grain).clip(0, 255).astype(np.uint8)


def test_initialize_models__weights_and_means_of_well_separated_colors():
    sizes = zip((BLUE, ORANGE, GREEN), (300, 100, 100), strict=True)
    colors = np.concatenate([spread(color, size, sigma=2) for color, size in sizes])
    labels = np.repeat([0, 1], [300, 200]).astype(np.uint8)
    models = initialize_models(colors, labels)
    means = models[1, :, 1:4]
    for color in (ORANGE, GREEN):
        assert np.abs(means - color).max(axis=1).min() < 6
    assert np.abs(models[0, :, 1:4] - BLUE).max() < 6


def test_log_likelihood_ratio__is_the_log_ratio_of_two_gaussians():
    models = np.zeros((2, COMPONENTS, 10))
    models[:, :, 0] = -np.inf
    for labels, mean, variance in ((0, 100, 25.0), (1, 120, 100.0)):
        models[labels, 0] = [
            -1.5 * np.log(variance),
            mean,
            mean,
            mean,
            1 / variance,
            0,
            0,
            1 / variance,
            0,
            1 / variance,
        ]
    gray = 110
    by_hand = (-1.5 * np.log(100) - 1.5 * 10**2 / 100) - (-1.5 * np.log(25) - 1.5 * 10**2 / 25)
    assert log_likelihood_ratio(np.full((1, 3), gray, np.uint8), models)[0] == pytest.approx(by_hand, abs=1e-4)


def test_log_likelihood_ratio__adds_the_components_of_a_mixture():
    one = np.zeros((2, COMPONENTS, 10))
    one[:, :, 0] = -np.inf
    one[:, 0] = [0, 50, 50, 50, 1, 0, 0, 1, 0, 1]
    two = one.copy()
    two[1, 1] = two[1, 0]
    color = np.full((1, 3), 51, np.uint8)
    assert log_likelihood_ratio(color, one)[0] == pytest.approx(0, abs=1e-6)
    assert log_likelihood_ratio(color, two)[0] == pytest.approx(np.log(2), abs=1e-6)


def test_log_likelihood_ratio__is_bounded():
    colors = np.concatenate([spread(BLUE, 50, sigma=0), spread(ORANGE, 50, sigma=0)])
    odds = log_likelihood_ratio(colors, initialize_models(colors, np.repeat([0, 1], 50).astype(np.uint8)))
    assert (odds[:50] == -1000).all() and (odds[50:] == 1000).all()


def test_update_models__follows_pixels_that_change_their_label():
    colors = np.concatenate([spread(BLUE, 200), spread(ORANGE, 100), spread(GREEN, 100)])
    before = np.repeat([0, 1, 1], [200, 100, 100]).astype(np.uint8)
    after = np.repeat([0, 1, 0], [200, 100, 100]).astype(np.uint8)
    models = initialize_models(colors, before)
    for _ in range(3):
        models = update_models(colors, after, models)
    assert (
        log_likelihood_ratio(spread(GREEN, 20, seed=1), models).max()
        < 0
        < log_likelihood_ratio(spread(ORANGE, 20, seed=1), models).min()
    )


def test_update_models__a_mixture_with_too_few_pixels_is_kept():
    colors = np.concatenate([spread(BLUE, 200), spread(ORANGE, 100)])
    models = initialize_models(colors, np.repeat([0, 1], [200, 100]).astype(np.uint8))
    few = np.zeros(300, np.uint8)
    few[: COMPONENTS - 1] = 1
    learned = update_models(colors, few, models)
    assert (learned[1] == models[1]).all() and (learned[0] != models[0]).any()


def test_initialize_models__many_pixels_are_sampled_evenly():
    colors = np.concatenate([spread(BLUE, 5 * MAX_SAMPLES), spread(GREEN, 5 * MAX_SAMPLES), spread(ORANGE, 60)])
    labels = np.repeat([0, 1], [10 * MAX_SAMPLES, 60]).astype(np.uint8)
    models = initialize_models(colors, labels)
    for color in (BLUE, GREEN):
        assert np.abs(models[0, :, 1:4] - color).max(axis=1).min() < 8
    assert log_likelihood_ratio(spread(ORANGE, 20, seed=2), models).min() > 0


@pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255), (10, 200, 30)])
def test_initialize_models__equal_colors_have_a_ratio_of_one(color):
    colors = np.full((40, 3), color, np.uint8)
    models = initialize_models(colors, np.repeat([0, 1], 20).astype(np.uint8))
    assert log_likelihood_ratio(colors, models) == pytest.approx(np.zeros(40), abs=1e-6)
