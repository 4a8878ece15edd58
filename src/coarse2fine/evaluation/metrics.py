"""How well predicted masks fit the truth. Pixels whose truth is `IGNORE` never count.

All figures over several classes come from one confusion matrix, summed over the whole split as VOC does; sum the
matrices of the photos, then divide once.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coarse2fine.errors import DataError
from coarse2fine.types import BACKGROUND, FOREGROUND_CLASSES, IGNORE, Mask


def confusion_matrix(prediction: Mask, truth: Mask, classes: int) -> NDArray[np.int64]:
    """Count the pixels of each true class by the class predicted for them.

    Args:
        prediction: Class indices, shape (H, W); `IGNORE` counts as background.
        truth: Class indices, shape (H, W); where it is `IGNORE` nothing counts.
        classes: Number C of classes with background, 1 to 255.

    Returns:
        Shape (C, C): rows are true classes, columns predicted ones. Matrices of several photos may be added.

    Raises:
        DataError: The masks differ in shape, or one holds a class index of C or more.
    """
    _check_same_shape(prediction, truth)
    _check_range("prediction", prediction, classes)
    _check_range("truth", truth, classes)
    counted = truth != IGNORE
    rows = truth[counted].astype(np.int64)
    columns = np.where(prediction == IGNORE, BACKGROUND, prediction)[counted]
    return np.bincount(rows * classes + columns, minlength=classes**2).reshape(classes, classes).astype(np.int64)


def iou_per_class(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Divide each class's intersection by its union: TP / (TP + FP + FN).

    Args:
        matrix: Shape (C, C), rows truth, columns prediction.

    Returns:
        Shape (C,), 0 to 1; nan for a class that is neither in the truth nor in the prediction.
    """
    hits = np.diag(matrix).astype(np.float64)
    union = matrix.sum(axis=0) + matrix.sum(axis=1) - hits
    ious = np.full(len(hits), np.nan)
    np.divide(hits, union, out=ious, where=union > 0)
    return ious


def mean_iou(matrix: NDArray[np.int64]) -> float:
    """Average the IoU over the classes that are in the truth or in the prediction; nan where no pixel counts."""
    ious = iou_per_class(matrix)
    found = ~np.isnan(ious)
    return float(ious[found].mean()) if found.any() else float("nan")


def pixel_accuracy(matrix: NDArray[np.int64]) -> float:
    """Share of the counted pixels whose class is right, 0 to 1; nan where no pixel counts."""
    total = int(matrix.sum())
    return int(np.trace(matrix)) / total if total else float("nan")


def binary_iou(prediction: Mask, truth: Mask) -> float:
    """Measure how well two foregrounds agree, whatever their classes.

    Args:
        prediction: Shape (H, W); above 0 is foreground, `IGNORE` is background.
        truth: Shape (H, W); above 0 is foreground, where it is `IGNORE` nothing counts.

    Returns:
        IoU of the foreground, 0 to 1; 1 where both have none.

    Raises:
        DataError: The masks differ in shape.
    """
    _check_same_shape(prediction, truth)
    counted = truth != IGNORE
    predicted = counted & (prediction != BACKGROUND) & (prediction != IGNORE)
    true = counted & (truth != BACKGROUND)
    union = np.count_nonzero(predicted | true)
    return np.count_nonzero(predicted & true) / union if union else 1.0


def _check_same_shape(prediction: Mask, truth: Mask) -> None:
    if prediction.shape != truth.shape:
        raise DataError(
            f"Prediction and truth must have the same shape, found {prediction.shape} and {truth.shape}; "
            "resize the prediction to the truth."
        )


def _check_range(name: str, mask: Mask, classes: int) -> None:
    highest = int(mask.max(initial=BACKGROUND, where=mask != IGNORE))
    if highest >= classes:
        raise DataError(
            f"With {classes} classes the {name} must hold class indices 0 to {classes - 1} (or {IGNORE}), "
            f"found {highest}; check that both use the same class list."
        )


def headline(figures: Mapping[str, Any]) -> tuple[str, float]:
    """The one figure of a network that papers compare, and its name: mIoU, or the IoU of the foreground alone."""
    if tuple(figures["iou"]) == FOREGROUND_CLASSES:
        return "foreground IoU", figures["iou"][FOREGROUND_CLASSES[1]] or 0.0
    return "mIoU", figures["mean_iou"]
