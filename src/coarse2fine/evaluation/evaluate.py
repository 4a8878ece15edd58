"""Compare predictions with ground truth.

Metrics come from one confusion matrix over all photos; pixels marked 255 are ignored, as in PASCAL VOC. Nothing that
trains reads ground-truth masks.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from coarse2fine.data.mask_files import check_mask_size, check_mask_sizes, list_masks, match_masks
from coarse2fine.data.photo_mask_pairs import Pairs
from coarse2fine.data.photos import read_header
from coarse2fine.data.reader import ReadOptions
from coarse2fine.errors import DataError
from coarse2fine.evaluation.class_names import read_class_names
from coarse2fine.evaluation.ground_truth import GroundTruth
from coarse2fine.evaluation.ground_truth_reader import (
    evaluated_classes,
    hold_white_objects,
    make_foreground_reader,
    make_ground_truth_reader,
    make_mask_reader,
)
from coarse2fine.evaluation.metrics import binary_iou, confusion_matrix, iou_per_class
from coarse2fine.evaluation.pairing import pair_by_name, pair_folders
from coarse2fine.evaluation.result import EvaluationResult, round_metric
from coarse2fine.inference.files import FilePrediction, predict_files
from coarse2fine.inference.segmenter import BATCH_SIZE, Segmenter
from coarse2fine.masks.labels import foreground_of
from coarse2fine.masks.png import mask_path, read_mask
from coarse2fine.masks.regions import foreground_mask
from coarse2fine.runtime.device import count_cores
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import FOREGROUND_CLASSES, IGNORE, Mask, Photo

Progress: TypeAlias = Callable[[Iterable[Any], int], Iterable[Any]]
"""Wraps an iterable of known length and shows progress while it is consumed."""


def no_progress(items: Iterable[Any], total: int) -> Iterable[Any]:
    """Return the items unchanged and show nothing."""
    return items


def evaluate_masks(
    folder: Path | str,
    ground_truth: Path | str,
    classes: Sequence[str] | None = None,
    threads: int | None = None,
) -> EvaluationResult:
    """Compare a folder of predicted masks with a folder of ground-truth masks of the same names.

    Args:
        folder: Folder of predicted masks, PNG with class indices.
        ground_truth: Folder of ground-truth masks, PNG with class indices; 255 is ignored.
        classes: Class names by index, background first; default: from ``classes.json`` in or beside ``folder``, or
            numbers if there is no such file.
        threads: Number of threads that read and compare; default: all cores.

    Returns:
        Metrics over all photos.

    Raises:
        DataError: A ground-truth mask has no prediction, sizes differ, or a mask holds an unknown class index.
    """
    folder, ground_truth = Path(folder), Path(ground_truth)
    names = tuple(classes) if classes else read_class_names(None, folder, ground_truth)
    pairs = pair_by_name([*list_masks(folder).values()], folder, ground_truth)
    read_predicted, read = (make_mask_reader(masks, names) for masks in zip(*pairs, strict=True))

    def count(pair: tuple[Path, Path]) -> NDArray[np.int64]:
        return _count(read_predicted(pair[0]), read(pair[1]), len(names), pair[1])

    return _sum(map_threads(count, pairs, threads or count_cores()), names)


def evaluate_network(
    segmenter: Segmenter,
    photos: Path | str,
    ground_truth: Path | str,
    threads: int | None = None,
    progress: Progress = no_progress,
) -> EvaluationResult:
    """Predict the masks of a folder of photos and compare them with ground-truth masks of the same names.

    Args:
        segmenter: The network.
        photos: Folder of photos.
        ground_truth: Folder of ground-truth masks in the size of the photos, PNG with the network's class indices.
        threads: Number of threads that decode and compare; default: all cores.
        progress: Wraps the photos, given their number, to show progress.

    Returns:
        Metrics over all photos.

    Raises:
        DataError: A ground-truth mask has no photo, sizes differ, or a mask holds an unknown class index.
    """
    pairs = pair_folders(Path(photos), Path(ground_truth))
    return evaluate_network_pairs(segmenter, pairs, threads or count_cores(), progress)


def evaluate_network_pairs(
    segmenter: Segmenter, pairs: Pairs, threads: int, progress: Progress = no_progress
) -> EvaluationResult:
    """Predict the masks of photos and compare them with their ground-truth masks.

    Args:
        segmenter: The network.
        pairs: Photos and ground-truth masks. If these know only foreground, every predicted class counts as foreground.
        threads: Number of threads that decode and compare.
        progress: Wraps the photos, given their number, to show progress.

    Raises:
        DataError: Sizes or classes do not match.
    """
    matrices = compute_confusion_matrices(segmenter, pairs, threads)
    return _sum(progress(matrices, len(pairs.photos)), evaluated_classes(pairs, segmenter.classes))


def compute_confusion_matrices(segmenter: Segmenter, pairs: Pairs, threads: int) -> Iterator[NDArray[np.int64]]:
    """Predict the masks of photos and compute the confusion matrix of each photo.

    Args:
        segmenter: The network.
        pairs: Photos and ground-truth masks, as in :func:`evaluate_network_pairs`.
        threads: Number of threads that decode and compare.

    Yields:
        One matrix per photo, in order, shape (C, C): rows ground-truth classes, columns predicted classes.

    Raises:
        DataError: A mask has another size than its photo.
    """
    read = make_ground_truth_reader(pairs, segmenter.classes)
    classes = evaluated_classes(pairs, segmenter.classes)

    def count(prediction: FilePrediction) -> NDArray[np.int64]:
        path = pairs.masks[prediction.index]
        predicted = foreground_mask(prediction.mask()) if pairs.knows_foreground_only else prediction.mask()
        return _count(predicted, read(path), len(classes), path)

    check_mask_sizes(pairs.masks, pairs.photos)
    options = ReadOptions(BATCH_SIZE, threads)
    return map_threads(count, predict_files(segmenter, pairs.photos, options), threads)


def evaluate_mask_pairs(folder: Path, pairs: Pairs, classes: tuple[str, ...], threads: int) -> EvaluationResult:
    """Compare predicted masks with the ground-truth masks of a public data set.

    Args:
        folder: Holds ``<name>.png`` for every name of ``pairs``, with the indices of ``classes``. If the ground truth
            knows only foreground, every value except 0 and 255 counts as foreground. If no mask holds another value
            than these two, and there is only one class, 255 (white) counts as this class.
        pairs: Photos and ground-truth masks.
        classes: Class names by index.
        threads: Number of threads that read and compare.

    Raises:
        DataError: A mask is missing, or sizes or classes do not match.
    """
    found = match_masks(pairs.names, list_masks(folder))
    missing = [mask_path(folder, name) for name in pairs.names if name not in found]
    if missing:
        raise DataError(
            f"Every photo of {pairs.title} needs a mask, but {len(missing)} of {len(pairs.names)} have none; the first "
            f"is {missing[0]}."
        )
    predicted = [found[name] for name in pairs.names]
    read, names = make_ground_truth_reader(pairs, classes), evaluated_classes(pairs, classes)
    read_predicted = make_mask_reader(predicted, names)

    def count(files: tuple[Path, Path]) -> NDArray[np.int64]:
        return _count(read_predicted(files[0]), read(files[1]), len(names), files[1])

    return _sum(map_threads(count, zip(predicted, pairs.masks, strict=True), threads), names)


def evaluate_round(
    ground_truth: GroundTruth,
    photos: Sequence[Photo],
    masks: Mapping[str, Path],
    segmenter: Segmenter | None,
    threads: int,
) -> dict[str, Any]:
    """Compute the metrics of one round for ``metrics.json``; metrics without ground truth are left out.

    Args:
        ground_truth: Ground truth of the training photos, of other photos, or of both.
        photos: Training photos with their labels.
        masks: Folders of training masks by the name of their stage.
        segmenter: The round's network; None before the first round.
        threads: Number of threads that read and compare.

    Returns:
        ``training_masks_iou`` (by stage) and ``training_masks_measured`` (number of photos) if there is ground truth of
        the training photos; ``evaluation`` (:meth:`EvaluationResult.as_dict`) if there is ground truth of other photos.
    """
    metrics: dict[str, Any] = {}
    if ground_truth.masks:
        ious, count = evaluate_training_masks(
            photos, list(masks.values()), ground_truth.masks, threads, ground_truth.any_class
        )
        metrics["training_masks_iou"] = {name: round_metric(iou) for name, iou in zip(masks, ious, strict=True)}
        metrics["training_masks_measured"] = count
    if ground_truth.pairs and segmenter:
        metrics["evaluation"] = evaluate_network_pairs(segmenter, ground_truth.pairs, threads).as_dict()
    return metrics


def evaluate_training_masks(
    photos: Sequence[Photo], folders: Sequence[Path], ground_truth: Path, threads: int, any_class: bool = False
) -> tuple[list[float], int]:
    """Compute the mean IoU of training masks with the ground truth of the labeled class, photo by photo.

    The IoU of a photo with several labels is the mean over its classes. Where its mask does not tell them apart
    (before round 1), it is the IoU of all its classes together. Photos without a label do not count.

    Args:
        photos: Photos with their labels.
        folders: Folders of their masks.
        ground_truth: Folder of ground-truth masks of the same names, class indices as labels; photos without one do not
            count. If none of them holds a value except 0 and 255, then 255 (white) is the photo's own class,
            and photos with several labels do not count.
        threads: Number of threads that read and compare.
        any_class: Whether objects of every class count as the photo's own object.

    Returns:
        Mean IoU over the photos for each folder (nan without photos), and the number of photos.
    """
    found = match_masks([photo.name for photo in photos if photo.labels], list_masks(ground_truth))
    is_white = hold_white_objects(found.values())
    known = [photo for photo in photos if photo.name in found and not (is_white and len(photo.labels) > 1)]
    read = make_foreground_reader([*found.values()]) if any_class or is_white else read_mask

    def compute_ious(photo: Photo) -> list[float]:
        actual = read(found[photo.name])
        if is_white:
            actual = actual * np.uint8(photo.labels[0])
        masks = [read_mask(mask_path(folder, photo.name)) for folder in folders]
        if any(mask.shape != actual.shape for mask in masks):
            check_mask_size(actual.shape, read_header(photo.path), found[photo.name], photo.path)
        return [_compute_own_iou(mask, actual, photo.labels) for mask in masks]

    ious = list(map_threads(compute_ious, known, threads))
    return [float(np.mean(of_folder)) for of_folder in zip(*ious, strict=True)] or [math.nan] * len(folders), len(known)


def _compute_own_iou(mask: Mask, actual: Mask, labels: Sequence[int]) -> float:
    """Compute the IoU of a photo's own classes in a training mask and in the ground truth."""
    if len(labels) == 1 or (mask == IGNORE).any():
        own = np.where(actual == IGNORE, IGNORE, np.isin(actual, labels)).astype(np.uint8)
        return binary_iou(foreground_of(mask, labels), own)
    return float(np.mean([_compute_own_iou(np.where(mask == label, mask, 0), actual, [label]) for label in labels]))


def _count(prediction: Mask, ground_truth: Mask, classes: int, path: Path) -> NDArray[np.int64]:
    try:
        return confusion_matrix(prediction, ground_truth, classes)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _sum(matrices: Iterable[NDArray[np.int64]], classes: tuple[str, ...]) -> EvaluationResult:
    total, ious, photos = np.zeros((len(classes), len(classes)), dtype=np.int64), 0.0, 0
    for matrix in matrices:
        total += matrix
        photos += 1
        ious += float(np.nan_to_num(iou_per_class(matrix)[-1], nan=1.0))
    return EvaluationResult(classes, total, photos, ious / photos if classes == FOREGROUND_CLASSES else None)
