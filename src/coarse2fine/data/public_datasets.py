"""Recognize a public data set by its folders, and read its photos with their ground-truth masks."""

from pathlib import Path

from coarse2fine.data.davis import (
    find_validation_list,
    is_davis,
    is_frames_and_masks,
    read_davis_pairs,
    read_frame_pairs,
)
from coarse2fine.data.object_discovery import is_object_discovery, read_object_discovery
from coarse2fine.data.photo_mask_pairs import Pairs
from coarse2fine.data.voc import find_voc, read_voc_pairs
from coarse2fine.errors import DataError


def open_public_dataset(path: Path) -> Pairs | None:
    """Read the photos and ground-truth masks of a public data set.

    Args:
        path: ``VOCdevkit/VOC2012`` (val) or one of its lists, such as ``VOC2012/ImageSets/Segmentation/trainaug.txt``;
            ``DAVIS`` (val) or a list such as ``DAVIS/ImageSets/2017/train.txt``; a folder with ``frames`` and ``masks``
            of videos; a class folder of MIT Object Discovery, such as ``Data/Airplane100``.

    Returns:
        None if the path is none of these.

    Raises:
        DataError: The path is one of these, but a part of it is missing.
    """
    if path.suffix == ".txt" and path.parent.parent.name == "ImageSets":
        return _open_list(path)
    if voc := find_voc(path):
        return read_voc_pairs(voc)
    if is_davis(path):
        return read_davis_pairs(path, find_validation_list(path))
    if is_frames_and_masks(path):
        return read_frame_pairs(path)
    return read_object_discovery(path) if is_object_discovery(path) else None


def _open_list(file: Path) -> Pairs:
    root = file.parents[2]
    if file.parent.name == "Segmentation":
        if not find_voc(root):
            raise DataError(
                f"{file} is a list of VOC, but the folder of its photos, {root / 'JPEGImages'}, does not exist."
            )
        return read_voc_pairs(root, file.stem)
    if not is_davis(root):
        raise DataError(
            f"{file} must be a list of VOC (in ImageSets/Segmentation) or of DAVIS, but {root} lacks JPEGImages or "
            "Annotations."
        )
    return read_davis_pairs(root, file)
