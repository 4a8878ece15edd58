"""Write masks, overlays and a table of the classes for any photos; memory does not grow with the number of photos."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from coarse2fine.data.class_folders import names_below_common_folder
from coarse2fine.data.photo_files import list_photos
from coarse2fine.data.reader import ReadOptions
from coarse2fine.errors import DataError
from coarse2fine.inference.files import FilePrediction, predict_files
from coarse2fine.inference.segmenter import BATCH_SIZE, Segmenter
from coarse2fine.masks.palette import overlay
from coarse2fine.masks.png import mask_path, write_mask
from coarse2fine.masks.resize import resize_mask
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.files import size_and_time, write_atomically, write_csv, write_json
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import Image, Mask, Probabilities, Skipped

OVERLAY_MAX_SIDE_PX = 1600

Row = tuple[str, str, str]


@dataclass(frozen=True)
class PredictOptions:
    """Which files :func:`predict_photos` writes, and how it reads the photos.

    Attributes:
        batch_size: Photos that the network computes at once.
        overlays: Whether to write the masks drawn over the photos.
        probabilities: Whether to write the class probabilities.
        max_megapixels: Larger photos are skipped.
    """

    batch_size: int = BATCH_SIZE
    overlays: bool = True
    probabilities: bool = False
    max_megapixels: float = 200.0


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
    at the working size, before any CRF, float16, shape (C, h, w). ``<photo>`` is the path of a photo below the folder
    that all photos have in common.

    Args:
        segmenter: The network, from :meth:`Segmenter.load`.
        photos: One or several files, folders or glob patterns.
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
    first = Path(photos if isinstance(photos, Path | str) else photos[0] if photos else "")
    paths = list_photos(photos, folder, lambda text: ignored.append(Skipped(first, text)))
    names = names_below_common_folder(paths)

    def write(prediction: FilePrediction) -> list[Row]:
        name, mask = names[prediction.index], prediction.mask()
        write_mask(mask_path(folder / "masks", name), mask)
        if options.probabilities:
            _write_probabilities(folder / "probabilities" / f"{name}.npz", prediction.probabilities)
        if prediction.copy is not None:
            _write_overlay(folder / "overlays" / f"{name}.jpg", prediction.copy, mask)
        return _class_rows(name, mask, segmenter.classes)

    reading = ReadOptions(
        batch_size=options.batch_size,
        threads=context.threads,
        max_megapixels=options.max_megapixels,
        on_skipped=lambda index, reason: skipped.append(Skipped(paths[index], reason)),
    )
    predictions = predict_files(segmenter, paths, reading, copy_px=OVERLAY_MAX_SIDE_PX if options.overlays else None)
    done = context.console.track(map_threads(write, predictions, context.threads), len(paths), "predicting")
    write_csv(folder / "found.csv", ["photo", "class", "share_of_pixels"], chain.from_iterable(done))
    write_json(folder / "photos.json", {name: str(path.absolute()) for name, path in zip(names, paths, strict=True)})
    stamps = {name: size_and_time(path) for name, path in zip(names, paths, strict=True)}
    write_json(folder / "origin.json", {"folder": str(folder.absolute()), "photos": stamps})
    write_json(folder / "classes.json", list(segmenter.classes))
    if len(skipped) == len(paths):
        raise DataError(
            f"None of the {len(paths)} photos can be read; the first: {skipped[0].path}: {skipped[0].reason}."
        )
    return sorted([*skipped, *ignored], key=lambda item: str(item.path))


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
