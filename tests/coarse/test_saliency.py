from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from coarse2fine.coarse.saliency import (
    Superpixels,
    estimate_background,
    find_superpixels,
    optimize,
    saliency,
    weigh_contrast,
)


def draw_square(height=90, width=120, seed=0):
    """Draw a reddish square on noisy grass; returns photo and true mask."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), bool)
    mask[height // 3 : height * 2 // 3, width // 3 : width * 2 // 3] = True
    photo = np.where(mask[..., None], (200, 60, 50), (60, 140, 60))
    return (photo + rng.integers(-10, 11, photo.shape)).astype(np.uint8), mask


def chain(colors):
    """Five superpixels in a row; only the first and the last touch the border."""
    nodes = len(colors)
    steps = np.abs(np.subtract.outer(np.arange(nodes), np.arange(nodes)))
    superpixels = Superpixels(
        labels=np.arange(nodes)[None],
        colors=np.array([[lightness, 0, 0] for lightness in colors], float),
        positions=np.array([[0, node / nodes] for node in range(nodes)]),
        adjacent=steps <= 1,
        at_border=np.isin(np.arange(nodes), [0, nodes - 1]),
    )
    return superpixels, np.abs(np.subtract.outer(np.array(colors, float), np.array(colors, float)))


def test_saliency__object_stands_out():
    photo, mask = draw_square()
    soft = saliency(photo)
    assert soft[mask].mean() > 0.9
    assert soft[~mask].mean() < 0.1


def test_saliency__background_of_two_colors_stays_background():
    photo, mask = draw_square()
    photo[:30][~mask[:30]] = (90, 160, 220)
    soft = saliency(photo)
    assert soft[mask].mean() > 0.8
    assert soft[~mask].mean() < 0.2


def test_saliency__object_that_touches_the_border_is_still_found():
    photo, _ = draw_square()
    photo[50:, 50:75] = (200, 60, 50)
    soft = saliency(photo)
    assert soft[85:, 55:70].mean() > 0.8
    assert soft[85:, :40].mean() < 0.2


def test_saliency__gray_photo_works():
    photo, mask = draw_square()
    gray = np.repeat(photo[..., :1], 3, axis=2)
    soft = saliency(gray)
    assert soft[mask].mean() > 0.9
    assert soft[~mask].mean() < 0.1


def test_saliency__is_computed_small_and_returned_large():
    photo, mask = draw_square(height=300, width=400)
    soft = saliency(photo, max_side_px=80)
    assert soft.shape == (300, 400)
    assert soft[mask].mean() > 0.8
    assert soft[~mask].mean() < 0.2


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (8, 8), (1, 300), (300, 1), (2, 900), (700, 5), (37, 41)])
@pytest.mark.parametrize("contents", ["noise", "halves"])
def test_saliency__any_shape_gives_finite_values(shape, contents):
    photo = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    if contents == "halves":
        photo[:] = np.where(np.arange(shape[1]) < shape[1] // 2, 0, 255)[None, :, None]
    soft = saliency(photo)
    assert (soft.shape, soft.dtype) == (shape, np.float32)
    assert np.isfinite(soft).all()
    assert 0 <= soft.min() <= soft.max() <= 1


@pytest.mark.parametrize("level", [0, 127, 255])
def test_saliency__flat_photo_has_no_foreground(level):
    photo = np.full((60, 80, 3), level, np.uint8)
    photo[30:40, 30:40] ^= 1
    assert not saliency(photo).any()


def test_saliency__same_in_every_thread():
    photos = [draw_square(seed=seed)[0] for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(saliency, photos))
    for photo, soft in zip(photos, threaded, strict=True):
        np.testing.assert_array_equal(soft, saliency(photo))


def test_find_superpixels__describes_its_pixels():
    photo, _ = draw_square()
    superpixels = find_superpixels(photo)
    nodes = len(superpixels.colors)
    assert 100 < nodes <= 300
    np.testing.assert_array_equal(np.unique(superpixels.labels), np.arange(nodes))
    np.testing.assert_allclose(superpixels.positions[0], [0, 0], atol=0.1)
    assert set(np.flatnonzero(superpixels.at_border)) >= set(superpixels.labels[0])
    assert not superpixels.at_border[superpixels.labels[45, 60]]
    assert superpixels.adjacent[superpixels.labels[44, 60], superpixels.labels[45, 60]]
    assert not superpixels.adjacent[superpixels.labels[0, 0], superpixels.labels[45, 60]]


def test_find_superpixels__colors_are_lab():
    white = find_superpixels(np.full((20, 20, 3), 255, np.uint8))
    np.testing.assert_allclose(white.colors, np.tile([[100, 0, 0]], (len(white.colors), 1)), atol=0.1)


def test_estimate_background__one_region_counts_its_border_over_the_root_of_its_area():
    superpixels, distances = chain([50, 50, 50, 50, 50])
    connectivity = 2 / np.sqrt(5)
    np.testing.assert_allclose(estimate_background(superpixels, distances), 1 - np.exp(-(connectivity**2) / 2))


def test_estimate_background__paths_follow_small_steps_of_color():
    superpixels, distances = chain([0, 90, 90, 90, 0])
    background = estimate_background(superpixels, distances)
    np.testing.assert_allclose(background[[0, 4]], 1 - np.exp(-1), rtol=1e-6)  # two border nodes, area 2
    np.testing.assert_allclose(background[1:4], 0, atol=1e-6)


def test_weigh_contrast__only_probable_background_counts():
    superpixels, distances = chain([0, 90, 90, 90, 0])
    contrast = weigh_contrast(superpixels, distances, np.array([1.0, 0, 0, 0, 0]))
    assert contrast[1] == 1  # of the unlike ones the nearest
    assert contrast[1] > contrast[2] > contrast[3] > contrast[4] == contrast[0] == 0


def test_optimize__two_nodes_by_hand():
    superpixels, distances = chain([0, 0])
    values = optimize(superpixels, distances, background=np.array([1.0, 0]), foreground=np.array([0, 1.0]))
    # Smoothness weighs 1 + 0.1: minimize x^2 + (1 - y)^2 + 1.1 (x - y)^2.
    np.testing.assert_allclose(values, [1.1 / 3.2, 2.1 / 3.2])


def test_optimize__values_pass_on_to_neighbors_of_like_color():
    superpixels, distances = chain([0, 0, 0, 90, 90])
    values = optimize(superpixels, distances, np.array([1.0, 0, 0, 0, 0]), np.array([0, 0, 0, 0, 1.0]))
    assert values[0] < values[1] < values[2] < 0.4
    assert 0.6 < values[3] < values[4]
