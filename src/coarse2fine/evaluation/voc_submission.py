"""The archive that the evaluation server of PASCAL VOC 2012 takes: one mask per photo of the test list.

Source: VOC 2012 development kit, "Submission of results": results/VOC2012/Segmentation/comp6_test_cls/<id>.png, class
index per pixel, 0 to 20. comp6 is the competition in which anything may have been trained on.
"""

import gzip
import io
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from coarse2fine.data.photos import read_size
from coarse2fine.data.reader import ReadOptions
from coarse2fine.data.voc import VOC_CLASSES, check_photos_there, photo_path, read_ids, voc_index
from coarse2fine.errors import DataError
from coarse2fine.evaluation.evaluate import EVALUATION_BATCH
from coarse2fine.inference.files import FilePrediction, predict_files
from coarse2fine.inference.segmenter import Segmenter
from coarse2fine.masks.png import encode_mask, mask_path, read_mask
from coarse2fine.runtime.files import write_atomically
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import Mask

INNER_FOLDER = "results/VOC2012/Segmentation/comp6_test_cls"
TEST_LIST = "test"
_NO_CLASS = 255


def submit_network(
    segmenter: Segmenter,
    voc: Path,
    out: Path,
    threads: int,
    watch: Callable[[Iterable[Any], int], Iterable[Any]] = lambda items, _total: items,
) -> int:
    """Predict the test photos, with the CRF should the network have one, and write the archive.

    Args:
        segmenter: Its classes are matched by name with those of VOC.
        voc: The folder VOC2012.
        out: The archive, ``.tgz``.
        threads: For decoding and writing.
        watch: Wraps the photos, given their number, to show progress.

    Returns:
        Number of masks.

    Raises:
        DataError: A class is none of VOC, or a photo of the list is not there or cannot be read.
    """
    table = voc_indices(segmenter.classes)
    ids = _read_test_ids(voc)
    photos = [photo_path(voc, one) for one in ids]

    def predict(drawn: FilePrediction) -> tuple[str, bytes]:
        return ids[drawn.index], encode_mask(table[drawn.mask()])

    drawn = predict_files(segmenter, photos, ReadOptions(batch_size=EVALUATION_BATCH, threads=threads))
    _write_archive(out, dict(watch(map_threads(predict, drawn, threads), len(ids))))
    return len(ids)


def submit_masks(folder: Path, classes: Sequence[str] | None, voc: Path, out: Path, threads: int) -> int:
    """Write the archive from masks that are there.

    Args:
        folder: Holds ``<id>.png`` for every photo of the test list.
        classes: Names by index; None: the indices are those of VOC.
        voc: The folder VOC2012.
        out: The archive, ``.tgz``.
        threads: For reading and writing.

    Returns:
        Number of masks.

    Raises:
        DataError: A class is none of VOC; a mask is missing, has not the size of its photo, or an index of no class.
    """
    table = voc_indices(classes or VOC_CLASSES)
    ids = _read_test_ids(voc)
    missing = [one for one in ids if not mask_path(folder, one).is_file()]
    if missing:
        raise DataError(
            f"Every photo of the list {TEST_LIST} needs a mask, but {len(missing)} of {len(ids)} have none; the first "
            f"is {mask_path(folder, missing[0])}."
        )

    def convert(one: str) -> tuple[str, bytes]:
        return one, encode_mask(_to_voc(mask_path(folder, one), photo_path(voc, one), table))

    _write_archive(out, dict(map_threads(convert, ids, threads)))
    return len(ids)


def voc_indices(classes: Sequence[str]) -> Mask:
    """VOC index by class index, shape (256,); 255 where there is no class.

    Raises:
        DataError: A class is none of VOC, or two are the same.
    """
    table = np.full(256, _NO_CLASS, np.uint8)
    for label, name in enumerate(classes):
        index = voc_index(name)
        if index is None or (index == 0) != (label == 0):
            raise DataError(f"Every class must be one of VOC's, but '{name}' is not: {', '.join(VOC_CLASSES[1:])}.")
        if index in table[:label]:
            raise DataError(f"Two classes may not be the same class of VOC, but two are {VOC_CLASSES[index]}.")
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
            f"{path} must hold indices of classes only, but holds {int(mask[converted == _NO_CLASS][0])}; the server "
            "takes no pixels to ignore, and class names are read from classes.json or --classes."
        )
    return converted


def _write_archive(out: Path, files: Mapping[str, bytes]) -> None:
    """The same masks give the same bytes: sorted, without times and owners."""
    with (
        write_atomically(out) as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name in sorted(files):
            entry = tarfile.TarInfo(f"{INNER_FOLDER}/{name}.png")
            entry.size, entry.mode = len(files[name]), 0o644
            archive.addfile(entry, io.BytesIO(files[name]))
