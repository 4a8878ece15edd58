import os
import subprocess
import sys
import time
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from coarse2fine.config import MaskExportConfig
from coarse2fine.config.export import MASK_FORMAT_NAMES
from coarse2fine.data import read_image
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.export import MASK_FORMATS, export_masks
from coarse2fine.export.mask_format import flatten_names
from coarse2fine.masks.png import mask_path, read_mask, write_mask
from coarse2fine.runtime.files import read_json, write_json


def test_export_masks__photos_as_copies_links_or_not(predicted, tmp_path):
    for images in ("copy", "link", "none"):
        export_masks(predicted, tmp_path / images, "yolo", MaskExportConfig(images=images, val_share=0))
    source = tmp_path / "in" / "x" / "row.jpg"
    copied = tmp_path / "copy" / "images" / "train" / "x_row.jpg"
    linked = tmp_path / "link" / "images" / "train" / "x_row.jpg"
    assert copied.read_bytes() == source.read_bytes() and not copied.is_symlink()
    assert linked.is_symlink() and linked.resolve() == source.resolve()
    assert not (tmp_path / "none" / "images").exists()


@pytest.mark.parametrize("images", ["copy", "link"])
def test_export_masks__a_photo_that_its_exif_turns_is_written_upright(tmp_path, predicted, images):
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.zeros((20, 40, 3), np.uint8)
    stored[:, :20] = (250, 250, 0)
    path = tmp_path / "turned.jpg"
    Image.fromarray(stored).save(path, exif=exif)
    write_json(predicted / "photos.json", {"turned": str(path)})
    write_mask(mask_path(predicted / "masks", "turned"), np.zeros((40, 20), np.uint8))
    for kind in ("coco", "voc"):
        export_masks(predicted, tmp_path / kind, kind, MaskExportConfig(images=images), photos=[tmp_path])
        (carried,) = (tmp_path / kind).rglob("turned.jpg")
        with Image.open(carried) as picture:
            assert picture.size == (20, 40) and not picture.getexif()
        assert np.abs(read_image(carried).astype(int) - read_image(path)).mean() < 3
    if images == "copy":
        export_masks(predicted, tmp_path / "hf", "huggingface", MaskExportConfig(val_share=0), [tmp_path])
        read = datasets.load_dataset(str(tmp_path / "hf"), split="train", cache_dir=str(tmp_path / "cache"))
        assert np.abs(np.asarray(read[0]["image"]).astype(int) - read_image(path)).mean() < 3


def test_export_masks__voc_knows_jpeg_only(finished, tmp_path):
    export_masks(finished.root, tmp_path / "out", "voc", MaskExportConfig(images="link"))
    with Image.open(tmp_path / "out" / "JPEGImages" / "dog" / "a.jpg") as picture:
        assert picture.format == "JPEG" and picture.size == (12, 10)


def test_export_masks__a_photo_without_an_ending(predicted, tmp_path):
    path = tmp_path / "photo"
    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(path, format="JPEG")
    write_json(predicted / "photos.json", {"p": str(path)})
    write_mask(mask_path(predicted / "masks", "p"), np.zeros((4, 5), np.uint8))
    export_masks(predicted, tmp_path / "out", "yolo", photos=[path])
    assert (tmp_path / "out" / "images" / "train" / "p.jpg").exists()
    assert (tmp_path / "out" / "labels" / "train" / "p.txt").read_text() == ""


def test_mask_formats__the_help_names_all_of_them():
    assert tuple(MASK_FORMATS) == MASK_FORMAT_NAMES


@pytest.mark.parametrize("kind", MASK_FORMATS)
def test_export_masks__control_characters_in_names(predicted, tmp_path, kind):
    names = {"a\nb/c\x1b": tmp_path / "1.jpg", "a\tb/c\x1b": tmp_path / "2.jpg"}
    for name, path in names.items():
        Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(path)
        write_mask(mask_path(predicted / "masks", name), np.ones((4, 5), np.uint8))
    write_json(predicted / "photos.json", {name: str(path) for name, path in names.items()})
    write_json(predicted / "classes.json", ["background", "cat\x00\n"])
    assert export_masks(predicted, tmp_path / "out", kind, photos=[tmp_path]) == 2
    for path in (tmp_path / "out").rglob("*"):
        assert not {"\n", "\t", "\x1b"} & set(str(path.relative_to(tmp_path)))
    if kind != "huggingface":
        pictures = [path for path in (tmp_path / "out").rglob("*.jpg") if path.is_file()]
        assert len(pictures) == 2


