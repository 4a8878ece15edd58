"""Single stages on plain folders, without a run: what the commands ``coarse`` and ``enhance`` do."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from coarse2fine.coarse import check_method
from coarse2fine.config import CoarseConfig, EnhanceConfig
from coarse2fine.data import find_unreadable, list_photos, read_image
from coarse2fine.data.folder import name_below_common_folder
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.evaluation.pairing import pair_by_name
from coarse2fine.masks.png import mask_path, read_mask, read_soft
from coarse2fine.masks.regions import foreground_values
from coarse2fine.masks.resize import resize_soft
from coarse2fine.pipeline.coarse_stage import make_coarse_masks
from coarse2fine.pipeline.enhance_stage import start_enhancing
from coarse2fine.pipeline.mask_writer import write_masks
from coarse2fine.runtime.context import Context
from coarse2fine.store.fingerprints import coarse_settings, describe_given, describe_photos, enhance_settings
from coarse2fine.store.lock import claim_folder
from coarse2fine.types import Enhanced, Mask, Photo, SoftMask

if TYPE_CHECKING:
    pass

Made = TypeVar("Made")

LEAST_LIKELY = 0.1  # gray levels below it, and white, are class indices and ignored pixels rather than likelihoods


def coarse_folder(
    photos: Sequence[Path | str], out: Path, config: CoarseConfig, context: Context, scores: Path | None = None
) -> None:
    """Write ``<photo>.png``, 1 = foreground, for every photo.

    Args:
        photos: Files, folders, glob patterns.
        out: Where the masks go; the same call goes on with what is there.
        config: How the foreground is found.
        context: Who works.
        scores: Where the soft masks go, too, as gray PNGs: ``enhance`` can start from them.

    Raises:
        ConfigError: Probabilities are asked of masks that a user gives.
        DataError: No photo can be read, or a folder holds masks of other photos or made with other settings.
    """
    if scores and config.method == "folder":
        raise ConfigError("Masks that you give (coarse.method = folder) have no scores: leave out --scores.")
    check_method(config)
    paths = [path for path in list_photos(photos, apart_from=out) if not (scores and _lies_in(path, scores))]
    names = name_below_common_folder(paths)
    named = _find_usable([Photo(path, name, 1) for path, name in zip(paths, names, strict=True)], context)
    settings = coarse_settings(config) | {"photos": describe_photos(named)}
    if config.method == "folder" and config.folder is not None:
        settings["given masks"] = describe_given(named, config.folder)
    claim_folder(out, settings | ({"scores": str(scores.absolute())} if scores else {}))
    if scores:
        claim_folder(scores, settings)
    make_coarse_masks(named, out, config, context, scores)
    context.console.say(f"masks: {out}", style="green")


def enhance_folder(photos: Path, masks: Path, out: Path, config: EnhanceConfig, seed: int, context: Context) -> None:
    """Write ``<photo>.png``, enhanced class by class, for every mask that has a photo of the same name.

    Args:
        photos: Folder of photos.
        masks: Folder of their rough masks; for a start from scores, of gray PNGs that say how likely each pixel is the
            object's, 0 to 255, whose masks come out as 0 and 1.
        out: Where the enhanced masks go; the same call goes on with what is there.
        config: How masks are enhanced; ``start`` counts.
        seed: Makes GrabCut repeatable.
        context: Who works.

    Raises:
        DataError: A mask has no photo, has another size or cannot be read, no photo can be read, or the folder holds
            masks of other photos or made with other settings.
    """
    pairs = pair_by_name(list_photos([photos], apart_from=out), photos, masks)
    listed = [Photo(path, true.relative_to(masks).with_suffix("").as_posix(), 1) for path, true in pairs]
    named = _find_usable(listed, context)
    files = {"photos": describe_photos(named), "given masks": describe_given(named, masks)}
    claim_folder(out, enhance_settings(config, config.start, seed) | files)
    notes = _enhance_photos(named, masks, out, config, seed, context)
    if notes:
        context.console.warn(f"kept as they were: {len(notes)} of {len(named)} masks, see {out / 'notes.json'}")
    context.console.say(f"masks: {out}", style="green")


def _enhance_photos(
    photos: Sequence[Photo], masks: Path, out: Path, config: EnhanceConfig, seed: int, context: Context
) -> dict[str, str]:
    enhance = start_enhancing(config, config.start, seed, context)
    from_scores = config.method in ("grabcut", "crf") and config.start == "scores"

    def make(photo: Photo) -> Enhanced:
        image, path = read_image(photo.path), mask_path(masks, photo.name)
        height, width = image.shape[:2]
        try:
            objects = split_scores(read_soft(path), height, width) if from_scores else split_classes(read_mask(path))
            enhanced = {label: enhance(image, mask, soft) for label, (mask, soft) in objects.items()}
        except DataError as error:
            raise DataError(f"{photo.path}: {error}") from error
        return lay_over(enhanced, height, width)

    return write_masks(photos, out, make, "enhancement", context)


def _lies_in(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _find_usable(photos: Sequence[Photo], context: Context) -> list[Photo]:
    """The photos that can be read; the others are named with their reason."""
    skipped = find_unreadable([photo.path for photo in photos])
    if len(skipped) == len(photos):
        raise DataError(f"None of the {len(photos)} photos can be read; {skipped[0].path}: {skipped[0].reason}.")
    for item in skipped:
        context.console.warn(f"left out: {item.path}: {item.reason}")
    unreadable = {item.path for item in skipped}
    return [photo for photo in photos if photo.path not in unreadable]


def split_scores(soft: SoftMask, height: int, width: int) -> dict[int, tuple[Mask, SoftMask | None]]:
    """The one object of a soft mask, in its photo's size: where it is likelier than not, and the soft mask itself.

    Raises:
        DataError: It looks like class indices with ignored pixels: nothing lies between 25 and 255.
    """
    between = soft[(soft > 0) & (soft < 1)]
    if len(between) and between.max() < LEAST_LIKELY and soft.max() == 1:
        raise DataError(
            f"A soft mask must say how likely each pixel is foreground, 0 to 255, but this one holds 255 and otherwise "
            f"nothing above {round(255 * float(between.max()))}, as masks of class indices do; start from them with "
            "'mask' or 'box'."
        )
    return {1: ((resize_soft(soft, height, width) > 0.5).astype(np.uint8), soft)}


def split_classes(mask: Mask) -> dict[int, tuple[Mask, SoftMask | None]]:
    """The objects of a mask of class indices, or of 0 and 255 (:func:`foreground_values`), by class; no soft masks."""
    return {label: ((mask == label).astype(np.uint8), None) for label in foreground_values(mask)}


def lay_over(objects: Mapping[int, Enhanced], height: int, width: int) -> Enhanced:
    """Lay the objects of a photo over each other; where two meet, the smaller one lies on top.

    Args:
        objects: Each enhanced on its own, by class.
        height: Of the photo.
        width: Of the photo.

    Returns:
        Class indices, shape (H, W), and the notes of all objects.
    """
    result = np.zeros((height, width), np.uint8)
    for label in sorted(objects, key=lambda label: -int(objects[label].mask.sum())):
        result[objects[label].mask > 0] = label
    notes = [made.note for made in objects.values() if made.note]
    return Enhanced(result, "; ".join(notes) or (None if objects else "empty"))
