"""Stages 1 and 2 on plain folders, without a run: the commands ``coarse`` and ``enhance``."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from coarse2fine.coarse import check_method
from coarse2fine.config import CoarseConfig, EnhanceConfig
from coarse2fine.data import find_unreadable, list_photos
from coarse2fine.data.class_folders import names_below_common_folder
from coarse2fine.data.mask_files import check_mask_size
from coarse2fine.data.photos import read_image_and_header
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.evaluation.pairing import pair_by_name
from coarse2fine.masks.png import read_mask, read_soft
from coarse2fine.masks.regions import foreground_values
from coarse2fine.masks.resize import foreground_of_soft
from coarse2fine.pipeline.coarse_stage import make_coarse_masks
from coarse2fine.pipeline.enhance_stage import prepare_enhancer
from coarse2fine.pipeline.mask_writer import MaskTask, list_missing, write_masks
from coarse2fine.runtime.context import Context
from coarse2fine.store.fingerprints import coarse_settings, describe_photo_masks, describe_photos, enhance_settings
from coarse2fine.store.lock import claim_folder
from coarse2fine.store.photos import stamp_photos, write_stamps
from coarse2fine.types import Enhanced, Mask, Photo, SoftMask

MAX_CLASS_INDEX_VALUE = 0.1
"""A soft mask whose values, 255 apart, are all below this (25 of 255) holds class indices and ignored pixels."""


def coarse_folder(
    photos: Sequence[Path | str], out: Path, config: CoarseConfig, context: Context, soft_folder: Path | None = None
) -> None:
    """Write a coarse mask ``<photo>.png``, 1 = foreground, for every photo.

    Args:
        photos: Files, folders or glob patterns.
        out: Where the masks go. A repeated call resumes.
        config: The coarse method and its settings.
        context: Processes and console.
        soft_folder: If given, the soft masks go there as gray PNGs. ``enhance_folder`` can start from them.

    Raises:
        ConfigError: Soft masks are requested, but the masks come from a folder; or the method is ``auto``.
        DataError: No photo can be read, or a folder holds masks of other photos or of other settings.
    """
    if soft_folder and config.method == "folder":
        raise ConfigError("Masks from a folder (coarse.method = folder) have no soft masks. Omit --soft-masks.")
    check_method(config)
    listed_files = list_photos(photos, out, context.console.warn)
    paths = [path for path in listed_files if not (soft_folder and _lies_in(path, soft_folder))]
    names = names_below_common_folder(paths, photos)
    listed = [Photo(path, name, (1,)) for path, name in zip(paths, names, strict=True)]
    named = stamp_photos(_find_usable(listed, out, context), out)
    settings = coarse_settings(config) | {"photos": describe_photos(named)}
    if config.method == "folder" and config.folder.path is not None:
        settings["masks from folder"] = describe_photo_masks(named, config.folder.path)
    claim_folder(out, settings | ({"soft masks": str(soft_folder.absolute())} if soft_folder else {}))
    write_stamps(named, out)
    if soft_folder:
        claim_folder(soft_folder, settings)
    make_coarse_masks(MaskTask(named, out, context, "coarse masks"), config, soft_folder)
    context.console.say(f"masks: {out}", style="green")


def enhance_folder(photos: Path, masks: Path, out: Path, config: EnhanceConfig, seed: int, context: Context) -> None:
    """Write an enhanced mask ``<photo>.png`` for every mask that has a photo of the same name.

    Each class of a mask is enhanced on its own.

    Args:
        photos: Folder of photos.
        masks: Folder of the masks to enhance. If the method starts from probabilities: gray PNGs, 0 to 255, with the
            foreground probability of each pixel; the enhanced masks then hold 0 and 1.
        out: Where the enhanced masks go. A repeated call resumes.
        config: The enhancement method; only its ``start`` is used, not ``coarse_start``.
        seed: Makes GrabCut repeatable.
        context: Processes and console.

    Raises:
        DataError: A mask has no photo, has another size or cannot be read, no photo can be read, or the output folder
            holds masks of other photos or of other settings.
    """
    pairs = pair_by_name(list_photos([photos], out, context.console.warn), photos, masks)
    listed = [Photo(path, mask.relative_to(masks).with_suffix("").as_posix(), (1,)) for path, mask in pairs]
    given = {photo.name: mask for photo, (_, mask) in zip(listed, pairs, strict=True)}
    named = stamp_photos(_find_usable(listed, out, context), out)
    files = {"photos": describe_photos(named), "masks from folder": describe_photo_masks(named, masks)}
    claim_folder(out, enhance_settings(config, config.start, seed) | files)
    write_stamps(named, out)
    enhance = prepare_enhancer(config, config.start, seed, context.console)
    from_soft_masks = config.takes_soft_masks and config.start == "probabilities"

    def make(photo: Photo) -> Enhanced:
        (image, header), path = read_image_and_header(photo.path), given[photo.name]
        height, width = image.shape[:2]
        if from_soft_masks:
            objects = split_soft(read_soft(path), height, width)
        else:
            mask = read_mask(path)
            check_mask_size(mask.shape, header, path, photo.path)
            objects = split_classes(mask)
        try:
            enhanced = {label: enhance(image, mask, soft) for label, (mask, soft) in objects.items()}
        except DataError as error:
            raise DataError(f"{photo.path}: {error}") from error
        return merge_masks(enhanced, height, width)

    notes = write_masks(MaskTask(named, out, context, "enhancement"), make)
    if notes:
        context.console.warn(f"masks left unchanged: {len(notes)} of {len(named)}, see {out / 'notes.json'}")
    context.console.say(f"masks: {out}", style="green")


def _lies_in(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _find_usable(photos: Sequence[Photo], out: Path, context: Context) -> list[Photo]:
    """Return the photos that can be read, and print the others with the reason.

    A photo with a mask in ``out`` was read by an earlier call and is not decoded again. If its file has changed since,
    the fingerprint of the photos differs, and the folder is refused.
    """
    skipped = find_unreadable([photo.path for photo in list_missing(photos, out)])
    if len(skipped) == len(photos):
        raise DataError(f"None of the {len(photos)} photos can be read; {skipped[0].path}: {skipped[0].reason}.")
    for item in skipped:
        context.console.warn(f"skipped: {item.path}: {item.reason}")
    unreadable = {item.path for item in skipped}
    return [photo for photo in photos if photo.path not in unreadable]


def split_soft(soft: SoftMask, height: int, width: int) -> dict[int, tuple[Mask, SoftMask | None]]:
    """Return the single object of a soft mask.

    Args:
        soft: Foreground probabilities, any size.
        height: Height of the photo.
        width: Width of the photo.

    Returns:
        ``{1: (mask, soft)}``: the binary mask, shape (height, width), 1 where the probability is above 0.5.

    Raises:
        DataError: The values look like class indices with ignored pixels: none is between 25 and 255.
    """
    between = soft[(soft > 0) & (soft < 1)]
    if len(between) and between.max() < MAX_CLASS_INDEX_VALUE and soft.max() == 1:
        raise DataError(
            "A soft mask must hold the foreground probability of each pixel, 0 to 255, but this one holds 255 and "
            f"otherwise no value above {round(255 * float(between.max()))}, as masks of class indices do. "
            "Use --start mask or --start box."
        )
    return {1: (foreground_of_soft(soft, height, width), soft)}


def split_classes(mask: Mask) -> dict[int, tuple[Mask, SoftMask | None]]:
    """Split a mask into one binary mask per class (:func:`foreground_values`); there are no soft masks."""
    return {label: ((mask == label).astype(np.uint8), None) for label in foreground_values(mask)}


def merge_masks(objects: Mapping[int, Enhanced], height: int, width: int) -> Enhanced:
    """Merge the binary masks of a photo's objects into one mask. Where two overlap, the smaller one wins.

    Args:
        objects: Enhanced mask of each class.
        height: Height of the photo.
        width: Width of the photo.

    Returns:
        Class indices, shape (height, width), and the notes of all objects.
    """
    result = np.zeros((height, width), np.uint8)
    for label in sorted(objects, key=lambda label: -int(objects[label].mask.sum())):
        result[objects[label].mask > 0] = label
    notes = [enhanced.note for enhanced in objects.values() if enhanced.note]
    return Enhanced(result, "; ".join(notes) or (None if objects else "empty"))
