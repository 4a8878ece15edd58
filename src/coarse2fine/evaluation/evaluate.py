"""Predictions and truth in, figures out. With ``truths`` the only room that ever reads true masks.

One confusion matrix over the whole split, pixels marked 255 ignored, as PASCAL VOC does it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.markup import escape
from rich.table import Table

from coarse2fine.data.photo_mask_pairs import Pairs
from coarse2fine.data.reader import ReadOptions
from coarse2fine.errors import DataError
from coarse2fine.evaluation.ground_truth import (
    Truth,
    measured_classes,
    object_reader,
    pair_by_name,
    pair_folders,
    truth_reader,
)
from coarse2fine.evaluation.metrics import binary_iou, confusion_matrix, iou_per_class, mean_iou, pixel_accuracy
from coarse2fine.inference.files import FilePrediction, predict_files
from coarse2fine.inference.segmenter import Segmenter
from coarse2fine.masks.png import mask_path, read_mask
from coarse2fine.masks.regions import classes_in, foreground_mask
from coarse2fine.masks.resize import resize_mask
from coarse2fine.runtime.files import read_json
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import FOREGROUND_CLASSES, IGNORE, Mask, Photo

EVALUATION_BATCH = 8


@dataclass(frozen=True)
class Result:
    """Figures of a split.

    Attributes:
        classes: Names by index.
        matrix: Pixels by true class (rows) and predicted class (columns), shape (C, C).
        photos: Number of photos.
        photo_iou: IoU of the foreground, mean over photos, 0 to 1; None where there are several classes to find.
    """

    classes: tuple[str, ...]
    matrix: NDArray[np.int64]
    photos: int
    photo_iou: float | None = None

    @property
    def mean_iou(self) -> float:
        """Mean IoU over the classes that occur, 0 to 1."""
        return mean_iou(self.matrix)

    def as_plain(self) -> dict[str, Any]:
        """Everything, ready for JSON; a class that does not occur has none."""
        ious = iou_per_class(self.matrix)
        of_photos = {} if self.photo_iou is None else {"foreground_iou_mean_over_photos": _plain(self.photo_iou)}
        return of_photos | {
            "mean_iou": _plain(self.mean_iou),
            "pixel_accuracy": _plain(pixel_accuracy(self.matrix)),
            "iou": {name: _plain(iou) for name, iou in zip(self.classes, ious, strict=True)},
            "confusion_matrix": self.matrix.tolist(),
            "photos": self.photos,
        }

    def as_table(self) -> Table:
        """IoU per class, mean and pixel accuracy, to read."""
        table = Table(title=f"{self.photos} photos", title_justify="left")
        table.add_column("class")
        table.add_column("IoU", justify="right")
        table.add_column("true pixels", justify="right")
        for name, iou, pixels in zip(self.classes, iou_per_class(self.matrix), self.matrix.sum(axis=1), strict=True):
            table.add_row(
                escape(name), "-" if np.isnan(iou) else f"{iou:.3f}", f"{pixels / max(1, self.matrix.sum()):.1%}"
            )
        table.add_section()
        table.add_row("mean", f"{self.mean_iou:.3f}")
        if self.photo_iou is not None:
            table.add_row("foreground, mean over photos", f"{self.photo_iou:.3f}")
        table.add_row("pixel accuracy", f"{pixel_accuracy(self.matrix):.3f}")
        return table


def measure(
    truth: Truth, photos: Sequence[Photo], masks: Mapping[str, Path], segmenter: Segmenter | None, threads: int
) -> dict[str, Any]:
    """Figures of one round, ready for JSON; what there is no truth for is left out.

    Args:
        truth: What to measure with.
        photos: Training photos with their labels.
        masks: Folders of training masks by the name of their stage.
        segmenter: The round's network.
        threads: For reading and comparing.
    """
    figures: dict[str, Any] = {}
    if truth.masks:
        measured = {
            name: measure_training_masks(photos, folder, truth.masks, threads, truth.foreground)
            for name, folder in masks.items()
        }
        figures["training_masks_iou"] = {name: _plain(iou) for name, (iou, _) in measured.items()}
        figures["training_masks_measured"] = max(count for _, count in measured.values())
    if truth.pairs and segmenter:
        figures["photos"] = evaluate_pairs(segmenter, truth.pairs, threads).as_plain()
    return figures


def read_classes(file: Path | None, masks: Path, truth: Path) -> tuple[str, ...]:
    """Class names by index: from a text file or ``classes.json``, else numbers up to the highest index in the masks.

    Args:
        file: One name per line, or a JSON list; none: look for ``classes.json`` beside or in ``masks``.
        masks: Folder of predicted masks.
        truth: Folder of true masks.
    """
    if named := named_classes(file, masks):
        return named
    paths = [path for folder in (masks, truth) for path in folder.rglob("*.png")]
    highest = max((index for path in paths for index in classes_in(read_mask(path))), default=1)
    return ("background", *(str(index) for index in range(1, highest + 1)))


def named_classes(file: Path | None, masks: Path) -> tuple[str, ...] | None:
    """Class names by index, where they are written down: in ``file``, or in ``classes.json`` beside or in ``masks``.

    Raises:
        DataError: ``file`` cannot be read.
    """
    places = [file] if file else [masks / "classes.json", masks.parent / "classes.json"]
    for place in places:
        if place.suffix == ".json" and place.exists():
            return tuple(str(name) for name in read_json(place))
        if file:
            try:
                lines = place.read_text(encoding="utf-8").splitlines()
            except OSError as error:
                raise DataError(f"The class names {place} cannot be read ({error.strerror}).") from error
            return tuple(line.strip() for line in lines if line.strip())
    return None


def evaluate_masks(folder: Path, truth: Path, classes: tuple[str, ...], threads: int) -> Result:
    """Compare a folder of predicted masks with a folder of true ones of the same names.

    Raises:
        DataError: Names, sizes or class indices do not fit together.
    """
    pairs = pair_by_name(sorted(folder.rglob("*.png")), folder, truth)
    read = object_reader([true for _, true in pairs]) if classes == FOREGROUND_CLASSES else read_mask

    def count(pair: tuple[Path, Path]) -> NDArray[np.int64]:
        return _count(read_mask(pair[0]), read(pair[1]), len(classes), pair[1])

    return _sum(map_threads(count, pairs, threads), classes)


def evaluate_network(
    segmenter: Segmenter,
    photos: Path,
    truth: Path,
    threads: int,
    watch: Callable[[Iterable[Any], int], Iterable[Any]] = lambda items, _total: items,
) -> Result:
    """Compare what a network finds in photos with their true masks of the same names.

    Args:
        segmenter: The network.
        photos: Folder of photos.
        truth: Folder of true masks, at the photos' sizes.
        threads: For decoding and comparing.
        watch: Wraps the photos, given their number, to show progress.

    Raises:
        DataError: Names, sizes or class indices do not fit together.
    """
    return evaluate_pairs(segmenter, pair_folders(photos, truth), threads, watch)


def evaluate_pairs(
    segmenter: Segmenter,
    pairs: Pairs,
    threads: int,
    watch: Callable[[Iterable[Any], int], Iterable[Any]] = lambda items, _total: items,
) -> Result:
    """Compare what a network finds in photos with their true masks.

    Args:
        segmenter: The network.
        pairs: Photos and masks. Where these know only foreground, whatever the network finds is foreground.
        threads: For decoding and comparing.
        watch: Wraps the photos, given their number, to show progress.

    Raises:
        DataError: Sizes or classes do not fit together.
    """
    matrices = compare_pairs(segmenter, pairs, threads)
    return _sum(watch(matrices, len(pairs.photos)), measured_classes(pairs, segmenter.classes))


def compare_pairs(segmenter: Segmenter, pairs: Pairs, threads: int) -> Iterator[NDArray[np.int64]]:
    """The confusion matrix of each photo, in their order; see :func:`evaluate_pairs`.

    Yields:
        Shape (C, C), rows true classes, columns predicted ones.
    """
    read = truth_reader(pairs, segmenter.classes)
    classes = measured_classes(pairs, segmenter.classes)

    def count(drawn: FilePrediction) -> NDArray[np.int64]:
        path = pairs.masks[drawn.index]
        true = read(path)
        found = drawn.mask(true.shape)
        return _count(foreground_mask(found) if pairs.knows_foreground_only else found, true, len(classes), path)

    options = ReadOptions(batch_size=EVALUATION_BATCH, threads=threads)
    return map_threads(count, predict_files(segmenter, pairs.photos, options), threads)


def evaluate_mask_pairs(folder: Path, pairs: Pairs, classes: tuple[str, ...], threads: int) -> Result:
    """Compare predicted masks with the true masks of a public data set.

    Args:
        folder: Holds ``<name>.png`` for every name of ``pairs``, with the indices of ``classes``. Where the true masks
            know only foreground, whatever is neither 0 nor 255 is foreground.
        pairs: Photos and masks.
        classes: Names by index.
        threads: For reading and comparing.

    Raises:
        DataError: A mask is missing, or sizes or classes do not fit together.
    """
    predicted = [mask_path(folder, name) for name in pairs.names]
    missing = [path for path in predicted if not path.is_file()]
    if missing:
        raise DataError(
            f"Every photo of {pairs.title} needs a mask, but {len(missing)} of {len(predicted)} have none; the first "
            f"is {missing[0]}."
        )
    read = truth_reader(pairs, classes)
    counted = measured_classes(pairs, classes)

    def count(files: tuple[Path, Path]) -> NDArray[np.int64]:
        found = read_mask(files[0])
        found = foreground_mask(found) if pairs.knows_foreground_only else found
        return _count(found, read(files[1]), len(counted), files[1])

    return _sum(map_threads(count, zip(predicted, pairs.masks, strict=True), threads), counted)


def measure_training_masks(
    photos: Sequence[Photo], folder: Path, truth: Path, threads: int, foreground: bool = False
) -> tuple[float, int]:
    """Mean IoU of the labeled object's mask with its true mask, photo by photo.

    Args:
        photos: Photos with their labels.
        folder: Their masks.
        truth: True masks of the same names, class indices as labels; photos without one do not count.
        threads: For reading and comparing.
        foreground: Objects of any class are the labeled object.

    Returns:
        Mean over photos (nan without any) and the number of photos.
    """
    known = [photo for photo in photos if mask_path(truth, photo.name).exists()]
    read = object_reader([mask_path(truth, photo.name) for photo in known]) if foreground else read_mask

    def measure(photo: Photo) -> float:
        true = read(mask_path(truth, photo.name))
        mask = resize_mask(read_mask(mask_path(folder, photo.name)), *true.shape)
        own = np.where(true == IGNORE, IGNORE, true == photo.label).astype(np.uint8)
        return binary_iou(mask, own)

    ious = list(map_threads(measure, known, threads))
    return (float(np.mean(ious)) if ious else float("nan")), len(ious)


def _count(prediction: Mask, true: Mask, classes: int, path: Path) -> NDArray[np.int64]:
    try:
        return confusion_matrix(prediction, true, classes)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _sum(matrices: Iterable[NDArray[np.int64]], classes: tuple[str, ...]) -> Result:
    total, ious, photos = np.zeros((len(classes), len(classes)), dtype=np.int64), 0.0, 0
    for matrix in matrices:
        total += matrix
        photos += 1
        ious += float(np.nan_to_num(iou_per_class(matrix)[-1], nan=1.0))
    return Result(classes, total, photos, ious / photos if classes == FOREGROUND_CLASSES else None)


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 5)
