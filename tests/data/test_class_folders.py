import os
import sys
from pathlib import Path

import pytest

from coarse2fine.data import open_dataset
from coarse2fine.data.class_folders import (
    clean_label,
    names_below_common_folder,
    read_class_folders,
    read_unlabeled_folder,
    unique_names,
)
from coarse2fine.data.photo_files import list_photos
from coarse2fine.errors import DataError
from coarse2fine.types import Photo, Skipped


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_read_class_folders__one_class_per_folder(tmp_path):
    touch(tmp_path, "dog/1.jpg", "cat/2.PNG", "cat/sub/1.tiff", "cat/note.txt", ".cache/1.jpg", "__MACOSX/dog/1.jpg")
    data = read_class_folders(tmp_path)
    assert data.classes == ("background", "cat", "dog")
    assert data.photos == (
        Photo(tmp_path / "cat/2.PNG", "cat/2", (1,)),
        Photo(tmp_path / "cat/sub/1.tiff", "cat/sub/1", (1,)),
        Photo(tmp_path / "dog/1.jpg", "dog/1", (2,)),
    )
    assert [(one.path, one.reason.partition(" because")[0]) for one in data.skipped] == [(tmp_path, "1 file ignored")]


def test_read_class_folders__any_class_name(tmp_path):
    touch(tmp_path, "Große Katze/1.jpg", "犬/1.jpg", "a.b/1.jpg")
    assert read_class_folders(tmp_path).classes == ("background", "Große Katze", "a.b", "犬")


def test_read_class_folders__says_what_it_leaves_out(tmp_path):
    touch(tmp_path, "cat/1.jpg", "loose.jpg", "dog/note.txt", "readme.txt")
    data = read_class_folders(tmp_path)
    assert data.classes == ("background", "cat")
    assert [one.path for one in data.skipped] == [tmp_path, tmp_path / "dog", tmp_path / "loose.jpg"]
    assert data.skipped[0].reason.endswith(": 2 .txt")
    assert data.skipped[1].reason.startswith("holds no images (.jpg ")
    assert "class folders" in data.skipped[2].reason


@pytest.mark.fault("unknown-endings")
def test_read_class_folders__counts_files_by_their_endings(tmp_path):
    touch(
        tmp_path, "cat/1.jfif", "cat/2.JPE", "cat/3.HEIC", "cat/4.heic", "cat/5.avif", "cat/noending", "cat/.hidden.txt"
    )
    data = read_class_folders(tmp_path)
    assert [photo.name for photo in data.photos] == ["cat/1", "cat/2"]
    assert [one.reason.partition(": ")[2] for one in data.skipped] == ["2 .heic, 1 .avif, 1 without ending"]
    assert data.skipped[0].reason.startswith("4 files ignored because photos end in .jpg ")


@pytest.mark.fault("unknown-endings")
def test_read_folders__without_photos_names_the_endings_that_are_there(tmp_path):
    touch(tmp_path, "cat/1.HEIC")
    for read in (read_class_folders, read_unlabeled_folder, list_photos):
        with pytest.raises(DataError, match=r"1 file ignored because photos end in .*: 1 \.heic\."):
            read(tmp_path)


@pytest.mark.parametrize("name", ["background", "Background"])
def test_read_class_folders__no_class_is_called_background(tmp_path, name):
    touch(tmp_path, f"{name}/note.txt", "cat/1.jpg")
    with pytest.raises(DataError, match=f"no class may be called '{name}'"):
        read_class_folders(tmp_path)


def test_read_class_folders__no_class_folder_says_the_way_out(tmp_path):
    with pytest.raises(DataError, match=r"one sub-folder of photos per class, such as .*found no photos"):
        read_class_folders(tmp_path)
    touch(tmp_path, "1.jpg")
    with pytest.raises(DataError, match="found 1 photo outside of sub-folders"):
        read_class_folders(tmp_path)
    touch(tmp_path, "2.jpg")
    with pytest.raises(DataError, match="found 2 photos outside of sub-folders"):
        read_class_folders(tmp_path)
    with pytest.raises(DataError, match="No such file"):
        read_class_folders(tmp_path / "gone")


