"""Write masks, overlays and a table of the classes for any photos; memory does not grow with the number of photos."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from coarse2fine.data.class_folders import names_below_common_folder
from coarse2fine.data.photos import read_image
from coarse2fine.data.reader import ReadOptions
from coarse2fine.data.remote_photos import collect_photos
from coarse2fine.errors import DataError
from coarse2fine.inference.files import FilePrediction, predict_files
from coarse2fine.inference.found_objects import OBJECT_COLUMNS, cut_out, list_objects
from coarse2fine.inference.segmenter import BATCH_SIZE, Segmenter, most_probable_class
from coarse2fine.masks.palette import overlay
from coarse2fine.masks.png import mask_path, write_mask
from coarse2fine.masks.resize import resize_mask
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.files import size_and_time, write_atomically, write_csv, write_json
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import Image, Mask, Probabilities, Skipped

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
        cutouts: Whether to write the objects without the background, as RGBA.
        instances: Whether to write a table of the connected objects.
        max_megapixels: Larger photos are skipped.
    """

    batch_size: int = BATCH_SIZE
    overlays: bool = True
    probabilities: bool = False
    max_megapixels: float = 200.0
    cutouts: bool = False
    instances: bool = False


def predict_photos(
    segmenter: Segmenter,
    photos: Path | str | Sequence[Path | str],
    out: Path | str,
    options: PredictOptions = PredictOptions(),
    context: Context | None = None,
) -> list[Skipped]:
    """Predict photos from files and write the results into a folder.

    Writes ``masks/<photo>.png`` (class indices at the size of the photo), ``overlays/<photo>.jpg``, ``found.csv`` (the
    classes and their share of each photo), ``classes.json`` (class names), ``photos.json`` (paths of the photos) and
    ``origin.json`` (this folder, and size and time of each photo, by which an export recognizes the photos). With
    ``options.probabilities`` also ``probabilities/<photo>.npz``, with the array ``probabilities``: class probabilities
    at the working size, before any CRF, float16, shape (C, h, w). With ``options.cutouts`` also
    ``cutouts/<photo>.png`` (:func:`cut_out`). With ``options.instances`` also ``objects.csv``: class, score, box, area
    and polygon of each connected object (:func:`list_objects`). ``<photo>`` is the path of a photo below the folder
    that all photos have in common.

    Args:
        segmenter: The network, from :meth:`Segmenter.load`.
        photos: One or several files, folders, glob patterns or web addresses; ``-`` is standard input. Photos from
            there are kept in ``out / received``.
        out: Folder for the results.
        options: Which files to write, and how to read the photos.
        context: Console for the progress bar, and threads; None: one thread per core, and nothing is printed.

    Returns:
        Photos that could not be read, with the reason; one entry for all files that are no photos by their endings.

    Raises:
        DataError: There are no photos, or none can be read.
    """
    context = context or Context()
    folder = Path(out)
    skipped: list[Skipped] = []
    ignored: list[Skipped] = []
    given = [photos] if isinstance(photos, Path | str) else [*photos]
    paths = collect_photos(given, folder, lambda text: ignored.append(Skipped(Path(given[0]), text)))
    names = names_below_common_folder(paths, given)

    def write(prediction: FilePrediction) -> tuple[list[Row], list[ObjectRow]]:
        name, probabilities = names[prediction.index], prediction.probabilities_after_crf()
        mask = most_probable_class(probabilities, *prediction.size)
        write_mask(mask_path(folder / "masks", name), mask)
        if options.probabilities:
            _write_probabilities(folder / "probabilities" / f"{name}.npz", prediction.probabilities)
        if prediction.copy is not None:
            _write_overlay(folder / "overlays" / f"{name}.jpg", prediction.copy, mask)
        if options.cutouts:
            photo = read_image(paths[prediction.index], options.max_megapixels)
            _write_rgba(folder / "cutouts" / f"{name}.png", cut_out(photo, probabilities))
        objects = list_objects(mask, probabilities) if options.instances else []
        return _class_rows(name, mask, segmenter.classes), [
            (name, segmenter.classes[one.label], *one.columns()) for one in objects
        ]

    reading = ReadOptions(
        batch_size=options.batch_size,
        threads=context.threads,
        max_megapixels=options.max_megapixels,
        on_skipped=lambda index, reason: skipped.append(Skipped(paths[index], reason)),
    )
    predictions = predict_files(segmenter, paths, reading, copy_px=OVERLAY_MAX_SIDE_PX if options.overlays else None)
    done = context.console.track(map_threads(write, predictions, context.threads), len(paths), "predicting")
    with _open_object_table(folder if options.instances else None) as add_objects:
        rows = (row for classes, objects in done for row in (add_objects(objects) or classes))
        write_csv(folder / "found.csv", ["photo", "class", "share_of_pixels"], rows)
    write_json(folder / "photos.json", {name: str(path.absolute()) for name, path in zip(names, paths, strict=True)})
    stamps = {name: size_and_time(path) for name, path in zip(names, paths, strict=True)}
    write_json(folder / "origin.json", {"folder": str(folder.absolute()), "photos": stamps})
    write_json(folder / "classes.json", list(segmenter.classes))
    if len(skipped) == len(paths):
        raise DataError(
            f"None of the {len(paths)} photos can be read; the first: {skipped[0].path}: {skipped[0].reason}."
        )
    return sorted([*skipped, *ignored], key=lambda item: str(item.path))


@contextmanager
def _open_object_table(folder: Path | None) -> Iterator[Callable[[Sequence[ObjectRow]], None]]:
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


def _write_rgba(path: Path, image: NDArray[np.uint8]) -> None:
    with write_atomically(path) as file:
        PillowImage.fromarray(image).save(file, format="PNG")


def _class_rows(name: str, mask: Mask, classes: Sequence[str]) -> list[Row]:
    """Return a row per class in the mask, without background unless the mask has nothing else."""
    labels, counts = np.unique(mask, return_counts=True)
    shares = {int(label): count / mask.size for label, count in zip(labels, counts, strict=True) if label}
    return [(name, classes[label], f"{share:.4f}") for label, share in (shares or {0: 1.0}).items()]


def _write_overlay(path: Path, image: Image, mask: Mask) -> None:
    picture = PillowImage.fromarray(overlay(image, resize_mask(mask, *image.shape[:2])))
    with write_atomically(path) as file:
        picture.save(file, format="JPEG", quality=90)


def _write_probabilities(path: Path, probabilities: Probabilities) -> None:
    with write_atomically(path) as file:
        np.savez_compressed(file, probabilities=probabilities.astype(np.float16))
