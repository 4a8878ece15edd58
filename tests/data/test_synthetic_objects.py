import numpy as np
import pytest

from coarse2fine.data.synthetic_objects import OBJECTS, draw_noise, draw_object, ellipse, pick_color


@pytest.mark.parametrize("name", sorted(OBJECTS))
def test_draw_object__covers_its_share_and_keeps_off_the_corners(name):
    sprites = [draw_object(name, np.random.default_rng(seed), 120) for seed in range(12)]
    for sprite in sprites:
        assert sprite.color.shape == (120, 120, 3)
        assert set(np.unique(sprite.alpha)) == {0, 255}
        corners = sprite.alpha[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert not corners.any()
    cover = np.mean([sprite.alpha > 0 for sprite in sprites])
    assert cover == pytest.approx(OBJECTS[name].cover, abs=0.06)


@pytest.mark.parametrize("name", sorted(OBJECTS))
def test_draw_object__no_two_are_alike_and_all_have_texture(name):
    first, second = (draw_object(name, np.random.default_rng(seed), 120) for seed in (0, 1))
    assert np.mean(first.alpha != second.alpha) > 0.01
    assert np.abs(first.color[60, 60] - second.color[60, 60]).max() > 1
    assert first.color[first.alpha > 0].std(axis=0).max() > 8


def test_draw_object__same_generator_state_same_object():
    first, second = (draw_object("fish", np.random.default_rng(5), 90) for _ in range(2))
    assert (first.color == second.color).all()
    assert (first.alpha == second.alpha).all()


def test_draw_noise__spans_0_to_1_and_is_smooth():
    noise = draw_noise(np.random.default_rng(0), 64, cells=3, octaves=2)
    assert (noise.min(), noise.max()) == (0, 1)
    assert np.abs(np.diff(noise, axis=1)).max() < 0.2


def test_draw_noise__stretch_makes_features_longer_along_y():
    noise = draw_noise(np.random.default_rng(0), 96, cells=24, octaves=3, stretch=8)
    assert np.abs(np.diff(noise, axis=1)).mean() > 3 * np.abs(np.diff(noise, axis=0)).mean()


@pytest.mark.parametrize(
    ("hue", "saturation", "value", "rgb"),
    [
        (0, 1, 1, (255, 0, 0)),
        (1 / 3, 1, 1, (0, 255, 0)),
        (-1 / 3, 1, 1, (0, 0, 255)),
        (1 / 6, 1, 1, (255, 255, 0)),
        (0.7, 0, 0.2, (51, 51, 51)),
    ],
)
def test_pick_color__known_colors(hue, saturation, value, rgb):
    color = pick_color(np.random.default_rng(0), (hue, hue), (saturation, saturation), (value, value))
    assert color == pytest.approx(rgb, abs=1e-6)


def test_ellipse__closed_with_its_radii():
    points = ellipse(1.0, 2.0, 3.0, 0.5)
    assert points[0] == pytest.approx(points[-1])
    assert points.max(axis=0) == pytest.approx((4.0, 2.5))
    assert points.min(axis=0) == pytest.approx((-2.0, 1.5))