def test_read_class_folders__no_photo_in_any_class(tmp_path):
    touch(tmp_path, "cat/a.txt", "dog/a.txt")
    with pytest.raises(DataError, match=r"holds no images \(\.jpg .* in cat, dog; each class needs at least one"):
        read_class_folders(tmp_path)


def test_read_class_folders__as_many_classes_as_a_mask_can_hold(tmp_path):
    touch(tmp_path, *(f"{at:03}/1.jpg" for at in range(254)))
    assert read_class_folders(tmp_path).photos[-1].label == 254
    touch(tmp_path, "254/1.jpg")
    with pytest.raises(DataError, match="255 classes, but .* at most 254"):
        read_class_folders(tmp_path)


def test_read_class_folders__links_that_lead_back_hold_no_images(tmp_path):
    touch(tmp_path, "cat/1.jpg")
    (tmp_path / "again").symlink_to(".")
    (tmp_path / "cat" / "up").symlink_to("..")
    data = read_class_folders(tmp_path)
    assert [photo.name for photo in data.photos] == ["cat/1"]
    assert [one.path for one in data.skipped] == [tmp_path / "again"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes any bytes as a name")
def test_read_class_folders__names_that_are_no_text_are_left_out(tmp_path):
    touch(tmp_path, "cat/1.jpg")
    Path(os.fsdecode(os.fsencode(tmp_path / "cat") + b"/\xff.jpg")).touch()
    data = read_class_folders(tmp_path)
    assert [photo.name for photo in data.photos] == ["cat/1"]
    assert data.skipped == (Skipped(tmp_path / "cat/\ufffd.jpg", "its name is not UTF-8 text; rename it"),)


def test_unique_names__endings_only_where_needed():
    files = ["cat/a.jpg", "cat/a.png", "cat/b.jpg", "dog/a.jpg", "cat/v1.2/c"]
    assert unique_names(files) == ["cat/a.jpg", "cat/a.png", "cat/b", "dog/a", "cat/v1.2/c"]


@pytest.mark.parametrize(
    "files",
    [
        ["cat/A.jpg", "cat/a.png"],
        ["cat/A.jpg", "cat/a.jpg", "cat/a.JPG"],
        ["Cat/a.jpg", "cat/a.jpg"],
        ["cat/a.jpg", "cat/a.png", "cat/a.jpg.webp"],
        ["cat/\u00e9.jpg", "cat/e\u0301.jpg"],
    ],
)
def test_unique_names__distinct_where_the_disk_ignores_case(files):
    names = unique_names(files)
    assert len({name.replace("e\u0301", "\u00e9").lower() for name in names}) == len(files)
    assert unique_names(files[::-1]) == names[::-1]


def test_read_unlabeled_folder__photos_at_any_depth_are_foreground(tmp_path):
    touch(tmp_path, "1.jpg", "cat/1.jpg", "cat/deep/2.png", ".hidden/3.jpg", "notes.txt")
    data = read_unlabeled_folder(tmp_path)
    assert data.classes == ("background", "foreground")
    assert [(photo.name, photo.label) for photo in data.photos] == [("1", 1), ("cat/1", 1), ("cat/deep/2", 1)]
    assert [one.reason.rpartition(": ")[2] for one in data.skipped] == ["1 .txt"]


def test_read_unlabeled_folder__needs_photos(tmp_path):
    touch(tmp_path, "notes.txt")
    with pytest.raises(DataError, match="must contain photos .* at any depth, but has none"):
        read_unlabeled_folder(tmp_path)
    with pytest.raises(
        DataError, match="must be a folder of photos, .* with the column path, .* there is no such file"
    ):
        open_dataset(tmp_path / "gone", labeled=False)


def test_open_dataset__takes_folders_and_tables(tmp_path):
    touch(tmp_path, "cat/1.jpg")
    (tmp_path / "labels.CSV").write_text("path,label\ncat/1.jpg,tiger\n", encoding="utf-8")
    (tmp_path / "labels.txt").touch()
    assert open_dataset(tmp_path).classes == ("background", "cat")
    assert open_dataset(tmp_path / "labels.CSV").classes == ("background", "tiger")
    with pytest.raises(DataError, match=r"\.csv, \.parquet .* another kind of file"):
        open_dataset(tmp_path / "labels.txt")
    with pytest.raises(DataError, match="no such file or folder"):
        open_dataset(tmp_path / "gone")


def test_names_below_common_folder__distinct_and_short(tmp_path):
    paths = [tmp_path / "x" / "a.jpg", tmp_path / "x" / "a.png", tmp_path / "y" / "a.jpg"]
    assert names_below_common_folder(paths, paths) == ["x/a.jpg", "x/a.png", "y/a"]
    assert names_below_common_folder(paths[:1], paths) == ["a"]


def test_names_below_common_folder__only_sub_folder_of_the_given_one__stays_in_the_name(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.jpg").touch()
    photos = [tmp_path / "x" / "a.jpg"]
    assert names_below_common_folder(photos, [tmp_path]) == ["x/a"]
    assert names_below_common_folder(photos, [tmp_path / "x"]) == ["a"]
    assert names_below_common_folder(photos, [str(tmp_path / "*" / "a.jpg")]) == ["a"]


@pytest.mark.parametrize(
    "text, label",
    [
        ("cafe\u0301", "caf\u00e9"),
        (" dog\u00a0\u2003x ", "dog x"),
        ("cat\u200b", "cat"),
        ("\ufeffcat\u00ad", "cat"),
        ("cat\u200d \u200e", "cat"),
        ("\u06cc\u200c\u0634", "\u06cc\u200c\u0634"),  # a joiner inside a Persian word
        ("Tv monitor", "Tv monitor"),
        ("\u200b", ""),
    ],
)
def test_clean_label__removes_what_nobody_sees(text, label):
    assert clean_label(text) == label


@pytest.mark.fault("labels-look-alike")
def test_read_class_folders__names_that_look_alike_are_one_class(tmp_path):
    for index, name in enumerate(["caf\u00e9", "cafe\u0301", "cat", "cat\u200b"]):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / f"{index}.jpg").touch()
    (tmp_path / "dog\u00a0x").mkdir()
    dataset = read_class_folders(tmp_path)
    assert dataset.classes == ("background", "caf\u00e9", "cat")
    assert sorted(photo.labels for photo in dataset.photos) == [(1,), (1,), (2,), (2,)]
    assert len({photo.name for photo in dataset.photos}) == 4
    assert [item.path.name for item in dataset.skipped] == ["dog\u00a0x"]


@pytest.mark.parametrize(
    "name, message", [("\u200b", "must have a visible character"), ("background\u200b", "no class may")]
)
def test_read_class_folders__a_name_that_only_looks_allowed(tmp_path, name, message):
    (tmp_path / name).mkdir()
    with pytest.raises(DataError, match=message):
        read_class_folders(tmp_path)


def test_unique_names__no_name_is_too_long_for_its_mask(tmp_path):
    long = "ä" * 125
    files = [f"a/{long}.jpg", f"a/{long}.png", "b/\udcff.jpg", "b/\udcfe.jpg", f"c/{'d/' * 1000}1.jpg", "c/1.jpg"]
    names = unique_names(files)
    assert len(set(names)) == 6 and names[5] == "c/1"
    assert names == [name.encode().decode() for name in names]
    for name in names:
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    assert names[4].startswith("c/1-") and unique_names([f"a/{'x' * 251}.jpg"]) == [f"a/{'x' * 251}"]
