import math

import numpy as np
import pytest

from coarse2fine.errors import DataError
from coarse2fine.evaluation.metrics import (
    binary_iou,
    confusion_matrix,
    iou_per_class,
    main_metric,
    mean_iou,
    pixel_accuracy,
)

PREDICTION = np.array([[0, 1, 1], [1, 2, 2]], np.uint8)
GROUND_TRUTH = np.array([[0, 0, 1], [1, 1, 2]], np.uint8)
MATRIX = [[1, 1, 0], [0, 2, 1], [0, 0, 1]]


def test_confusion_matrix__rows_are_ground_truth_and_columns_prediction():
    matrix = confusion_matrix(PREDICTION, GROUND_TRUTH, 3)
    assert matrix.tolist() == MATRIX
    assert matrix.dtype == np.int64


def test_confusion_matrix__ignored_ground_truth_does_not_count():
    assert confusion_matrix(np.array([[1, 0]], np.uint8), np.array([[255, 1]], np.uint8), 2).tolist() == [
        [0, 0],
        [1, 0],
    ]


def test_confusion_matrix__ignored_prediction_is_background():
    assert confusion_matrix(np.array([[255]], np.uint8), np.array([[1]], np.uint8), 2).tolist() == [[0, 0], [1, 0]]


def test_confusion_matrix__large_class_indices_do_not_overflow():
    matrix = confusion_matrix(np.array([[253]], np.uint8), np.array([[254]], np.uint8), 255)
    assert matrix[254, 253] == matrix.sum() == 1


def test_confusion_matrix__shapes_must_be_equal():
    with pytest.raises(DataError, match=r"found \(2, 3\) and \(3, 2\)"):
        confusion_matrix(PREDICTION, GROUND_TRUTH.T, 3)


@pytest.mark.parametrize(
    ("prediction", "ground_truth", "name"),
    [(PREDICTION, GROUND_TRUTH // 2, "prediction"), (GROUND_TRUTH // 2, GROUND_TRUTH, "ground truth")],
)
def test_confusion_matrix__class_index_must_be_in_range(prediction, ground_truth, name):
    with pytest.raises(DataError, match=f"With 2 classes the {name} must hold .* 0 to 1 .* found 2"):
        confusion_matrix(prediction, ground_truth, 2)


def test_iou_per_class__intersection_over_union():
    assert iou_per_class(np.array(MATRIX)) == pytest.approx([1 / 2, 2 / 4, 1 / 2])


def test_iou_per_class__nan_only_where_the_class_is_in_neither():
    ious = iou_per_class(np.array([[3, 1, 0], [0, 0, 0], [0, 0, 0]]))
    assert ious[:2].tolist() == [0.75, 0.0]
    assert math.isnan(ious[2])


def test_mean_iou__averages_the_classes_that_occur():
    assert mean_iou(np.array([[3, 1, 0], [0, 0, 0], [0, 0, 0]])) == 0.375
    assert math.isnan(mean_iou(np.zeros((2, 2), np.int64)))


def test_mean_iou__sums_of_matrices_weigh_photos_by_their_pixels():
    once = confusion_matrix(PREDICTION, GROUND_TRUTH, 3)
    assert mean_iou(once + once) == mean_iou(once) == 0.5


def test_pixel_accuracy__share_on_the_diagonal():
    assert pixel_accuracy(np.array(MATRIX)) == pytest.approx(4 / 6)
    assert math.isnan(pixel_accuracy(np.zeros((2, 2), np.int64)))


def test_binary_iou__classes_do_not_matter_and_ignored_pixels_do_not_count():
    prediction = np.array([[5, 5, 0, 0, 1, 255]], np.uint8)
    ground_truth = np.array([[1, 0, 2, 0, 255, 0]], np.uint8)
    assert binary_iou(prediction, ground_truth) == pytest.approx(1 / 3)


def test_binary_iou__both_empty_agree():
    empty = np.zeros((2, 2), np.uint8)
    assert binary_iou(empty, empty) == 1.0
    assert binary_iou(empty, empty + 1) == 0.0


def test_binary_iou__shapes_must_be_equal():
    with pytest.raises(DataError, match="same shape"):
        binary_iou(PREDICTION, GROUND_TRUTH.T)


def test_main_metric__of_the_foreground_task_is_its_iou():
    of_classes = {"mean_iou": 0.6, "iou": {"background": 0.7, "cat": 0.5}}
    of_foreground = {"mean_iou": 0.6, "iou": {"background": 0.7, "foreground": 0.5}}
    assert main_metric(of_classes) == ("mIoU", 0.6)
    assert main_metric(of_foreground) == ("foreground IoU", 0.5)
