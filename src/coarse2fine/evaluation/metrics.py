"""IoU and accuracy of predicted masks. Pixels whose ground truth is `IGNORE` never count.

Metrics over several classes come from one confusion matrix that is summed over all photos, as in PASCAL VOC: add the
matrices of the photos first, then divide once.
"""

# torchmetrics 1.9 gives the same matrix, but slower: 15 ms without and 72 ms with its checks, 2 ms here (21 classes,
# 500 x 375 px, one core of an AMD EPYC). It also reports IoU 0, not nan, for a class that is in neither mask.

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from coarse2fine.errors import DataError
from coarse2fine.types import BACKGROUND, FOREGROUND_CLASSES, IGNORE, Mask


class Metric(NamedTuple):
    """A metric with its name.

    Attributes:
        name: Name for people, such as ``mIoU``.
        value: Value, 0 to 1.
    """

    name: str
    value: float


def confusion_matrix(prediction: Mask, ground_truth: Mask, classes: int) -> NDArray[np.int64]:
    """Count the pixels of each ground-truth class by their predicted class.

    Args:
        prediction: Class indices, shape (H, W); `IGNORE` counts as background.
        ground_truth: Class indices, shape (H, W); pixels that are `IGNORE` do not count.
        classes: Number C of classes with background, 1 to 255.

    Returns:
        Matrix of shape (C, C): rows are ground-truth classes, columns are predicted classes. Matrices of several photos
        can be added.

    Raises:
        DataError: The masks differ in shape, or one holds a class index of C or more.
    """
    _check_same_shape(prediction, ground_truth)
    _check_range("prediction", prediction, classes)
    _check_range("ground truth", ground_truth, classes)
    counted = ground_truth != IGNORE
    rows = ground_truth[counted].astype(np.int64)
    columns = np.where(prediction == IGNORE, BACKGROUND, prediction)[counted]
    return np.bincount(rows * classes + columns, minlength=classes**2).reshape(classes, classes).astype(np.int64)


def iou_per_class(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compute the IoU of each class: TP / (TP + FP + FN).

    Args:
        matrix: Confusion matrix, shape (C, C), rows ground truth, columns prediction.

    Returns:
        IoUs, shape (C,), 0 to 1; nan for a class that is neither in the ground truth nor in the prediction.
    """
    hits = np.diag(matrix).astype(np.float64)
    union = matrix.sum(axis=0) + matrix.sum(axis=1) - hits
    ious = np.full(len(hits), np.nan)
    np.divide(hits, union, out=ious, where=union > 0)
    return ious


def mean_iou(matrix: NDArray[np.int64]) -> float:
    """Average the IoU over the classes that are in the ground truth or in the prediction; nan if no pixel counts."""
    ious = iou_per_class(matrix)
    found = ~np.isnan(ious)
    return float(ious[found].mean()) if found.any() else float("nan")


def pixel_accuracy(matrix: NDArray[np.int64]) -> float:
    """Compute the share of correctly classified pixels, 0 to 1; nan if no pixel counts."""
    total = int(matrix.sum())
    return int(np.trace(matrix)) / total if total else float("nan")


def binary_iou(prediction: Mask, ground_truth: Mask) -> float:
    """Compute the IoU of the foregrounds of two masks; classes do not matter.

    Args:
        prediction: Shape (H, W); values above 0 are foreground, `IGNORE` is background.
        ground_truth: Shape (H, W); values above 0 are foreground, pixels that are `IGNORE` do not count.

    Returns:
        IoU of the foreground, 0 to 1; 1 if both masks have no foreground.

    Raises:
        DataError: The masks differ in shape.
    """
    _check_same_shape(prediction, ground_truth)
    counted = ground_truth != IGNORE
    predicted = counted & (prediction != BACKGROUND) & (prediction != IGNORE)
    actual = counted & (ground_truth != BACKGROUND)
    union = np.count_nonzero(predicted | actual)
    return np.count_nonzero(predicted & actual) / union if union else 1.0


def main_metric(metrics: Mapping[str, Any]) -> Metric:
    """Choose the metric of a network that papers compare: mIoU, or the foreground IoU if there are no other classes.

    Args:
        metrics: Metrics of a network, as :meth:`~coarse2fine.evaluation.result.EvaluationResult.as_dict` returns them.
    """
    if tuple(metrics["iou"]) == FOREGROUND_CLASSES:
        return Metric("foreground IoU", metrics["iou"][FOREGROUND_CLASSES[1]] or 0.0)
    return Metric("mIoU", metrics["mean_iou"])


def _check_same_shape(prediction: Mask, ground_truth: Mask) -> None:
    if prediction.shape != ground_truth.shape:
        raise DataError(
            f"Prediction and ground truth must have the same shape, found {prediction.shape} and {ground_truth.shape}; "
            "resize the prediction to the size of the ground truth."
        )


def _check_range(name: str, mask: Mask, classes: int) -> None:
    highest = int(mask.max(initial=BACKGROUND, where=mask != IGNORE))
    if highest >= classes:
        raise DataError(
            f"With {classes} classes the {name} must hold class indices 0 to {classes - 1} (or {IGNORE}), "
            f"found {highest}; check that both use the same class list."
        )
