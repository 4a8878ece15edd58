import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coarse2fine.config import EnhanceConfig
from coarse2fine.masks.png import mask_path, write_soft
from coarse2fine.pipeline.enhance_stage import prepare_enhancer
from coarse2fine.pipeline.soft_start import (
    MAX_SHIFT,
    MIN_PHOTOS,
    Correction,
    SoftStart,
    average_soft_masks,
    balance_size,
    find_shift,
    shift_log_odds,
)
from coarse2fine.runtime.context import Context
from coarse2fine.types import Enhanced, Photo

CONTEXT = Context()
HEIGHT, WIDTH = 60, 80
BLOCK = slice(20, 40), slice(24, 56)


@pytest.fixture
def photos(tmp_path) -> list[Photo]:
    """Gray photos with a red block each, and a little noise."""
    made = []
    for index in range(MIN_PHOTOS):
        noise = np.random.default_rng(index).integers(-8, 9, (HEIGHT, WIDTH, 3))
        image = np.full((HEIGHT, WIDTH, 3), 128)
        image[BLOCK] = (200, 40, 40)
        path = tmp_path / "photos" / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray((image + noise).astype(np.uint8)).save(path)
        made.append(Photo(path, f"{index}", (1,)))
    return made


def write_blurred(folder: Path, photos: list[Photo], growth_px: int) -> SoftStart:
    """Write soft masks whose foreground is a block that is some pixels larger than that of the photos, on each side."""
    rows, columns = (np.abs(np.arange(side) - side / 2 + 0.5) for side in (HEIGHT, WIDTH))
    depth = np.minimum(10 + growth_px - rows[:, None], 16 + growth_px - columns[None])  # pixels inside the block
    soft = (1 / (1 + np.exp(-depth / 3))).astype(np.float32)
    for photo in photos:
        write_soft(mask_path(folder, photo.name), soft)
    return SoftStart([folder])


def test_balance_size__enlarges_masks_that_are_too_small(photos, tmp_path):
    start = write_blurred(tmp_path / "s", photos, -3)
    enhance = prepare_enhancer(EnhanceConfig(), "probabilities", 0, CONTEXT.console)
    balanced = balance_size(start, photos, enhance, CONTEXT)
    assert 0.5 < balanced.shift <= MAX_SHIFT
    area = [int((one.read(photos[0]) > 0.5).sum()) for one in (start, balanced)]
    true_area = 20 * 32
    assert abs(area[1] - true_area) < 0.7 * abs(area[0] - true_area)


def test_balance_size__does_not_make_large_masks_smaller(photos, tmp_path):
    """GrabCut does that, photo by photo."""
    start = write_blurred(tmp_path / "s", photos, 5)
    enhance = prepare_enhancer(EnhanceConfig(), "probabilities", 0, CONTEXT.console)
    assert balance_size(start, photos, enhance, CONTEXT) == start


def test_balance_size__leaves_few_photos_alone(photos, tmp_path):
    start = write_blurred(tmp_path / "s", photos, -5)

    def enhance(*arguments: object) -> Enhanced:
        raise AssertionError(arguments)

    assert balance_size(start, photos[: MIN_PHOTOS - 1], enhance, CONTEXT) == start


def test_balance_size__does_not_shift_empty_masks(photos, tmp_path):
    for photo in photos:
        write_soft(mask_path(tmp_path / "s", photo.name), np.zeros((HEIGHT, WIDTH), np.float32))
    enhance = prepare_enhancer(EnhanceConfig(), "probabilities", 0, CONTEXT.console)
    balanced = balance_size(SoftStart([tmp_path / "s"]), photos, enhance, CONTEXT)
    assert balanced.shift == 0


@pytest.mark.parametrize("zero", [0.1, 0.4, 1.3])
def test_find_shift__finds_where_the_growth_passes_1(zero):
    assert find_shift(lambda shift: math.exp(zero - shift)) == pytest.approx(zero, abs=0.05)


@pytest.mark.parametrize(("growth", "expected"), [(1.5, MAX_SHIFT), (1.0, 0), (0.5, 0)])
def test_find_shift__stays_in_its_range(growth, expected):
    assert find_shift(lambda _: growth) == pytest.approx(expected, abs=0.05)


def test_shift_log_odds__adds_to_the_log_odds():
    soft = np.array([[0, 0.2, 0.5, 1]], np.float32)
    shifted = shift_log_odds(soft, 0.7)
    np.testing.assert_array_equal(shifted[0, [0, 3]], [0, 1])
    odds = shifted[0, 1:3] / (1 - shifted[0, 1:3])
    np.testing.assert_allclose(np.log(odds), np.log([0.25, 1]) + 0.7, rtol=1e-4, atol=1e-6)
    assert shifted.dtype == np.float32
    assert shift_log_odds(soft, 0.0) is soft


def test_soft_start__is_shifted_before_it_is_corrected(tmp_path):
    """The linear model says the same for every shift: it is fitted to the masks of other photos."""
    photo = Photo(tmp_path / "a.png", "a", (1,))
    soft, linear = np.array([[0.1, 0.4], [0.4, 0.1]], np.float32), np.array([[0.9, 0.1], [0.2, 0.9]], np.float32)
    write_soft(mask_path(tmp_path / "s", "a"), soft)
    write_soft(mask_path(tmp_path / "l", "a"), linear)
    start = SoftStart([tmp_path / "s"], Correction([tmp_path / "l"], 1.0), shift=1.0)
    shifted = shift_log_odds(soft, 1.0)
    np.testing.assert_allclose(start.read(photo), (shifted + linear) / 2, atol=0.01)  # they do not correlate: half each


def test_average_soft_masks__has_the_size_of_the_last_round():
    first, last = np.full((2, 3), 0.2, np.float32), np.full((4, 6), 0.8, np.float32)
    mean = average_soft_masks([first, last])
    assert mean.shape == (4, 6) and mean.dtype == np.float32
    np.testing.assert_allclose(mean, (0.2 + 0.8) / 2, rtol=1e-6)
