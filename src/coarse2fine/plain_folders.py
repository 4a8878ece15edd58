"""Single stages on plain folders, without a run: what the commands ``coarse`` and ``enhance`` do."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from coarse2fine.config import CoarseConfig, EnhanceConfig
from coarse2fine.data import find_unreadable, list_photos, read_image
from coarse2fine.dependencies import coarse_settings, describe_given, describe_photos, enhance_settings
from coarse2fine.enhance import enhancer_from
from coarse2fine.errors import DataError
from coarse2fine.evaluation import pair_by_name
from coarse2fine.masks import foreground_values, resize_soft
from coarse2fine.prediction import name_below_common_folder
from coarse2fine.stages import Crew, make_coarse_masks, write_masks
from coarse2fine.store import claim_folder, mask_path, read_mask, read_soft
from coarse2fine.types import Enhanced, Enhancer, Image, Mask, Photo, SoftMask


def coarse_folder(photos: Sequence[Path | str], out: Path, config: CoarseConfig, crew: Crew) -> None:
    """Write ``<photo>.png``, 1 = foreground, for every photo.

    Args:
        photos: Files, folders, glob patterns.
        out: Where the masks go; the same call goes on with what is there.
        config: How the foreground is found.
        crew: Who works.

    Raises:
        DataError: No photo can be read, or the folder holds masks of other photos or made with other settings.
    """
    paths = list_photos(photos, apart_from=out)
    names = name_below_common_folder(paths)
    named = _find_usable([Photo(path, name, 1) for path, name in zip(paths, names, strict=True)], crew)
    settings = coarse_settings(config) | {"photos": describe_photos(named)}
    if config.method == "folder" and config.folder is not None:
        settings["given masks"] = describe_given(named, config.folder)
    claim_folder(out, settings)
    make_coarse_masks(named, out, config, crew)
    crew.console.say(f"masks: {out}", style="green")


def enhance_folder(photos: Path, masks: Path, out: Path, config: EnhanceConfig, seed: int, crew: Crew) -> None:
    """Write ``<photo>.png``, enhanced class by class, for every mask that has a photo of the same name.

    Args:
        photos: Folder of photos.
        masks: Folder of their rough masks; for a start from scores, of grey PNGs that say how likely each pixel is the
            object's, 0 to 255, whose masks come out as 0 and 1.
        out: Where the enhanced masks go; the same call goes on with what is there.
        config: How masks are enhanced; ``start`` counts.
        seed: Makes GrabCut repeatable.
        crew: Who works.

    Raises:
        DataError: A mask has no photo, has another size or cannot be read, no photo can be read, or the folder holds
            masks of other photos or made with other settings.
    """
    pairs = pair_by_name(list_photos([photos], apart_from=out), photos, masks)
    listed = [Photo(path, true.relative_to(masks).with_suffix("").as_posix(), 1) for path, true in pairs]
    named = _find_usable(listed, crew)
    files = {"photos": describe_photos(named), "given masks": describe_given(named, masks)}
    claim_folder(out, enhance_settings(config, config.start, seed) | files)
    enhance = enhancer_from(config, config.start, seed)
    from_scores = config.method == "grabcut" and config.start == "scores"

    def make(photo: Photo) -> Enhanced:
        image, path = read_image(photo.path), mask_path(masks, photo.name)
        try:
            if from_scores:
                return enhance_scores(image, read_soft(path), enhance)
            return enhance_each_class(image, read_mask(path), enhance)
        except DataError as error:
            raise DataError(f"{photo.path}: {error}") from error

    notes = write_masks(named, out, make, "enhancement", crew)
    if notes:
        crew.console.warn(f"{len(notes)} masks were kept as they were: see {out / 'notes.json'}")
    crew.console.say(f"masks: {out}", style="green")


def _find_usable(photos: Sequence[Photo], crew: Crew) -> list[Photo]:
    """The photos that can be read; the others are named with their reason."""
    skipped = find_unreadable([photo.path for photo in photos])
    if len(skipped) == len(photos):
        raise DataError(f"None of the {len(photos)} photos can be read; {skipped[0].path}: {skipped[0].reason}.")
    for item in skipped:
        crew.console.warn(f"left out: {item.path}: {item.reason}")
    unreadable = {item.path for item in skipped}
    return [photo for photo in photos if photo.path not in unreadable]


def enhance_scores(image: Image, soft: SoftMask, enhance: Enhancer) -> Enhanced:
    """Enhance the mask of what is likelier the object than not.

    Args:
        image: The photo, shape (H, W, 3).
        soft: How likely each pixel is the object's, 0 to 1, of any height and width.
        enhance: Enhances one binary mask.
    """
    rough = (resize_soft(soft, *image.shape[:2]) > 0.5).astype(np.uint8)
    return enhance(image, rough, soft)


def enhance_each_class(image: Image, mask: Mask, enhance: Enhancer) -> Enhanced:
    """Enhance every class of a mask on its own; where two meet, the smaller one lies on top.

    Args:
        image: The photo, shape (H, W, 3).
        mask: Class indices, shape (H, W); or 0 and 255 (:func:`foreground_values`).
        enhance: Enhances one binary mask.

    Returns:
        The mask in the same values, shape (H, W), and the notes of all classes.
    """
    pieces = {label: enhance(image, (mask == label).astype(np.uint8)) for label in foreground_values(mask)}
    result = np.zeros_like(mask)
    for label in sorted(pieces, key=lambda label: -int(pieces[label].mask.sum())):
        result[pieces[label].mask > 0] = label
    notes = [note for _, note in pieces.values() if note]
    return Enhanced(result, "; ".join(notes) or (None if pieces else "empty"))
