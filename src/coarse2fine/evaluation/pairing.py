"""Pair photos or predicted masks with ground-truth masks of the same names."""

from collections.abc import Sequence
from pathlib import Path

from coarse2fine.data.mask_files import list_masks, match_files
from coarse2fine.data.photo_files import list_photos
from coarse2fine.data.photo_mask_pairs import Pairs
from coarse2fine.data.public_datasets import open_public_dataset
from coarse2fine.errors import DataError
from coarse2fine.evaluation.class_names import find_ground_truth_classes


def open_pairs(path: Path) -> Pairs | None:
    """Open ground truth that has its own photos: a public data set, or a folder with ``images`` and ``masks``.

    Returns:
        None if the path is neither.

    Raises:
        DataError: The path is one of these, but a part of it is missing.
    """
    images, masks = path / "images", path / "masks"
    return open_public_dataset(path) or (pair_folders(images, masks) if images.is_dir() and masks.is_dir() else None)


def pair_folders(photos: Path, masks: Path, classes: Path | None = None) -> Pairs:
    """Pair the photos of a folder with ground-truth masks of the same names.

    The masks hold the class indices of a list of names, if there is one, else those of the run.

    Args:
        photos: Folder of photos.
        masks: Folder of ground-truth masks, PNG.
        classes: File of their class names by index; None to search for ``classes.json`` in or beside ``masks``.

    Raises:
        DataError: There are no photos or no masks, a mask has no photo, or the names do not begin with background.
    """
    pairs = pair_by_name(list_photos([photos]), photos, masks)
    names = tuple(mask.relative_to(masks).with_suffix("").as_posix() for _, mask in pairs)
    known = find_ground_truth_classes(classes, masks)
    return Pairs(str(masks), names, tuple(photo for photo, _ in pairs), tuple(mask for _, mask in pairs), known)


def pair_by_name(paths: Sequence[Path], root: Path, masks: Path) -> list[tuple[Path, Path]]:
    """Find for every mask the photo or prediction with the same relative name, with or without its extension.

    Args:
        paths: Photos or predicted masks below ``root``.
        root: Their folder.
        masks: Folder of masks, PNG.

    Returns:
        Pairs (photo or prediction, mask), sorted by mask.

    Raises:
        DataError: There are no masks, or a mask has no partner: metrics without it would be too high.
    """
    masks_by_name = list_masks(masks)
    files = match_files(paths, root, masks_by_name)
    if not masks_by_name:
        raise DataError(f"{masks} must hold masks as PNG files, but has none.")
    missing = [path for name, path in masks_by_name.items() if name not in files]
    if missing:
        raise DataError(
            f"Every mask in {masks} needs a file of the same name in {root}, but {len(missing)} of "
            f"{len(masks_by_name)} have none; the first is {missing[0].relative_to(masks)}."
        )
    return [(files[name], path) for name, path in masks_by_name.items()]
