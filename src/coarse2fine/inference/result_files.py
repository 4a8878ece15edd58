"""The files of a prediction: mask, overlay, probabilities, cut-out, and the rows of the tables."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from coarse2fine.errors import ConfigError
from coarse2fine.inference.files import FilePrediction
from coarse2fine.inference.found_objects import OBJECT_COLUMNS, cut_out, list_objects
from coarse2fine.inference.segmenter import BATCH_SIZE, decide_classes
from coarse2fine.masks.palette import overlay
from coarse2fine.masks.png import mask_path, write_mask
from coarse2fine.masks.resize import resize_mask
from coarse2fine.runtime.files import write_atomically
from coarse2fine.types import Image, Mask, Probabilities

OVERLAY_MAX_SIDE_PX = 1600

Row = tuple[str, str, str]
ObjectRow = tuple[str | int, ...]


@dataclass(frozen=True)
class PredictOptions:
    """Which files :func:`predict_photos` writes, and how it reads the photos.

    Attributes:
        batch_size: Photos that the network computes at once.
        overlays: Whether to write the masks drawn over the photos.
        probabilities: Whether to write the class probabilities.
        max_megapixels: Larger photos are skipped, and a video ends at a larger frame.
        cutouts: Whether to write the objects without the background, as RGBA.
        instances: Whether to write a table of the connected objects.
        every: Of a video, only each frame whose number is a multiple of this is predicted.

    Raises:
        ConfigError: ``every`` is less than 1.
    """

    batch_size: int = BATCH_SIZE
    overlays: bool = True
    probabilities: bool = False
    max_megapixels: float = 200.0
    cutouts: bool = False
    instances: bool = False
    every: int = 1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ConfigError(f"every must be at least 1, so that a video has frames to predict; found {self.every}.")


class PhotoResult(NamedTuple):
    """Mask and table rows of one photo or frame.

    Attributes:
        mask: Class indices at the size of the photo.
        rows: Rows of ``found.csv``.
        objects: Rows of ``objects.csv``.
    """

    mask: Mask
    rows: list[Row]
    objects: list[ObjectRow]


def write_prediction(
    folder: Path,
    name: str,
    prediction: FilePrediction,
    read_photo: Callable[[], Image],
    classes: Sequence[str],
    options: PredictOptions,
) -> PhotoResult:
    """Write the files of one photo or frame, except its overlay.

    Args:
        folder: Folder of all results.
        name: Name of the photo.
        prediction: Its prediction.
        read_photo: Reads it at full size, for the cut-out.
        classes: Class names by index.
        options: Which files to write.
    """
    probabilities = prediction.probabilities_after_crf()
    mask = decide_classes(probabilities, *prediction.size, prediction.foreground_first)
    write_mask(mask_path(folder / "masks", name), mask)
    if options.probabilities:
        _write_probabilities(folder / "probabilities" / f"{name}.npz", prediction.probabilities)
    if options.cutouts:
        _write_rgba(
            folder / "cutouts" / f"{name}.png", cut_out(read_photo(), probabilities, prediction.foreground_first)
        )
    objects = list_objects(mask, probabilities) if options.instances else []
    return PhotoResult(
        mask,
        _class_rows(name, mask, classes),
        [(name, classes[one.label], *one.columns()) for one in objects],
    )


@contextmanager
def open_object_table(folder: Path | None) -> Iterator[Callable[[Sequence[ObjectRow]], None]]:
    """Open ``objects.csv``; yield a function that appends rows. Without a folder there is no file."""
    if folder is None:
        yield lambda _rows: None
        return
    with write_atomically(folder / "objects.csv") as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        table = csv.writer(text)
        table.writerow(["photo", "class", *OBJECT_COLUMNS])
        yield table.writerows
        text.flush()
        text.detach()


def draw_overlay(image: Image, mask: Mask) -> Image:
    """Draw a mask of any size over its photo; returns RGB of the photo's size."""
    return overlay(image, resize_mask(mask, *image.shape[:2]))


def write_overlay(path: Path, image: Image, mask: Mask) -> None:
    """Write a mask drawn over its photo as JPEG."""
    picture = PillowImage.fromarray(draw_overlay(image, mask))
    with write_atomically(path) as file:
        picture.save(file, format="JPEG", quality=90)


def _write_rgba(path: Path, image: NDArray[np.uint8]) -> None:
    with write_atomically(path) as file:
        PillowImage.fromarray(image).save(file, format="PNG")


def _class_rows(name: str, mask: Mask, classes: Sequence[str]) -> list[Row]:
    """Return a row per class in the mask, without background unless the mask has nothing else."""
    labels, counts = np.unique(mask, return_counts=True)
    shares = {int(label): count / mask.size for label, count in zip(labels, counts, strict=True) if label}
    return [(name, classes[label], f"{share:.4f}") for label, share in (shares or {0: 1.0}).items()]


def _write_probabilities(path: Path, probabilities: Probabilities) -> None:
    with write_atomically(path) as file:
        np.savez_compressed(file, probabilities=probabilities.astype(np.float16))
