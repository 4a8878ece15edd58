"""A new method of stage 1 or 2 is one new file, one line that registers it, and one field for its settings."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import Field, create_model

from coarse2fine import types
from coarse2fine.coarse import METHODS
from coarse2fine.config import CoarseConfig, EnhanceConfig, Settings
from coarse2fine.enhance import ENHANCERS
from coarse2fine.errors import ConfigError
from coarse2fine.masks.png import read_mask
from coarse2fine.pipeline.folders import coarse_folder, enhance_folder
from coarse2fine.runtime.context import Context
from coarse2fine.store.fingerprints import coarse_settings, enhance_settings


class BrightnessConfig(Settings):
    """Method brightness: bright pixels."""

    gain: float = Field(1.0, gt=0, description="factor of the brightness")


class GrowConfig(Settings):
    """Method grow: a margin around the mask."""

    margin_px: int = Field(1, ge=0, description="width of the margin")


def brightness_from(config: BrightnessConfig) -> types.CoarseMethod:
    return lambda image: np.clip(config.gain * image.mean(axis=-1) / 255, 0, 1).astype(np.float32)


def grow_from(config: GrowConfig, start: str, seed: int) -> types.Enhancer:
    def enhance(image, mask, soft=None):
        rows, columns = (axis.astype(int) for axis in np.nonzero(mask))
        grown, margin = np.zeros_like(mask), config.margin_px
        for row, column in zip(rows, columns, strict=True):
            grown[max(0, row - margin) : row + margin + 1, max(0, column - margin) : column + margin + 1] = 1
        return types.Enhanced(grown, None)

    return enhance


@pytest.fixture
def photos(tmp_path) -> Path:
    image = np.full((8, 12, 3), 30, np.uint8)
    image[2:6, 3:9] = 200
    (tmp_path / "photos").mkdir()
    Image.fromarray(image).save(tmp_path / "photos" / "a.png")
    return tmp_path / "photos"


def test_coarse__a_new_method(photos, tmp_path, monkeypatch):
    monkeypatch.setitem(METHODS, "brightness", brightness_from)
    kind = create_model("Extended", __base__=CoarseConfig, brightness=(BrightnessConfig, BrightnessConfig()))
    config = kind(method="brightness", threshold=0.5)
    coarse_folder([photos], tmp_path / "masks", config, Context(), tmp_path / "soft")
    assert int(read_mask(tmp_path / "masks" / "a.png").sum()) == 4 * 6
    assert (tmp_path / "soft" / "a.png").exists() and config.gives_probabilities
    stronger = config.model_copy(update={"brightness": BrightnessConfig(gain=2)})
    assert coarse_settings(stronger) != coarse_settings(config)
    with pytest.raises(ConfigError, match="coarse.method must be one of .*brightness.*; found 'darkness'"):
        kind(method="darkness")


def test_enhance__a_new_method(photos, tmp_path, monkeypatch):
    monkeypatch.setitem(METHODS, "brightness", brightness_from)
    monkeypatch.setitem(ENHANCERS, "grow", grow_from)
    coarse = create_model("Extended", __base__=CoarseConfig, brightness=(BrightnessConfig, BrightnessConfig()))
    coarse_folder([photos], tmp_path / "masks", coarse(method="brightness", threshold=0.5), Context())
    kind = create_model("Extended", __base__=EnhanceConfig, grow=(GrowConfig, GrowConfig()))
    config = kind(method="grow", grow=GrowConfig(margin_px=2))
    enhance_folder(photos, tmp_path / "masks", tmp_path / "grown", config, 0, Context())
    assert int(read_mask(tmp_path / "grown" / "a.png").sum()) == 8 * 10
    assert enhance_settings(kind(method="grow"), "mask", 0) != enhance_settings(config, "mask", 0)


def test_methods__are_those_of_the_settings():
    assert {*METHODS, "folder"} == set(CoarseConfig.methods())
