"""Predictions and truth in, figures out. The only room that ever reads true masks.

One confusion matrix over the whole split, pixels marked 255 ignored, as PASCAL VOC does it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.markup import escape
from rich.table import Table

from coarse2fine.data.photos import find_unreadable, list_photos, read_image
from coarse2fine.errors import DataError
from coarse2fine.hardware import count_cores
from coarse2fine.inference import Segmenter, score_files
from coarse2fine.masks import classes_in, resize_mask
from coarse2fine.metrics import binary_iou, confusion_matrix, iou_per_class, mean_iou, pixel_accuracy
from coarse2fine.parallel import map_threads
from coarse2fine.store import hash_of, mask_path, read_json, read_mask
from coarse2fine.types import IGNORE, Dataset, Mask, Photo

EVALUATION_BATCH = 8


@dataclass(frozen=True)
class Result:
    """Figures of a split.

    Attributes:
        classes: Names by index.
        matrix: Pixels by true class (rows) and predicted class (columns), shape (C, C).
        photos: Number of photos.
    """

    classes: tuple[str, ...]
    matrix: NDArray[np.int64]
    photos: int

    @property
    def mean_iou(self) -> float:
        """Mean IoU over the classes that occur, 0 to 1."""
        return mean_iou(self.matrix)

    def as_plain(self) -> dict[str, Any]:
        """Everything, ready for JSON; a class that does not occur has none."""
        ious = iou_per_class(self.matrix)
        return {
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
        table.add_row("pixel accuracy", f"{pixel_accuracy(self.matrix):.3f}")
        return table


@dataclass(frozen=True)
class Truth:
    """True masks to measure a run with.

    Attributes:
        masks: Folder of true masks named like the training photos' masks; none if not given.
        photos: Folder of photos that the run does not train on; none if not given.
        photo_masks: Folder of their true masks.
    """

    masks: Path | None = None
    photos: Path | None = None
    photo_masks: Path | None = None

    @property
    def key(self) -> str:
        """Fingerprint of where the truth lies."""
        return hash_of([str(path) for path in (self.masks, self.photos, self.photo_masks)])


def open_truth(folders: Sequence[Path], dataset: Dataset) -> Truth:
    """Recognise folders of truth and check that they fit the data set, before anything is computed.

    Args:
        folders: Each holds ``images`` and ``masks`` of other photos, or true masks named like the data set's photos.
        dataset: The run's photos.

    Raises:
        DataError: A folder is neither, or its masks and photos do not fit together.
    """
    truth = Truth()
    for folder in folders:
        if (folder / "images").is_dir() and (folder / "masks").is_dir():
            pairs = pair_by_name(list_photos([folder / "images"]), folder / "images", folder / "masks")
            _check_readable([path for path, _ in pairs])
            _check_classes([path for _, path in pairs], dataset)
            truth = replace(truth, photos=folder / "images", photo_masks=folder / "masks")
        elif known := [path for photo in dataset.photos if (path := mask_path(folder, photo.name)).exists()]:
            _check_classes(known, dataset)
            truth = replace(truth, masks=folder)
        else:
            raise DataError(
                f"A folder of truth must hold 'images' and 'masks', or true masks named like the photos, such as "
                f"{mask_path(folder, dataset.photos[0].name)}; {folder} has neither."
            )
    return truth


def _check_readable(paths: Sequence[Path]) -> None:
    if unreadable := find_unreadable(paths):
        first = unreadable[0]
        raise DataError(
            f"Every photo to measure with must be readable, but {first.path} is not ({first.reason}); mend it, or "
            "remove it and its mask."
        )


def _check_classes(paths: Sequence[Path], dataset: Dataset) -> None:
    highest = len(dataset.classes) - 1
    for path, found in zip(
        paths, map_threads(lambda path: classes_in(read_mask(path)), paths, count_cores()), strict=True
    ):
        if found and found[-1] > highest:
            raise DataError(
                f"The true mask {path} holds class index {found[-1]}, but the data set has the classes 0 to {highest} "
                f"({', '.join(dataset.classes)}); use 255 for what does not count."
            )


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
            name: measure_training_masks(photos, folder, truth.masks, threads) for name, folder in masks.items()
        }
        figures["training_masks_iou"] = {name: _plain(iou) for name, (iou, _) in measured.items()}
        figures["training_masks_measured"] = max(count for _, count in measured.values())
    if truth.photos and truth.photo_masks and segmenter:
        figures["photos"] = evaluate_network(segmenter, truth.photos, truth.photo_masks, threads).as_plain()
    return figures


def pair_by_name(paths: Sequence[Path], root: Path, masks: Path) -> list[tuple[Path, Path]]:
    """Find for every mask the photo or prediction of the same relative name, with its ending or without.

    Args:
        paths: Photos or predicted masks below ``root``.
        root: Their folder.
        masks: Folder of masks, PNG.

    Returns:
        Pairs (photo or prediction, mask), sorted.

    Raises:
        DataError: There are no masks, or one has no partner: leaving it out would flatter figures.
    """
    relative = {path: path.relative_to(root) for path in paths}
    by_name = {name.with_suffix("").as_posix(): path for path, name in relative.items()}
    by_name |= {name.as_posix(): path for path, name in relative.items()}  # masks of a.jpg beside a.png
    named = {path.relative_to(masks).with_suffix("").as_posix(): path for path in sorted(masks.rglob("*.png"))}
    if not named:
        raise DataError(f"{masks} must hold masks as PNG, but has none.")
    missing = [name for name in named if name not in by_name]
    if missing:
        raise DataError(
            f"Every mask needs a partner of the same name, but {len(missing)} of {len(named)} in {masks} have "
            f"none in {root}; the first is {missing[0]}.png."
        )
    return [(by_name[name], path) for name, path in named.items()]


def read_classes(file: Path | None, masks: Path, truth: Path) -> tuple[str, ...]:
    """Class names by index: from a text file or ``classes.json``, else numbers up to the highest index in the masks.

    Args:
        file: One name per line, or a JSON list; none: look for ``classes.json`` beside or in ``masks``.
        masks: Folder of predicted masks.
        truth: Folder of true masks.
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
    paths = [path for folder in (masks, truth) for path in folder.rglob("*.png")]
    highest = max((index for path in paths for index in classes_in(read_mask(path))), default=1)
    return ("background", *(str(index) for index in range(1, highest + 1)))


