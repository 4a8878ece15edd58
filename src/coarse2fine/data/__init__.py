"""Photos, videos and data sets: finding, reading and writing.

photos.py            read a photo file, or its header; check which photos can be used
photo_files.py       find photo files in folders and patterns
remote_photos.py     photos from standard input and from web addresses
photo_errors.py      explain why a file cannot be read
reader.py            read photo files in batches, decoding ahead
class_folders.py     data set: one sub-folder of photos per class
manifest.py          data set: a CSV or Parquet table of paths and labels
label_json.py        data set: labels in a JSON file of COCO, FiftyOne or Hugging Face
parquet_pages.py     memory that the pages of a Parquet file claim
archives.py          unpack photos from zip, tar and Parquet files
splits.py            data set with folders train, validation and test; metadata files of Hugging Face
copies.py            photos with the same content: one photo with several labels
dataset_writer.py    write either of these
videos.py            videos: folders of frames, and video files
video_decoding.py    decode video files with PyAV, an optional library
mask_files.py        find the masks in a folder; check that they fit their photos
photo_mask_pairs.py  photos with ground-truth masks
public_datasets.py   recognize and read the public data sets below
voc.py               PASCAL VOC 2012
davis.py             DAVIS
object_discovery.py  MIT Object Discovery
imagenet.py          ImageNet photos for the classes of VOC, by the table voc_synsets.csv
synthetic.py         the drawn data set of ``coarse2fine demo``; its objects are in synthetic_objects.py
"""

from dataclasses import replace
from pathlib import Path

from coarse2fine.data.archives import ARCHIVE_ENDINGS
from coarse2fine.data.class_folders import add_negatives, read_class_folders, read_unlabeled_folder
from coarse2fine.data.copies import merge_copies
from coarse2fine.data.manifest import read_manifest
from coarse2fine.data.photo_files import list_photos
from coarse2fine.data.photos import check_photos, find_unreadable, read_image
from coarse2fine.data.splits import find_metadata, find_train_part
from coarse2fine.data.voc import find_voc
from coarse2fine.errors import DataError
from coarse2fine.types import Dataset, Skipped

MANIFEST_ENDINGS = (".csv", ".parquet", ".json", ".jsonl")

__all__ = [
    "check_dataset_path",
    "check_photos",
    "find_unreadable",
    "list_photos",
    "open_dataset",
    "read_image",
]


def open_dataset(path: Path | str, labeled: bool = True, negatives: Path | str | None = None) -> Dataset:
    """List the photos and labels of a data set, without decoding a photo.

    A photo has several labels if the table says so, or if files with the same content have different labels.

    Args:
        path: A folder with one sub-folder of photos per class, or a manifest (:func:`read_manifest`): ``.csv``,
            ``.parquet``, ``.json`` or ``.jsonl``. Of a folder with the parts train, validation and test, only train is
            read. If a folder has a ``metadata.csv`` or ``metadata.jsonl``, as Hugging Face writes it, that is read.
        labeled: Whether the photos have labels. If not, ``path`` may be any folder of photos, and the only class is
            foreground (`FOREGROUND_CLASSES`).
        negatives: Folder of photos that show none of the classes; they are photos without a label.

    Raises:
        DataError: ``path`` or ``negatives`` does not exist, is of another kind, or contains no usable photo, or a photo
            without a label has the same content as a photo with one.
        ConfigError: The manifest is Parquet, and pyarrow is not installed.
    """
    dataset = _list_photos(Path(path), labeled)
    return merge_copies(dataset if negatives is None else add_negatives(dataset, Path(negatives)))


def _list_photos(path: Path, labeled: bool) -> Dataset:
    if path.is_dir():
        voc = find_voc(path)
        if voc and not labeled:
            raise DataError(
                f"{path} is PASCAL VOC, which also contains mask images; pass the folder of photos, "
                f"{voc / 'JPEGImages'}."
            )
        if voc:
            raise DataError(
                f"{path} is PASCAL VOC, and its photos have no single label; choose one label per photo first: "
                f"coarse2fine voc-labels --voc {voc} --out {voc / 'train.csv'}."
            )
        return _read_labeled_folder(path) if labeled else read_unlabeled_folder(path)
    check_dataset_path(path, labeled)
    if path.suffix.lower() in ARCHIVE_ENDINGS:
        raise DataError(f"{path} is an archive: coarse2fine fit unpacks it into its run folder; here, unpack it first.")
    return read_manifest(path, labeled)


def check_dataset_path(path: Path, labeled: bool = True) -> None:
    """Check that a path can be a data set: a folder, or a table; without reading it.

    Args:
        path: As for :func:`open_dataset`.
        labeled: As for :func:`open_dataset`.

    Raises:
        DataError: It is neither.
    """
    if path.is_dir() or (path.is_file() and path.suffix.lower() in (*MANIFEST_ENDINGS, *ARCHIVE_ENDINGS)):
        return
    found = "it is another kind of file" if path.exists() else "there is no such file or folder"
    folder, columns = ("with one sub-folder of photos per class", "columns path and label")
    if not labeled:
        folder, columns = ("of photos", "column path")
    raise DataError(
        f"{path} must be a folder {folder}, or a .csv, .parquet or .jsonl file with the {columns}, or a .json file of "
        f"COCO or FiftyOne; {found}."
    )


def _read_labeled_folder(path: Path) -> Dataset:
    part, others = find_train_part(path)
    metadata = find_metadata(part)
    dataset = read_manifest(metadata) if metadata else read_class_folders(part)
    unused = [Skipped(other, f"is not read: only {part.name} of this data set trains") for other in others]
    return replace(dataset, skipped=(*dataset.skipped, *unused))