@pytest.mark.parametrize("kind", ["yolo", "coco"])
def test_export_masks__warns_that_ignored_pixels_are_lost(predicted, tmp_path, kind, capsys):
    export_masks(predicted, tmp_path / "out", kind)
    assert "ignored pixels became background in 3 photos" in capsys.readouterr().err


def test_export_masks__an_empty_folder_is_taken_and_a_full_one_refused(predicted, tmp_path):
    (tmp_path / "empty").mkdir()
    assert export_masks(predicted, tmp_path / "empty", "voc") > 0
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match="must be a new or empty folder"):
        export_masks(predicted, tmp_path / "empty", "coco")
    with pytest.raises(DataError, match="must be a new or empty folder"):
        export_masks(predicted, predicted / "photos.json", "coco")
    assert sorted(tmp_path.rglob("*")) == before


def test_export_masks__names_the_extra_that_is_missing(predicted, tmp_path, monkeypatch):
    monkeypatch.setattr("coarse2fine.export.mask_export.find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match=r"coco needs pycocotools: pip install .*\[export\]'"):
        export_masks(predicted, tmp_path / "out", "coco")
    assert export_masks(predicted, tmp_path / "out", "labelstudio") > 0


def test_export_masks__a_photo_that_is_gone_leaves_nothing(predicted, tmp_path):
    (tmp_path / "in" / "y" / "diagonal.jpg").unlink()
    with pytest.raises(DataError, match="diagonal.jpg of .* does not exist. If it was moved, add --photos"):
        export_masks(predicted, tmp_path / "out", "huggingface")
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".*"))


@pytest.mark.slow
def test_export_masks__a_kill_leaves_no_folder_and_the_run_as_it_was(predicted, tmp_path):
    mask = np.random.default_rng(0).integers(0, 2, (400, 400), np.uint8)
    write_mask(mask_path(predicted / "masks", "x/row"), mask)
    Image.fromarray(np.zeros((400, 400, 3), np.uint8)).save(tmp_path / "in" / "x" / "row.jpg")
    listed = read_json(predicted / "photos.json")
    for index in range(300):
        listed[f"many/{index}"] = listed["x/row"]
        path = mask_path(predicted / "masks", f"many/{index}")
        path.parent.mkdir(exist_ok=True)
        os.link(mask_path(predicted / "masks", "x/row"), path)
    write_json(predicted / "photos.json", listed)
    command = [sys.executable, "-m", "coarse2fine", "export", str(predicted), "--format", "yolo", "--out"]
    process = subprocess.Popen([*command, str(tmp_path / "out"), "--photos", str(tmp_path / "in")])
    while not list(tmp_path.glob(".*.tmp/labels/train/many_*.txt")):
        time.sleep(0.02)
        assert process.poll() is None
    process.kill()
    process.wait()
    assert not (tmp_path / "out").exists()
    assert np.array_equal(read_mask(mask_path(predicted / "masks", "many/0")), mask)


def find_label(photo: Path, kind: str) -> Path:
    """Return the file of labels or masks as ultralytics does: the last /images/ is replaced."""
    folder, suffix = ("labels", ".txt") if kind == "yolo" else ("masks", ".png")
    return Path(f"/{folder}/".join(str(photo).rsplit("/images/", 1))).with_suffix(suffix)


