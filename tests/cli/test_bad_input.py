"""Everything that can be wrong with a folder of photos, in one data set."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import coarse2fine
from coarse2fine.cli import main
from coarse2fine.config import FitConfig, dump_config
from coarse2fine.masks.png import mask_path, read_mask
from coarse2fine.runtime.files import read_json


@pytest.fixture
def config(settings) -> FitConfig:
    return settings("rounds = 1\nmax_megapixels = 1.0")


def scene(height: int = 40, width: int = 60, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(90, 130, (height, width, 3), np.uint8)
    pixels[height // 4 : -height // 4, width // 4 : -width // 4] = (220, 40, 40)
    return Image.fromarray(pixels)


@pytest.fixture
def photos(tmp_path) -> Path:
    good, odd = tmp_path / "photos" / "good ones ü", tmp_path / "photos" / "odd"
    for folder in (good, odd / "deep" / "er", tmp_path / "photos" / "empty class", tmp_path / "photos" / "lone"):
        folder.mkdir(parents=True)
    for index in range(3):
        scene(seed=index).save(good / f"{index}.jpg")
    scene(seed=3).save(tmp_path / "photos" / "lone" / "one.png")
    scene().convert("CMYK").save(odd / "cmyk.jpg")
    Image.fromarray((np.arange(2400).reshape(40, 60) * 27).astype(np.uint16)).save(odd / "sixteen bit.png")
    scene().convert("P").save(odd / "palette.png")
    scene().convert("RGBA").save(odd / "alpha.png")
    scene().save(odd / "animated.gif", save_all=True, append_images=[scene().rotate(90)])
    turned = Image.Exif()
    turned[0x0112] = 6
    scene().save(odd / "turned.jpg", exif=turned)
    scene(seed=4).save(odd / "deep" / "er" / "same.jpg")
    scene(seed=4).save(odd / "deep" / "er" / "same.png")
    Image.new("RGB", (1, 1)).save(odd / "one pixel.png")
    scene(1001, 1000).save(odd / "large.jpg")
    whole = (good / "0.jpg").read_bytes()
    (odd / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (odd / "nothing.jpg").write_bytes(b"")
    (odd / "text.jpg").write_text("I am a letter.")
    (odd / "notes.txt").write_text("left alone")
    return tmp_path / "photos"


@pytest.mark.slow
def test_fit__bad_photos_are_named_with_their_reason_and_the_run_ends(config, photos, tmp_path, capsys):
    (tmp_path / "settings.toml").write_text(dump_config(config))
    main(["fit", str(photos), "--out", str(tmp_path / "run"), "--config", str(tmp_path / "settings.toml")])
    told = capsys.readouterr()
    record = read_json(tmp_path / "run" / "photos.json")
    skipped = {Path(path).name: reason for path, reason in record["skipped"].items()}
    expected = {
        "one pixel.png": "1 x 1 pixels",
        "large.jpg": "1.001 megapixels, at most 1 are allowed",
        "truncated.jpg": "truncated",
        "nothing.jpg": "empty file",
        "text.jpg": "not an image",
        "empty class": "holds no images",
        "photos": "1 file ignored",
    }
    assert set(skipped) == set(expected)
    for name, reason in expected.items():
        assert reason in skipped[name]
        assert name in told.err and reason in told.err
    assert "Fewer than 10 photos: good ones ü (3), lone (1)" in told.err
    assert len(record["usable"]) == 12
    masks = tmp_path / "run" / "round-1" / "enhanced"
    assert len(list(masks.rglob("*.png"))) == 12
    assert read_mask(mask_path(masks, "odd/turned")).shape == (60, 40)
    assert {path.name for path in (masks / "odd" / "deep" / "er").iterdir()} == {"same.jpg.png", "same.png.png"}


def test_fit__only_bad_photos_stop_it(config, tmp_path):
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    (tmp_path / "photos" / "cat" / "a.jpg").write_text("text")
    with pytest.raises(
        coarse2fine.DataError, match=r"at least one usable photo, but has none. Skipped: 1. The first: .*a\.jpg"
    ):
        coarse2fine.fit(tmp_path / "photos", tmp_path / "run", config)


@pytest.mark.fault("messages")
def test_fit__a_wrong_batch_is_found_before_any_photo_is_read(settings, photos, tmp_path):
    with pytest.raises(coarse2fine.ConfigError, match=r"train\.batch must be a multiple .*found 1\."):
        coarse2fine.fit(photos, tmp_path / "run", settings("[train]\nbatch = 1"))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_fit__a_manifest_with_bad_rows(config, photos, tmp_path, capsys):
    rows = [
        "path,label",
        "good ones ü/0.jpg,cat",
        "good ones ü/1.jpg,sub/class: 1?",
        "good ones ü/2.jpg,cat",
        "gone.jpg,cat",
        "lone/one.png,",
        "../outside.jpg,cat",
        ",cat",
        ",dog",
    ]
    (photos / "list.csv").write_text("\n".join(rows), encoding="utf-8")
    (tmp_path / "outside.jpg").write_bytes((photos / "lone" / "one.png").read_bytes())
    run = coarse2fine.fit(photos / "list.csv", tmp_path / "run", config, quiet=False)
    told = capsys.readouterr().err
    assert all(word in told for word in ("gone.jpg", "outside.jpg", *(f"line {line}" for line in (5, 7, 8, 9)))), (
        "line 6 has an empty label: a photo without any of the classes"
    )
    assert read_json(run.classes) == ["background", "cat", "sub/class: 1?"]
    assert len(list(run.enhanced(1).rglob("*.png"))) == 4
    assert all(run.root in path.resolve().parents for path in run.enhanced(1).rglob("*.png"))


@pytest.mark.slow
def test_fit__a_full_disk_is_one_sentence_and_loses_nothing(config, photos, tmp_path, monkeypatch):
    writes = []

    def fill_up(self, target):
        writes.append(target)
        if len(writes) > 20:
            raise OSError(28, "No space left on device")
        return rename(self, target)

    rename = Path.replace
    monkeypatch.setattr(Path, "replace", fill_up)
    with pytest.raises(coarse2fine.DataError, match="could not be written .No space left on device.. Finished files"):
        coarse2fine.fit(photos, tmp_path / "run", config)
    monkeypatch.setattr(Path, "replace", rename)
    run = coarse2fine.fit(photos, tmp_path / "run", config)
    assert len(list(run.enhanced(1).rglob("*.png"))) == 12
