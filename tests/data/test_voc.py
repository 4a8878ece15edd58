import pytest

from coarse2fine.data import open_dataset
from coarse2fine.data.voc import (
    VOC_CLASSES,
    find_voc,
    normalize_class_name,
    read_ids,
    read_voc_labels,
    read_voc_pairs,
    require_voc,
    voc_index,
)
from coarse2fine.errors import DataError


def test_voc_classes__are_as_in_the_devkit():
    assert len(VOC_CLASSES) == 21
    assert list(VOC_CLASSES[1:]) == sorted(VOC_CLASSES[1:])  # so that class folders have VOC's indices
    assert (VOC_CLASSES[15], VOC_CLASSES[20]) == ("person", "tvmonitor")


@pytest.mark.parametrize(
    "name, index",
    [
        ("aeroplane", 1),
        ("Airplane", 1),
        ("dining table", 11),
        ("diningtable", 11),
        ("Motorcycle", 14),
        ("potted_plant", 16),
        ("tv/monitor", 20),
        ("TV", 20),
        ("background", 0),
        ("tiger", None),
    ],
)
def test_voc_index__takes_the_usual_spellings(name, index):
    assert voc_index(name) == index


def test_normalize_class_name__leaves_other_names():
    assert normalize_class_name("Red Panda") == "redpanda"


def test_find_voc__the_folder_or_one_above(voc_tree):
    assert find_voc(voc_tree) == find_voc(voc_tree.parent) == find_voc(voc_tree.parent.parent) == voc_tree
    assert find_voc(voc_tree / "JPEGImages") is None


def test_require_voc__says_what_is_missing_and_where_it_is(tmp_path):
    with pytest.raises(DataError, match=r"JPEGImages is missing; unpack http.*VOCtrainval"):
        require_voc(tmp_path)
    (tmp_path / "VOCtrainval_11-May-2012.tar").touch()
    with pytest.raises(DataError, match=r"unpack .*VOCtrainval_11-May-2012.tar first"):
        require_voc(tmp_path)


def test_read_ids__a_missing_list_says_where_to_get_it(voc_tree):
    assert read_ids(voc_tree, "train") == ["2007_000001", "2007_000002"]
    with pytest.raises(DataError, match=r"trainaug\.txt does .* lists: test, train, val; .*10,582 in total"):
        read_ids(voc_tree, "trainaug")
    (voc_tree / "ImageSets/Segmentation/val.txt").write_text("\n")
    with pytest.raises(DataError, match=r"val\.txt must name one photo per line, but is empty"):
        read_ids(voc_tree, "val")


def test_read_ids__takes_lists_of_pairs_of_files(voc_tree):
    line = "/JPEGImages/2007_000001.jpg /SegmentationClassAug/2007_000001.png\n"
    (voc_tree / "ImageSets/Segmentation/trainaug.txt").write_text(line)
    assert read_ids(voc_tree, "trainaug") == ["2007_000001"]


def test_read_voc_pairs__photos_and_masks(voc_tree):
    pairs = read_voc_pairs(voc_tree, "train")
    assert pairs.names == ("2007_000001", "2007_000002")
    assert pairs.photos[1] == voc_tree / "JPEGImages/2007_000002.jpg"
    assert pairs.masks[1] == voc_tree / "SegmentationClass/2007_000002.png"
    assert pairs.classes == VOC_CLASSES


def test_read_voc_pairs__masks_of_sbd_where_voc_has_none(voc_tree):
    (voc_tree / "SegmentationClassAug").mkdir()
    (voc_tree / "SegmentationClass/2007_000002.png").rename(voc_tree / "SegmentationClassAug/2007_000002.png")
    folders = [mask.parent.name for mask in read_voc_pairs(voc_tree, "train").masks]
    assert folders == ["SegmentationClass", "SegmentationClassAug"]


def test_read_voc_pairs__what_is_missing_is_named(voc_tree):
    with pytest.raises(DataError, match="ground-truth masks of test are not public"):
        read_voc_pairs(voc_tree, "test")
    (voc_tree / "SegmentationClass/2007_000001.png").unlink()
    with pytest.raises(DataError, match=r"1 of 2 have none, such as .*SegmentationClass/2007_000001.png or"):
        read_voc_pairs(voc_tree, "train")
    (voc_tree / "JPEGImages/2007_000003.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of 1 are missing, the first is .*2007_000003.jpg"):
        read_voc_pairs(voc_tree, "val")


def test_read_voc_labels__largest_object_or_single_class(voc_tree):
    largest = [(label, path.stem) for label, path in read_voc_labels(voc_tree, "train")]
    assert largest == [("cat", "2007_000001"), ("cat", "2007_000002")]
    single = [path.stem for _, path in read_voc_labels(voc_tree, "train", "single")]
    assert single == ["2007_000002"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("<annotation>", "cannot be read"),
        ("<annotation></annotation>", "contains no object"),
        ("<annotation><object><name>cat</name></object></annotation>", "an object has no bndbox"),
        (
            "<annotation><object><name>tiger</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax>"
            "</bndbox></object></annotation>",
            "contains the class 'tiger'",
        ),
    ],
)
def test_read_voc_labels__a_damaged_annotation_is_named(voc_tree, text, message):
    (voc_tree / "Annotations/2007_000002.xml").write_text(text)
    with pytest.raises(DataError, match=rf"2007_000002\.xml .*{message}"):
        read_voc_labels(voc_tree, "train")


def test_read_voc_labels__test_has_no_annotations(voc_tree):
    with pytest.raises(DataError, match="photos of test have none"):
        read_voc_labels(voc_tree, "test")


def test_open_dataset__voc_is_no_class_folders(voc_tree):
    with pytest.raises(DataError, match=r"no single label; .*voc-labels --voc"):
        open_dataset(voc_tree)
