from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from coarse2fine.data.photo_mask_pairs import Pairs
from coarse2fine.data.public_datasets import open_public_dataset
from coarse2fine.data.voc import VOC_CLASSES
from coarse2fine.errors import DataError
from coarse2fine.evaluation.evaluate import evaluate_mask_pairs
from coarse2fine.evaluation.ground_truth import open_ground_truth
from coarse2fine.evaluation.ground_truth_reader import (
    describe_limits,
    make_foreground_reader,
    make_ground_truth_reader,
)
from coarse2fine.masks.png import read_mask, write_mask
from coarse2fine.types import FOREGROUND_CLASSES, IGNORE, Dataset, Photo


def voc_pairs(tmp_path, *masks) -> Pairs:
    paths = tuple(tmp_path / f"{index}.png" for index in range(len(masks)))
    for path, mask in zip(paths, masks, strict=True):
        write_mask(path, np.array(mask, np.uint8))
    return Pairs("VOC", tuple(path.stem for path in paths), paths, paths, VOC_CLASSES)


def test_make_ground_truth_reader__matches_classes_by_name_and_the_rest_is_background(tmp_path):
    pairs = voc_pairs(tmp_path, [[0, 8, 20, 12, IGNORE]])  # cat, tvmonitor, dog
    read = make_ground_truth_reader(pairs, ("background", "TV", "cat"))
    assert read(pairs.masks[0]).tolist() == [[0, 2, 1, 0, IGNORE]]
    described = describe_limits(pairs, ("background", "TV", "cat"))
    assert "dog" in described and "cat" not in described and "tvmonitor" not in described
    assert describe_limits(pairs, VOC_CLASSES) is None


def test_make_ground_truth_reader__with_the_classes_of_voc_nothing_changes(tmp_path):
    pairs = voc_pairs(tmp_path, [[*range(21), IGNORE]])
    assert make_ground_truth_reader(pairs, VOC_CLASSES)(pairs.masks[0]).tolist() == [[*range(21), IGNORE]]


@pytest.mark.parametrize(
    "classes, message",
    [
        (("background", "tiger"), "Every class must be a class of VOC, but 'tiger' is not"),
        (("background", "tv", "tv monitor"), "'tv' and 'tv monitor' are both the class tvmonitor"),
    ],
)
def test_make_ground_truth_reader__refuses_classes_that_cannot_be_matched(tmp_path, classes, message):
    with pytest.raises(DataError, match=message):
        make_ground_truth_reader(voc_pairs(tmp_path), classes)


def test_make_ground_truth_reader__a_value_that_is_no_class(tmp_path):
    pairs = voc_pairs(tmp_path, [[21]])
    with pytest.raises(DataError, match=r"0\.png must hold 0 to 20 or 255, but holds 21"):
        make_ground_truth_reader(pairs, VOC_CLASSES)(pairs.masks[0])


@pytest.mark.fault("truth-0-255")
def test_make_ground_truth_reader__no_class_occurs(tmp_path):
    pairs = voc_pairs(tmp_path, [[0, IGNORE]], [[0, 0]])
    with pytest.raises(DataError, match=r"no class occurs in .*0\.png"):
        make_ground_truth_reader(pairs, ("background", "cat"))


def test_make_ground_truth_reader__of_a_run_that_knows_foreground_only(tmp_path):
    pairs = voc_pairs(tmp_path, [[0, 8, 20, IGNORE]], [[0, IGNORE, IGNORE, IGNORE]])
    read = make_ground_truth_reader(pairs, FOREGROUND_CLASSES)
    assert read(pairs.masks[0]).tolist() == [[0, 1, 1, IGNORE]]
    assert read(pairs.masks[1]).tolist() == [[0, IGNORE, IGNORE, IGNORE]]
    assert describe_limits(pairs, FOREGROUND_CLASSES) is None


