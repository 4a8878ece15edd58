from pathlib import Path

import pytest

from coarse2fine.data import copies, open_dataset
from coarse2fine.errors import DataError


def write(root: Path, **contents: bytes) -> None:
    for name, content in contents.items():
        path = root / f"{name.replace('_', '/')}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def labels_of(path: Path, negatives: Path | None = None) -> dict[str, tuple[int, ...]]:
    return {photo.name: photo.labels for photo in open_dataset(path, negatives=negatives).photos}


def test_merge_copies__a_photo_in_two_class_folders_has_both_labels(tmp_path):
    write(tmp_path, cat_a=b"same", cat_b=b"cats", dog_c=b"same", person_a=b"same", person_d=b"sane")
    assert labels_of(tmp_path) == {"cat/a": (1, 2, 3), "cat/b": (1,), "person/d": (3,)}


def test_merge_copies__copies_with_one_label_and_empty_files_stay(tmp_path):
    write(tmp_path, cat_a=b"same", cat_b=b"same", cat_c=b"", dog_c=b"")
    assert labels_of(tmp_path) == {"cat/a": (1,), "cat/b": (1,), "cat/c": (1,), "dog/c": (2,)}


def test_find_copies__reads_whole_files_only_if_size_and_end_are_equal(tmp_path, monkeypatch):
    end = bytes(4096)
    write(tmp_path, cat_a=b"1" + end, dog_a=b"2" + end, dog_b=b"3" + end + b"4", cat_c=b"5", dog_c=b"6", dog_d=b"long")
    read = []
    monkeypatch.setattr(copies, "hash_file", lambda path: read.append(path.parent.name) or path.read_bytes())
    assert len(labels_of(tmp_path)) == 6
    assert sorted(read) == ["cat", "dog"]


def test_open_dataset__negatives_have_no_label_and_a_folder_of_their_own(tmp_path):
    write(tmp_path / "in", cat_a=b"1", cat_b=b"2")
    write(tmp_path / "none", x=b"3", deep_y=b"3")
    assert labels_of(tmp_path / "in", tmp_path / "none") == {
        "background/deep/y": (),
        "background/x": (),
        "cat/a": (1,),
        "cat/b": (1,),
    }


def test_open_dataset__names_of_negatives_stay_distinct(tmp_path):
    write(tmp_path / "in", background_a=b"1")
    write(tmp_path / "none", a=b"2")
    names = [photo.name for photo in open_dataset(tmp_path / "in", labeled=False, negatives=tmp_path / "none").photos]
    assert names[0] == "background/a" and names[1].startswith("background/a-") and len(names) == 2


def test_open_dataset__wrong_negatives_are_one_sentence(tmp_path):
    write(tmp_path / "in", cat_a=b"1", dog_b=b"2")
    write(tmp_path / "none", x=b"2")
    with pytest.raises(DataError, match=r"x\.jpg has the same content as .*b\.jpg, a photo of dog\. Remove one"):
        open_dataset(tmp_path / "in", negatives=tmp_path / "none")
    with pytest.raises(DataError, match="--negatives must be a folder of photos .*gone does not exist"):
        open_dataset(tmp_path / "in", negatives=tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="--negatives must be a folder of photos .*empty has none"):
        open_dataset(tmp_path / "in", negatives=tmp_path / "empty")


def test_read_class_folders__the_separator_of_labels_is_no_part_of_a_name(tmp_path):
    (tmp_path / "cat|dog").mkdir()
    (tmp_path / "cat|dog" / "1.jpg").write_bytes(b"1")
    with pytest.raises(
        DataError, match=r"must not contain '\|', which separates several labels, but one is 'cat\|dog'"
    ):
        open_dataset(tmp_path)
