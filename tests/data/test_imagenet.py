import csv
import re
from collections import Counter
from pathlib import Path

import pytest

from coarse2fine.data.imagenet import (
    TABLE,
    Synset,
    choose_photos,
    distribute,
    find_synset_root,
    list_synset_photos,
    read_synsets,
)
from coarse2fine.data.voc import VOC_CLASSES
from coarse2fine.errors import DataError

ROWS = list(csv.DictReader(TABLE.read_text(encoding="utf-8").splitlines()))


@pytest.fixture(scope="module")
def ilsvrc() -> dict[str, str]:
    """Names by id of the 1,000 synsets, from timm's copy of the list."""
    timm = pytest.importorskip("timm")
    info = Path(timm.__file__).parent / "data" / "_info"
    lemmas = dict(
        line.split("\t", 1) for line in (info / "imagenet_synset_to_lemma.txt").read_text("utf-8").splitlines()
    )
    return {one: lemmas[one] for one in (info / "imagenet_synsets.txt").read_text("utf-8").split()}


def test_table__every_id_is_one_of_ilsvrc_and_has_its_name(ilsvrc):
    assert len(ilsvrc) == 1000
    assert {row["synset"]: row["name"] for row in ROWS} == {
        row["synset"]: ilsvrc.get(row["synset"], "none of ILSVRC").split(", ")[0] for row in ROWS
    }


def test_table__form():
    assert all(re.fullmatch(r"n\d{8}", row["synset"]) and row["reason"] for row in ROWS)
    assert len({row["synset"] for row in ROWS}) == len(ROWS)
    assert {(row["sub1"], row["sub2"]) for row in ROWS} == {("1", "1"), ("1", "0")}


@pytest.mark.parametrize("which", ["sub1", "sub2"])
def test_read_synsets__every_class_of_voc_has_some(which):
    assert {one.label for one in read_synsets(which)} == set(VOC_CLASSES[1:])


def test_read_synsets__car_is_cleaned_as_the_paper_says():
    names = {row["synset"]: row["name"] for row in ROWS}
    assert {names[one.synset] for one in read_synsets("sub2") if one.label == "car"} == {"racer", "beach wagon"}
    assert {"car mirror", "freight car", "passenger car"} < {
        names[one.synset] for one in read_synsets("sub1") if one.label == "car"
    }


@pytest.mark.parametrize(
    "text, message",
    [
        ("class,synset\ncat,n00000001\n", "columns class, synset and sub1"),
        ("class,synset,sub1\n", "must have rows"),
        ("class,synset,sub1\ncat,n1,1\n", "found 'n1' of class 'cat'"),
        ("class,synset,sub1\ncat,n00000001,1\ndog,n00000001,1\n", "occur once"),
        ("class,synset,sub1\ncat,n00000001,0\n", "no row has a 1"),
    ],
)
def test_read_synsets__a_table_of_ones_own_is_checked(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_synsets("sub1", tmp_path / "t.csv")


def make_tree(root: Path, **photos: int) -> Path:
    for synset, number in photos.items():
        (root / synset).mkdir(parents=True)
        for index in range(number):
            (root / synset / f"{synset}_{index}.JPEG").touch()
    return root


SYNSETS = [Synset("cat", "n00000001"), Synset("cat", "n00000002"), Synset("dog", "n00000003")]


@pytest.mark.parametrize("place", [".", "train", "ILSVRC/Data/CLS-LOC/train"])
def test_find_synset_root__wherever_it_was_unpacked(tmp_path, place):
    make_tree(tmp_path / place, n00000001=1)
    assert find_synset_root(tmp_path) == tmp_path / place


def test_find_synset_root__packed_or_missing_says_how_to_get_it(tmp_path):
    with pytest.raises(DataError, match=r"train/n02690373, but has none; get https://image-net\.org"):
        find_synset_root(tmp_path)
    (tmp_path / "ILSVRC2012_img_train.tar").touch()
    with pytest.raises(DataError, match=r"img_train\.tar must be unpacked first: mkdir .*train && tar -xf"):
        find_synset_root(tmp_path)
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "n00000001.tar").touch()
    (tmp_path / "ILSVRC2012_img_train.tar").unlink()
    with pytest.raises(DataError, match=r"n00000001\.tar must be unpacked first: mkdir .*train/n00000001 && tar"):
        find_synset_root(tmp_path)


def test_list_synset_photos__a_half_unpacked_tree_is_refused(tmp_path):
    tree = make_tree(tmp_path / "train", n00000001=2, n00000002=0)
    with pytest.raises(DataError, match=r"2 of 3 have none: .*train/n00000002 is an empty folder; get"):
        list_synset_photos(tmp_path, SYNSETS)
    (tree / "n00000002").rmdir()
    (tree / "n00000002.tar").touch()
    with pytest.raises(DataError, match=r"n00000002 does not exist; .*n00000002\.tar must be unpacked first"):
        list_synset_photos(tmp_path, SYNSETS)


@pytest.mark.parametrize(
    "sizes, wanted, expected",
    [([9, 9, 9], 9, [3, 3, 3]), ([1, 9, 9], 9, [1, 4, 4]), ([9, 9], 3, [2, 1]), ([2, 1], 9, [2, 1]), ([], 5, [])],
)
def test_distribute__evenly_as_far_as_there_are_any(sizes, wanted, expected):
    assert distribute(sizes, wanted) == expected


def test_choose_photos__evenly_seeded_and_growing(tmp_path):
    found = list_synset_photos(make_tree(tmp_path, n00000001=20, n00000002=20, n00000003=30), SYNSETS)
    eight = choose_photos(found, total=8)
    assert Counter(path.parent.name for _, path in eight) == {"n00000001": 2, "n00000002": 2, "n00000003": 4}
    assert [label for label, _ in eight] == ["cat"] * 4 + ["dog"] * 4
    assert eight == choose_photos(found, total=8) != choose_photos(found, total=8, seed=1)
    assert set(eight) < set(choose_photos(found, total=20))
    assert Counter(label for label, _ in choose_photos(found, per_class=25)) == {"cat": 25, "dog": 25}
    assert len(choose_photos(found)) == 70