def test_make_foreground_reader__masks_of_nothing_but_black_and_white(tmp_path):
    pairs = voc_pairs(tmp_path, [[0, IGNORE]], [[0, 0]])
    read = make_foreground_reader(pairs.masks)
    assert [read(path).tolist() for path in pairs.masks] == [[[0, 1]], [[0, 0]]]


def test_open_ground_truth__of_the_foreground_task_takes_any_class(voc_tree, tmp_path):
    write_mask(tmp_path / "masks" / "a.png", np.full((2, 2), 7, np.uint8))
    dataset = Dataset(FOREGROUND_CLASSES, (Photo(tmp_path / "a.jpg", "a", (1,)),))
    opened = open_ground_truth([voc_tree, tmp_path / "masks"], dataset)
    assert opened.any_class and opened.masks == tmp_path / "masks"
    assert opened.fingerprint != replace(opened, any_class=False).fingerprint


def test_open_ground_truth__a_public_data_set_and_only_one(voc_tree, tmp_path):
    dataset = Dataset(VOC_CLASSES, (Photo(tmp_path / "a.jpg", "cat/a", (8,)),))
    opened = open_ground_truth([voc_tree], dataset)
    assert opened.pairs == open_public_dataset(voc_tree)
    with pytest.raises(DataError, match="Only one ground truth of other photos"):
        open_ground_truth([voc_tree, voc_tree / "ImageSets/Segmentation/train.txt"], dataset)
    with pytest.raises(DataError, match="'tiger' is not"):
        open_ground_truth([voc_tree], Dataset(("background", "tiger"), dataset.photos))
    write_mask(voc_tree / "SegmentationClass/2007_000003.png", np.full((30, 40), 30, np.uint8))
    with pytest.raises(DataError, match="holds 30"):
        open_ground_truth([voc_tree], dataset)


def test_evaluate_mask_pairs__of_voc(voc_tree, tmp_path):
    pairs = open_public_dataset(voc_tree / "ImageSets/Segmentation/train.txt")
    for name, path in zip(pairs.names, pairs.masks, strict=True):
        mask = read_mask(path)
        write_mask(tmp_path / "out" / f"{name}.png", np.where(mask == 8, 1, 0).astype(np.uint8))
    result = evaluate_mask_pairs(tmp_path / "out", pairs, ("background", "cat"), 2)
    assert result.as_dict()["iou"] == {"background": 1.0, "cat": 1.0}  # the dog is background to a cats' network
    assert result.photo_iou is None
    (tmp_path / "out" / "2007_000002.png").unlink()
    with pytest.raises(DataError, match=r"1 of 2 have none; the first is .*2007_000002\.png"):
        evaluate_mask_pairs(tmp_path / "out", pairs, ("background", "cat"), 2)


def test_evaluate_mask_pairs__foreground_over_pixels_and_over_photos(tmp_path):
    actual = np.zeros((2, 4), np.uint8)
    actual[0] = 255  # white is the foreground
    for name in ("a", "b"):
        (tmp_path / "actual").mkdir(exist_ok=True)
        Image.fromarray(actual if name == "a" else np.full_like(actual, 255)).save(tmp_path / "actual" / f"{name}.png")
    write_mask(tmp_path / "out" / "a.png", np.array([[3, 3, 0, 0], [0, 0, 0, 0]], np.uint8))
    write_mask(tmp_path / "out" / "b.png", np.full((2, 4), 7, np.uint8))
    masks = tuple(tmp_path / "actual" / f"{name}.png" for name in ("a", "b"))
    pairs = Pairs("found", ("a", "b"), masks, masks, FOREGROUND_CLASSES)
    result = evaluate_mask_pairs(tmp_path / "out", pairs, (), 1)
    assert result.classes == FOREGROUND_CLASSES
    figures = result.as_dict()
    assert figures["iou"]["foreground"] == pytest.approx(10 / 12, abs=1e-5)
    assert figures["foreground_iou_mean_over_photos"] == 0.75
    assert result.as_table().row_count == 5
