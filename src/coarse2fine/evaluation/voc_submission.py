"""Write the archive for the evaluation server of PASCAL VOC 2012: one mask per photo of the test list.

Source: VOC 2012 development kit, "Submission of results": results/VOC2012/Segmentation/comp6_test_cls/<id>.png, one
class index per pixel, 0 to 20. comp6 is the competition that allows any training data.
"""

import gzip
import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from coarse2fine.data.photos import read_size
from coarse2fine.data.reader import ReadOptions
from coarse2fine.data.voc import VOC_CLASSES, check_photos_there, photo_path, read_ids, voc_index
from coarse2fine.errors import DataError
from coarse2fine.evaluation.evaluate import Progress, no_progress
from coarse2fine.inference.files import FilePrediction, predict_files
from coarse2fine.inference.segmenter import BATCH_SIZE, Segmenter
from coarse2fine.masks.png import encode_mask, mask_path, read_mask
from coarse2fine.runtime.files import write_atomically
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import Mask

INNER_FOLDER = "results/VOC2012/Segmentation/comp6_test_cls"
TEST_LIST = "test"
_NO_CLASS = 255


def write_network_submission(
    segmenter: Segmenter, voc: Path, out: Path, threads: int, progress: Progress = no_progress
) -> int:
    """Predict the masks of the test photos and write the archive.

    The CRF refines the masks if the segmenter has one.

    Args:
        segmenter: The network; its classes are matched by name with the classes of VOC.
        voc: The folder VOC2012.
        out: The archive, ``.tgz``.
        threads: Number of threads that decode and encode.
        progress: Wraps the photos, given their number, to show progress.

    Returns:
        Number of masks.

    Raises:
        DataError: A class is not in VOC, or a photo of the list is missing or cannot be read.
    """
    table = build_voc_table(segmenter.classes)
    ids = _read_test_ids(voc)
    photos = [photo_path(voc, name) for name in ids]

    def predict(prediction: FilePrediction) -> tuple[str, bytes]:
        return ids[prediction.index], encode_mask(table[prediction.mask()])

    predictions = predict_files(segmenter, photos, ReadOptions(BATCH_SIZE, threads))
    _write_archive(out, dict(progress(map_threads(predict, predictions, threads), len(ids))))
    return len(ids)


def write_mask_submission(folder: Path, classes: Sequence[str] | None, voc: Path, out: Path, threads: int) -> int:
    """Write the archive from a folder of predicted masks.

    Args:
        folder: Holds ``<id>.png`` for every photo of the test list.
        classes: Class names by index; None if the indices are the indices of VOC.
        voc: The folder VOC2012.
        out: The archive, ``.tgz``.
        threads: Number of threads that decode and encode.

    Returns:
        Number of masks.

    Raises:
        DataError: A class is not in VOC, or a mask is missing, differs in size from its photo, or holds an index that
            is no class.
    """
    table = build_voc_table(classes or VOC_CLASSES)
    ids = _read_test_ids(voc)
    missing = [name for name in ids if not mask_path(folder, name).is_file()]
    if missing:
        raise DataError(
            f"Every photo of the list {TEST_LIST} needs a mask, but {len(missing)} of {len(ids)} have none; the first "
            f"is {mask_path(folder, missing[0])}."
        )

    def convert(name: str) -> tuple[str, bytes]:
        return name, encode_mask(_to_voc(mask_path(folder, name), photo_path(voc, name), table))

    _write_archive(out, dict(map_threads(convert, ids, threads)))
    return len(ids)


def build_voc_table(classes: Sequence[str]) -> Mask:
    """Build the table from class index to VOC index.

    Args:
        classes: Class names by index, background first.

    Returns:
        Table, shape (256,); 255 at indices without a class.

    Raises:
        DataError: A class is not in VOC, or two names mean the same class.
    """
    table = np.full(256, _NO_CLASS, np.uint8)
    for label, name in enumerate(classes):
        index = voc_index(name)
        if index is None or (index == 0) != (label == 0):
            raise DataError(
                f"Every class must be a class of VOC, but '{name}' is not. The classes of VOC are: "
                f"{', '.join(VOC_CLASSES[1:])}."
            )
        if index in table[:label]:
            raise DataError(
                f"Every class of VOC may occur once, but two class names mean {VOC_CLASSES[index]}; rename one."
            )
        table[label] = index
    return table


def _read_test_ids(voc: Path) -> list[str]:
    ids = read_ids(voc, TEST_LIST)
    check_photos_there(voc, TEST_LIST, ids)
    return ids


def _to_voc(path: Path, photo: Path, table: Mask) -> Mask:
    mask, (height, width) = read_mask(path), read_size(photo)
    if mask.shape != (height, width):
        raise DataError(
            f"{path} must have the size of its photo, {width} x {height} pixels, but has {mask.shape[1]} x "
            f"{mask.shape[0]}."
        )
    converted: Mask = table[mask]
    if (converted == _NO_CLASS).any():
        raise DataError(
            f"{path} must hold class indices only, but holds {int(mask[converted == _NO_CLASS][0])}; the server "
            "accepts no ignored pixels (255), and the class names come from classes.json or --classes."
        )
    return converted


def _write_archive(out: Path, files: Mapping[str, bytes]) -> None:
    """Write the archive so that the same masks give the same bytes: sorted, without times and owners."""
    with (
        write_atomically(out) as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name in sorted(files):
            entry = tarfile.TarInfo(f"{INNER_FOLDER}/{name}.png")
            entry.size, entry.mode = len(files[name]), 0o644
            archive.addfile(entry, io.BytesIO(files[name]))
