"""Photos with one label each, from whatever form they come in.

photos.py      one file: decode, size, check; many files: find and sort
folder.py      one sub-folder of photos per class
manifest.py    a CSV or Parquet table of paths and labels
frames.py      videos, for the teacher: folders of frames and video files
video_files.py decoding of video files by PyAV, an optional library
pairs.py       photos and their true masks
public_sets.py recognize the trees of the data sets that follow
voc.py         PASCAL VOC 2012
davis.py       DAVIS
object_discovery.py  MIT Object Discovery
imagenet.py    synsets of ImageNet for the classes of VOC, by the table voc_synsets.csv
"""

from pathlib import Path

from coarse2fine.data.folder import name_photos, read_folder, read_unlabeled
from coarse2fine.data.manifest import read_manifest, safe_name
from coarse2fine.data.photos import (
    MIN_SIDE_PX,
    PHOTO_ENDINGS,
    check_photos,
    find_unreadable,
    list_photos,
    read_image,
    read_size,
)
from coarse2fine.data.voc import find_voc
from coarse2fine.errors import DataError
from coarse2fine.types import Dataset

__all__ = [
    "MIN_SIDE_PX",
    "PHOTO_ENDINGS",
    "check_photos",
    "find_unreadable",
    "list_photos",
    "name_photos",
    "open_dataset",
    "read_folder",
    "read_image",
    "read_manifest",
    "read_size",
    "safe_name",
]


def open_dataset(path: Path, labeled: bool = True) -> Dataset:
    """List a data set without decoding a photo.

    Args:
        path: A folder with one sub-folder per class, or a ``.csv`` or ``.parquet`` manifest.
        labeled: Whether photos have labels; otherwise ``path`` may be any folder of photos, and what they show is
            foreground (`FOREGROUND_CLASSES`).

    Raises:
        DataError: ``path`` does not exist, is of another kind, or holds nothing usable.
        ConfigError: A Parquet manifest without pyarrow.
    """
    if path.is_dir():
        voc = find_voc(path)
        if voc and not labeled:
            raise DataError(f"{path} is PASCAL VOC, which holds masks beside its photos; name {voc / 'JPEGImages'}.")
        if voc:
            raise DataError(
                f"{path} is PASCAL VOC, whose photos have no single label; give them one first: coarse2fine voc-labels "
                f"--voc {voc} --out {voc / 'train.csv'}."
            )
        return read_folder(path) if labeled else read_unlabeled(path)
    if path.is_file() and path.suffix.lower() in (".csv", ".parquet"):
        return read_manifest(path, labeled)
    found = "it is another kind of file" if path.exists() else "there is no such file or folder"
    folder, columns = ("with one sub-folder of photos per class", "columns path and label")
    if not labeled:
        folder, columns = ("of photos", "column path")
    raise DataError(f"{path} must be a folder {folder}, or a .csv or .parquet file with the {columns}; {found}.")
