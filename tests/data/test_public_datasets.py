"""MIT Object Discovery, DAVIS, and how they and VOC are recognized."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coarse2fine.data.object_discovery import OBJECT_DISCOVERY_PHOTOS
from coarse2fine.data.public_datasets import open_public_dataset
from coarse2fine.errors import DataError
from coarse2fine.masks.png import read_foreground

OBJECT = np.zeros((10, 12), np.uint8)
OBJECT[2:5, 3:7] = 255


def save(path: Path, pixels: np.ndarray, mode: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path)
    return path


@pytest.fixture
def airplanes(tmp_path) -> Path:
    folder = tmp_path / "Data" / "Airplane100"
    for name in ("0001", "0002", "0010"):
        save(folder / f"{name}.jpg", np.full((10, 12, 3), 90, np.uint8))
    save(folder / "GroundTruth" / "0001.png", OBJECT, "1")
    save(folder / "GroundTruth" / "0002.png", np.zeros_like(OBJECT))  # shows no object
    return folder


@pytest.fixture
def davis(tmp_path) -> Path:
    root = tmp_path / "DAVIS"
    for video in ("bear", "camel"):
        for number in (0, 1, 10):
            save(root / "JPEGImages/480p" / video / f"{number:05d}.jpg", np.full((10, 12, 3), 90, np.uint8))
            save(root / "Annotations/480p" / video / f"{number:05d}.png", OBJECT)
    for name, text in (("480p/val.txt", "/JPEGImages/480p/bear/00000.jpg /Annotations/480p/bear/00000.png\n"),):
        (root / "ImageSets" / name).parent.mkdir(parents=True)
        (root / "ImageSets" / name).write_text(text)
    return root


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA"])
def test_read_foreground__whatever_the_kind_of_picture(tmp_path, mode):
    mask = read_foreground(save(tmp_path / "m.png", OBJECT, mode))
    assert np.array_equal(mask, OBJECT // 255)


def test_read_foreground__palette_indices_count_not_colors(tmp_path):
    image = Image.fromarray(OBJECT // 255 * 2)
    image.putpalette([255] * 768)
    image.save(tmp_path / "m.png")
    assert np.array_equal(read_foreground(tmp_path / "m.png"), OBJECT // 255)


def test_read_foreground__says_what_is_wrong(tmp_path):
    with pytest.raises(DataError, match="There is no ground-truth mask"):
        read_foreground(tmp_path / "gone.png")
    (tmp_path / "text.png").write_text("text")
    with pytest.raises(DataError, match=r"text\.png cannot be read"):
        read_foreground(tmp_path / "text.png")


def test_object_discovery__only_photos_that_show_the_object(airplanes):
    pairs = open_public_dataset(airplanes)
    assert pairs.names == ("0001",)
    assert pairs.photos == (airplanes / "0001.jpg",)
    assert pairs.masks == (airplanes / "GroundTruth/0001.png",)
    assert pairs.knows_foreground_only
    assert "1 of the 3 photos" in pairs.remark and "the paper measures with 82" in pairs.remark


def test_object_discovery__numbers_of_the_paper():
    assert list(OBJECT_DISCOVERY_PHOTOS.values()) == [82, 89, 93, 470, 1208, 810]


def test_object_discovery__what_is_missing_is_named(airplanes):
    with pytest.raises(DataError, match=r"several sets .*\(Airplane100\); pass one of them, such as .*Airplane100"):
        open_public_dataset(airplanes.parent)
    save(airplanes / "GroundTruth" / "0003.png", OBJECT)
    with pytest.raises(DataError, match=r"0003\.png has none in"):
        open_public_dataset(airplanes)
    for name in ("0001", "0003"):
        (airplanes / "GroundTruth" / f"{name}.png").unlink()
    with pytest.raises(DataError, match="must show an object, but all are empty"):
        open_public_dataset(airplanes)
    (airplanes / "GroundTruth" / "0002.png").unlink()
    with pytest.raises(DataError, match=r"GroundTruth must contain masks \(\.png\), but has none"):
        open_public_dataset(airplanes)


def test_object_discovery__folders_of_that_name_alone_are_none(tmp_path):
    (tmp_path / "Airplane").mkdir()
    assert open_public_dataset(tmp_path) is None


def test_davis__validation_frames_of_2016(davis):
    pairs = open_public_dataset(davis)
    assert pairs.names == ("bear/00000", "bear/00001", "bear/00010")
    assert pairs.masks[2] == davis / "Annotations/480p/bear/00010.png"
    assert pairs.knows_foreground_only


def test_davis__a_list_of_2017(davis):
    file = davis / "ImageSets/2017/train.txt"
    file.parent.mkdir()
    file.write_text("camel\nbear\n")
    assert [name.split("/")[0] for name in open_public_dataset(file).names] == ["camel"] * 3 + ["bear"] * 3


def test_davis__what_is_missing_is_named(davis):
    (davis / "Annotations/480p/bear/00001.png").unlink()
    with pytest.raises(DataError, match=r"1 of 3 have none, the first is .*bear/00001\.png"):
        open_public_dataset(davis)
    file = davis / "ImageSets/480p/val.txt"
    file.write_text("goat\n")
    with pytest.raises(DataError, match=r"480p/goat must be a folder of frames"):
        open_public_dataset(file)
    file.unlink()
    with pytest.raises(DataError, match=r"none of .*480p/val\.txt, .* exists"):
        open_public_dataset(davis)


def test_frames_and_masks__of_any_videos(tmp_path):
    for name in ("a/10", "a/2", "b/1"):
        save(tmp_path / "frames" / f"{name}.jpg", np.full((10, 12, 3), 90, np.uint8))
    for name in ("a/10", "a/2"):
        save(tmp_path / "masks" / f"{name}.png", OBJECT)
    pairs = open_public_dataset(tmp_path)
    assert pairs.names == ("a/2", "a/10") and pairs.photos[0] == tmp_path / "frames/a/2.jpg"
    assert pairs.knows_foreground_only
    (tmp_path / "frames/a/2.jpg").unlink()
    with pytest.raises(DataError, match=r"masks/a/2\.png has none in .*frames"):
        open_public_dataset(tmp_path)


def test_open_public_dataset__voc_by_folder_or_list(voc_tree):
    assert open_public_dataset(voc_tree).title == "PASCAL VOC 2012, val"
    assert open_public_dataset(voc_tree / "ImageSets/Segmentation/train.txt").title == "PASCAL VOC 2012, train"
    assert open_public_dataset(voc_tree / "ImageSets/Segmentation/val.txt") == open_public_dataset(voc_tree.parent)


def test_open_public_dataset__lists_outside_their_tree(tmp_path):
    with pytest.raises(DataError, match=r"is a list of VOC, .*JPEGImages, does not exist"):
        open_public_dataset(tmp_path / "ImageSets" / "Segmentation" / "val.txt")
    with pytest.raises(DataError, match=r"must be a list of VOC .* or of DAVIS"):
        open_public_dataset(tmp_path / "ImageSets" / "2017" / "val.txt")
    assert open_public_dataset(tmp_path) is None
