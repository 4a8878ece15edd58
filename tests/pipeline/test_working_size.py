import numpy as np
import pytest
from PIL import Image

from coarse2fine.config import FitConfig, parse_config
from coarse2fine.pipeline.working_size import choose_size, resolve_size
from coarse2fine.store.fingerprints import training_settings
from coarse2fine.types import Photo


@pytest.mark.parametrize(
    "sides, size",
    [
        ([40], 128),
        ([120, 120, 120, 120, 4000], 128),
        ([120, 120, 120, 4000], 320),
        ([100, 129, 130], 160),
        ([300, 320], 320),
        ([320], 320),
        ([4000], 320),
    ],
)
def test_choose_size__upper_quartile_rounded_up_within_limits(sides, size):
    assert choose_size(sides, 320) == size


@pytest.fixture
def photos(tmp_path):
    made = [Photo(tmp_path / f"{index}.png", f"cat/{index}", (1,)) for index in range(3)]
    for photo in made:
        Image.fromarray(np.zeros((150, 180, 3), np.uint8)).save(photo.path)
    return made


def test_resolve_size__number_and_crop_replace_auto(photos):
    resolved = resolve_size(FitConfig(), photos)
    assert (resolved.train.resize_px, resolved.train.crop_px, resolved.view_px) == (192, 192, 192)
    settings = training_settings(resolved, 1, 100)
    assert (settings["train.resize_px"], settings["train.crop_px"]) == (192, 192)


def test_resolve_size__a_number_stays(photos):
    config = parse_config("[train]\nresize_px = 320", "test")
    assert resolve_size(config, photos) == config
