from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from coarse2fine.data.photo_mask_pairs import Pairs
from coarse2fine.data.public_datasets import open_public_dataset
from coarse2fine.data.voc import VOC_CLASSES
from coarse2fine.errors import DataError
from coarse2fine.evaluation.evaluate import evaluate_mask_pairs
from coarse2fine.evaluation.ground_truth import explain_unknown, object_reader, open_truth, truth_reader
from coarse2fine.masks.png import read_mask, write_mask
from coarse2fine.types import FOREGROUND_CLASSES, IGNORE, Dataset, Photo


def voc_pairs(tmp_path, *masks) -> Pairs:
    paths = tuple(tmp_path / f"{index}.png" for index in range(len(masks)))
    for path, mask in zip(paths, masks, strict=True):
        write_mask(path, np.array(mask, np.uint8))
    return Pairs("VOC", tuple(path.stem for path in paths), paths, paths, VOC_CLASSES)


def test_truth_reader__matches_classes_by_name_and_the_rest_is_background(tmp_path):
    pairs = voc_pairs(tmp_path, [[0, 8, 20, 12, IGNORE]])  # cat, tvmonitor, dog
    read = truth_reader(pairs, ("background", "TV", "cat"))
    assert read(pairs.masks[0]).tolist() == [[0, 2, 1, 0, IGNORE]]
    told = explain_unknown(pairs, ("background", "TV", "cat"))
    assert "dog" in told and "cat" not in told and "tvmonitor" not in told
    assert explain_unknown(pairs, VOC_CLASSES) is None


def test_truth_reader__with_the_classes_of_voc_nothing_changes(tmp_path):
    pairs = voc_pairs(tmp_path, [[*range(21), IGNORE]])
    assert truth_reader(pairs, VOC_CLASSES)(pairs.masks[0]).tolist() == [[*range(21), IGNORE]]


@pytest.mark.parametrize(
    "classes, message",
    [
        (("background", "tiger"), "Every class must be one of those of VOC, but 'tiger' is not"),
        (("background", "tv", "tv monitor"), "'tv' and 'tv monitor' are both the class tvmonitor"),
    ],
)
def test_truth_reader__refuses_classes_that_cannot_be_matched(tmp_path, classes, message):
    with pytest.raises(DataError, match=message):
        truth_reader(voc_pairs(tmp_path), classes)


def test_truth_reader__a_value_that_is_no_class(tmp_path):
    pairs = voc_pairs(tmp_path, [[21]])
    with pytest.raises(DataError, match=r"0\.png must hold 0 to 20 or 255, but holds 21"):
        truth_reader(pairs, VOC_CLASSES)(pairs.masks[0])


def test_truth_reader__of_a_run_that_knows_foreground_only(tmp_path):
    pairs = voc_pairs(tmp_path, [[0, 8, 20, IGNORE]], [[0, IGNORE, IGNORE, IGNORE]])
    read = truth_reader(pairs, FOREGROUND_CLASSES)
    assert read(pairs.masks[0]).tolist() == [[0, 1, 1, IGNORE]]
    assert read(pairs.masks[1]).tolist() == [[0, IGNORE, IGNORE, IGNORE]]
    assert explain_unknown(pairs, FOREGROUND_CLASSES) is None


def test_object_reader__masks_of_nothing_but_black_and_white(tmp_path):
    pairs = voc_pairs(tmp_path, [[0, IGNORE]], [[0, 0]])
    read = object_reader(pairs.masks)
    assert [read(path).tolist() for path in pairs.masks] == [[[0, 1]], [[0, 0]]]


def test_open_truth__of_the_foreground_task_takes_any_class(voc_tree, tmp_path):
    write_mask(tmp_path / "masks" / "a.png", np.full((2, 2), 7, np.uint8))
    dataset = Dataset(FOREGROUND_CLASSES, (Photo(tmp_path / "a.jpg", "a", 1),))
    truth = open_truth([voc_tree, tmp_path / "masks"], dataset)
    assert truth.foreground and truth.masks == tmp_path / "masks"
    assert truth.key != replace(truth, foreground=False).key


def test_open_truth__a_public_data_set_and_only_one(voc_tree, tmp_path):
    dataset = Dataset(VOC_CLASSES, (Photo(tmp_path / "a.jpg", "cat/a", 8),))
    truth = open_truth([voc_tree], dataset)
    assert truth.pairs == open_public_dataset(voc_tree)
    with pytest.raises(DataError, match="Only one set of other photos"):
        open_truth([voc_tree, voc_tree / "ImageSets/Segmentation/train.txt"], dataset)
    with pytest.raises(DataError, match="'tiger' is not"):
        open_truth([voc_tree], Dataset(("background", "tiger"), dataset.photos))
    write_mask(voc_tree / "SegmentationClass/2007_000003.png", np.full((30, 40), 30, np.uint8))
    with pytest.raises(DataError, match="holds 30"):
        open_truth([voc_tree], dataset)


def test_evaluate_mask_pairs__of_voc(voc_tree, tmp_path):
    pairs = open_public_dataset(voc_tree / "ImageSets/Segmentation/train.txt")
    for name, path in zip(pairs.names, pairs.masks, strict=True):
        mask = read_mask(path)
        write_mask(tmp_path / "out" / f"{name}.png", np.where(mask == 8, 1, 0).astype(np.uint8))
    result = evaluate_mask_pairs(tmp_path / "out", pairs, ("background", "cat"), 2)
    assert result.as_plain()["iou"] == {"background": 1.0, "cat": 1.0}  # the dog is background to a cats' network
    assert result.photo_iou is None
    (tmp_path / "out" / "2007_000002.png").unlink()
    with pytest.raises(DataError, match=r"1 of 2 have none; the first is .*2007_000002\.png"):
        evaluate_mask_pairs(tmp_path / "out", pairs, ("background", "cat"), 2)


def test_evaluate_mask_pairs__foreground_over_pixels_and_over_photos(tmp_path):
    true = np.zeros((2, 4), np.uint8)
    true[0] = 255  # white is the object
    for name in ("a", "b"):
        (tmp_path / "true").mkdir(exist_ok=True)
        Image.fromarray(true if name == "a" else np.full_like(true, 255)).save(tmp_path / "true" / f"{name}.png")
    write_mask(tmp_path / "out" / "a.png", np.array([[3, 3, 0, 0], [0, 0, 0, 0]], np.uint8))
    write_mask(tmp_path / "out" / "b.png", np.full((2, 4), 7, np.uint8))
    masks = tuple(tmp_path / "true" / f"{name}.png" for name in ("a", "b"))
    pairs = Pairs("found", ("a", "b"), masks, masks, FOREGROUND_CLASSES)
    result = evaluate_mask_pairs(tmp_path / "out", pairs, (), 1)
    assert result.classes == FOREGROUND_CLASSES
    figures = result.as_plain()
    assert figures["iou"]["foreground"] == pytest.approx(10 / 12, abs=1e-5)
    assert figures["foreground_iou_mean_over_photos"] == 0.75
    assert result.as_table().row_count == 5