def evaluate_masks(folder: Path, truth: Path, classes: tuple[str, ...], threads: int) -> Result:
    """Compare a folder of predicted masks with a folder of true ones of the same names.

    Raises:
        DataError: Names, sizes or class indices do not fit together.
    """
    pairs = pair_by_name(sorted(folder.rglob("*.png")), folder, truth)

    def count(pair: tuple[Path, Path]) -> NDArray[np.int64]:
        return _count(read_mask(pair[0]), pair[1], len(classes))

    return _sum(map_threads(count, pairs, threads), classes, len(pairs))


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
    pairs = pair_by_name(list_photos([photos]), photos, truth)

    def count(scored: tuple[int, NDArray[np.float32]]) -> NDArray[np.int64]:
        photo, path = pairs[scored[0]]
        true = read_mask(path)
        read = partial(read_image, photo, at_least_px=segmenter.crf.max_side_px)
        return _count(segmenter.label(scored[1], true.shape, read), path, len(segmenter.classes), true)

    scored = score_files(segmenter, [photo for photo, _ in pairs], EVALUATION_BATCH, threads)
    counted = watch(map_threads(count, scored, threads), len(pairs))
    return _sum(counted, segmenter.classes, len(pairs))


def measure_training_masks(photos: Sequence[Photo], folder: Path, truth: Path, threads: int) -> tuple[float, int]:
    """Mean IoU of the labelled object's mask with its true mask, photo by photo.

    Args:
        photos: Photos with their labels.
        folder: Their masks.
        truth: True masks of the same names, class indices as labels; photos without one do not count.
        threads: For reading and comparing.

    Returns:
        Mean over photos (nan without any) and the number of photos.
    """
    known = [photo for photo in photos if mask_path(truth, photo.name).exists()]

    def measure(photo: Photo) -> float:
        true = read_mask(mask_path(truth, photo.name))
        mask = resize_mask(read_mask(mask_path(folder, photo.name)), *true.shape)
        own = np.where(true == IGNORE, IGNORE, true == photo.label).astype(np.uint8)
        return binary_iou(mask, own)

    ious = list(map_threads(measure, known, threads))
    return (float(np.mean(ious)) if ious else float("nan")), len(ious)


def _count(prediction: Mask, path: Path, classes: int, true: Mask | None = None) -> NDArray[np.int64]:
    try:
        return confusion_matrix(prediction, read_mask(path) if true is None else true, classes)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _sum(matrices: Iterable[NDArray[np.int64]], classes: tuple[str, ...], photos: int) -> Result:
    total = np.zeros((len(classes), len(classes)), dtype=np.int64)
    for matrix in matrices:
        total += matrix
    return Result(classes, total, photos)


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 5)