@pytest.mark.parametrize("kind", ["yolo", "ultralytics"])
@pytest.mark.parametrize("images", ["copy", "link"])
@pytest.mark.fault("yolo-images-folder")
def test_export_masks__ultralytics_finds_the_labels_of_folders_called_images(predicted, tmp_path, images, kind):
    names = ["images/1", "cat/images/1", "images/images/1", "images-x/images"]
    for name in names:
        write_mask(mask_path(predicted / "masks", name), np.ones((4, 5), np.uint8))
    write_json(predicted / "photos.json", dict.fromkeys(names, str(tmp_path / "a.jpg")))
    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(tmp_path / "a.jpg")
    export_masks(predicted, tmp_path / "out", kind, MaskExportConfig(images=images), photos=[tmp_path])
    photos = list((tmp_path / "out" / "images").rglob("*.jpg"))
    assert len(photos) == 4 and all(find_label(photo, kind).stat().st_size > 10 for photo in photos)


def test_flatten_names__stay_distinct_and_short():
    names = ["a/b_c", "a_b/c", "A/B_C", "x/y", "z", "é" * 100 + "/" + "é" * 100]
    flat = flatten_names(names)
    assert (flat["x/y"], flat["z"]) == ("x_y", "z")
    assert len({one.casefold() for one in flat.values()}) == len(names)
    assert all(len(one.encode()) <= 240 and "/" not in one for one in flat.values())


@pytest.mark.parametrize("kind", ["voc", "coco", "coco-panoptic", "yolo", "ultralytics", "lightly", "huggingface"])
def test_export_masks__a_single_photo_trains_and_validates(predicted, tmp_path, kind, capsys):
    names = {"a": str(tmp_path / "in" / "x" / "row.jpg")}
    write_json(predicted / "photos.json", names)
    write_mask(mask_path(predicted / "masks", "a"), np.ones((1, 7), np.uint8))
    assert export_masks(predicted, tmp_path / "out", kind, photos=[tmp_path / "in"]) == 1
    assert "there is no photo for validation" in capsys.readouterr().err
    if (tmp_path / "out" / "data.yaml").exists():
        assert "val/" not in (tmp_path / "out" / "data.yaml").read_text()


@pytest.mark.parametrize("kind", ["labelstudio", "cvat"])
def test_export_masks__tools_for_correction_have_no_validation(predicted, tmp_path, kind):
    with pytest.raises(ConfigError, match=f"format {kind} has no part for validation; leave out --val-share"):
        export_masks(predicted, tmp_path / "out", kind, MaskExportConfig(val_share=0.2))


@pytest.mark.parametrize("kind, ending, stored_as", [("yolo", "gif", "GIF"), ("labelstudio", "tif", "TIFF")])
@pytest.mark.fault("labelstudio-tiff")
def test_export_masks__a_photo_that_the_tool_cannot_show_becomes_png(
    predicted, tmp_path, capsys, kind, ending, stored_as
):
    photos = {"a": (f"a.{ending}", stored_as), "b": ("b.jpg", stored_as), "c": (f"c.{ending}", "JPEG")}
    for name, (file, format) in photos.items():
        Image.fromarray(np.full((4, 5, 3), 200, np.uint8)).save(tmp_path / file, format=format)
        write_mask(mask_path(predicted / "masks", name), np.ones((4, 5), np.uint8))
    write_json(predicted / "photos.json", {name: str(tmp_path / file) for name, (file, _) in photos.items()})
    export_masks(predicted, tmp_path / "out", kind, photos=[tmp_path])
    written = {path.name: path for path in (tmp_path / "out" / "images").rglob("*.*")}
    assert sorted(written) == ["a.png", "b.png", "c.jpg"]
    for name, path in written.items():
        with Image.open(path) as picture:
            assert picture.format == ("JPEG" if name == "c.jpg" else "PNG")
        assert (read_image(path) == 200).all()
    if kind == "labelstudio":
        assert "images/a.png" in (tmp_path / "out" / "tasks-1.json").read_text()
    assert "cannot show" not in capsys.readouterr().err
    export_masks(predicted, tmp_path / "none", kind, MaskExportConfig(images="none"), photos=[tmp_path])
    assert f"2 photos are in a format that {kind} cannot show ({stored_as})" in capsys.readouterr().err
