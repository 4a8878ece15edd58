"""A new method of stage 1 or 2 is one new file, its registration and its settings, as CONTRIBUTING.md describes."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image
from pydantic import Field, create_model

import coarse2fine
from coarse2fine import types
from coarse2fine.coarse import METHODS
from coarse2fine.config import CoarseConfig, EnhanceConfig, FitConfig, FitEnhanceConfig, Settings
from coarse2fine.config.enhance import EnhancerSettings
from coarse2fine.enhance import ENHANCERS
from coarse2fine.errors import ConfigError
from coarse2fine.masks.png import mask_path, read_mask, write_soft
from coarse2fine.pipeline.folders import coarse_folder, enhance_folder
from coarse2fine.runtime.context import Context
from coarse2fine.store.fingerprints import coarse_settings, enhance_settings


class BrightnessConfig(Settings):
    """Method brightness: bright pixels."""

    gain: float = Field(1.0, gt=0, description="factor of the brightness")


class GrowConfig(EnhancerSettings):
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


class SoftConfig(EnhancerSettings):
    """Method soft: pixels of a soft mask above a level."""

    takes_soft_masks: ClassVar[bool] = True

    level: float = Field(0.5, description="level")


def soft_from(config: SoftConfig, start: str, seed: int) -> types.Enhancer:
    return lambda _image, mask, soft=None: types.Enhanced(mask if soft is None else np.uint8(soft > config.level), None)


@pytest.mark.parametrize("start, pixels", [("probabilities", 2 * 12), ("mask", 8 * 12)])
def test_enhance__a_new_method_gets_soft_masks_if_its_settings_say_so(photos, tmp_path, monkeypatch, start, pixels):
    monkeypatch.setitem(ENHANCERS, "soft", soft_from)
    soft = np.full((8, 12), 0.6, np.float32)
    soft[:2] = 0.9
    write_soft(mask_path(tmp_path / "masks", "a"), soft)
    kind = create_model("Extended", __base__=EnhanceConfig, soft=(SoftConfig, SoftConfig()))
    config = kind(method="soft", start=start, soft=SoftConfig(level=0.8))
    enhance_folder(photos, tmp_path / "masks", tmp_path / "out", config, 0, Context())
    assert np.count_nonzero(read_mask(tmp_path / "out" / "a.png")) == pixels


def test_start_of__follows_the_settings_class_of_a_new_enhancer():
    kind = create_model(
        "Extended", __base__=FitEnhanceConfig, soft=(SoftConfig, SoftConfig()), grow=(GrowConfig, GrowConfig())
    )
    soft, grow = (
        FitConfig.model_construct(coarse=CoarseConfig(method="box"), enhance=kind(method=name))
        for name in ("soft", "grow")
    )
    assert (soft.start_of(0), soft.start_of(1)) == ("mask", "probabilities")  # coarse method box: no soft masks
    assert (grow.start_of(0), grow.start_of(1)) == ("mask", "mask")


def apply_recipe(source: Path) -> None:
    """Apply the code blocks of CONTRIBUTING.md to a copy of the package: whole files, and lines after other lines."""
    page = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    parts = page.split("```")
    names = [re.findall(r"`src/coarse2fine/(\S+\.py)`", before)[-1] for before in parts[:-1:2]]
    assert names == ["coarse/brightness.py", "coarse/__init__.py", "config/coarse.py"]
    for name, block in zip(names, parts[1::2], strict=True):
        kind, _, text = block.partition("\n")
        if kind == "python":
            (source / name).write_text(text, encoding="utf-8")
            continue
        lines = (source / name).read_text(encoding="utf-8").splitlines()
        position = 0
        for line in filter(None, text.splitlines()):
            if line[0] == " ":
                assert lines.count(line[1:]) == 1, f"{name} must contain the line {line[1:]!r} once"
                position = lines.index(line[1:]) + 1
            else:
                lines.insert(position, line[1:])
                position += 1
        (source / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


CHECKS = """
import contextlib, io, sys
from coarse2fine.cli import main
from coarse2fine.config import CoarseConfig, parse_config
from coarse2fine.store.fingerprints import coarse_settings

main(["coarse", sys.argv[1], "--out", sys.argv[2], "--method", "brightness", "--brightness.gain", "1.2", "--quiet"])
with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.suppress(SystemExit):
    main(["coarse", "--help"])
assert "brightness: bright pixels" in " ".join(shown.getvalue().replace("│", " ").split()), shown.getvalue()
assert "--brightness.gain" in shown.getvalue()
config = parse_config('coarse = {method = "brightness", brightness = {gain = 2}}', "test").coarse
assert coarse_settings(config) != coarse_settings(CoarseConfig(method="brightness"))
import coarse2fine.coarse
assert "brightness.py" in coarse2fine.coarse.__doc__
"""


@pytest.mark.slow
def test_contributing__its_recipe_works_as_written(photos, tmp_path):
    copy = tmp_path / "src" / "coarse2fine"
    shutil.copytree(Path(coarse2fine.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    apply_recipe(copy)
    command = [sys.executable, "-c", CHECKS, photos, tmp_path / "masks"]
    environment = os.environ | {"PYTHONPATH": str(copy.parent)}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(read_mask(tmp_path / "masks" / "a.png").sum()) == 4 * 6


def test_methods__are_those_of_the_settings():
    assert {*METHODS, "auto", "folder"} == set(CoarseConfig.methods())
