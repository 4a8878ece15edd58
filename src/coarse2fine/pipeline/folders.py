"""Single stages on plain folders, without a run: what the commands ``coarse`` and ``enhance`` do."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from coarse2fine.coarse import check_method
from coarse2fine.config import CoarseConfig, EnhanceConfig
from coarse2fine.data import find_unreadable, list_photos, read_image
from coarse2fine.data.photos import read_size
from coarse2fine.enhance import enhance_many, pose
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.evaluation.ground_truth import pair_by_name
from coarse2fine.inference.predict import name_below_common_folder
from coarse2fine.masks.png import mask_path, read_mask, read_soft
from coarse2fine.masks.regions import foreground_values, resize_soft
from coarse2fine.pipeline.coarse_stage import make_coarse_masks
from coarse2fine.pipeline.enhance_stage import GPU_BATCH, start_enhancing
from coarse2fine.pipeline.mask_writer import write_batches, write_masks
from coarse2fine.runtime.context import Crew
from coarse2fine.runtime.processes import map_threads
from coarse2fine.store.fingerprints import coarse_settings, describe_given, describe_photos, enhance_settings
from coarse2fine.store.run import claim_folder
from coarse2fine.types import Enhanced, Image, Mask, Photo, SoftMask

if TYPE_CHECKING:
    import torch

Made = TypeVar("Made")

LEAST_LIKELY = 0.1  # grey levels below it, and white, are class indices and ignored pixels rather than likelihoods


def coarse_folder(
    photos: Sequence[Path | str], out: Path, config: CoarseConfig, crew: Crew, scores: Path | None = None
) -> None:
    """Write ``<photo>.png``, 1 = foreground, for every photo.

    Args:
        photos: Files, folders, glob patterns.
        out: Where the masks go; the same call goes on with what is there.
        config: How the foreground is found.
        crew: Who works.
        scores: Where the soft masks go, too, as grey PNGs: ``enhance`` can start from them.

    Raises:
        ConfigError: Scores are asked of masks that a user gives.
        DataError: No photo can be read, or a folder holds masks of other photos or made with other settings.
    """
    if scores and config.method == "folder":
        raise ConfigError("Masks that you give (coarse.method = folder) have no scores: leave out --scores.")
    check_method(config)
    paths = [path for path in list_photos(photos, apart_from=out) if not (scores and _lies_in(path, scores))]
    names = name_below_common_folder(paths)
    named = _find_usable([Photo(path, name, 1) for path, name in zip(paths, names, strict=True)], crew)
    settings = coarse_settings(config) | {"photos": describe_photos(named)}
    if config.method == "folder" and config.folder is not None:
        settings["given masks"] = describe_given(named, config.folder)
    claim_folder(out, settings | ({"scores": str(scores.absolute())} if scores else {}))
    if scores:
        claim_folder(scores, settings)
    make_coarse_masks(named, out, config, crew, scores)
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
    notes = _enhance_photos(named, masks, out, config, seed, crew)
    if notes:
        crew.console.warn(f"kept as they were: {len(notes)} of {len(named)} masks, see {out / 'notes.json'}")
    crew.console.say(f"masks: {out}", style="green")


def _enhance_photos(
    photos: Sequence[Photo], masks: Path, out: Path, config: EnhanceConfig, seed: int, crew: Crew
) -> dict[str, str]:
    enhance, gpu = start_enhancing(config, config.start, seed, crew)
    from_scores = config.method in ("grabcut", "crf") and config.start == "scores"

    def each_object(photo: Photo, work: Callable[[Image, Mask, SoftMask | None], Made]) -> dict[int, Made]:
        image, path = read_image(photo.path), mask_path(masks, photo.name)
        try:
            objects = split_scores(read_soft(path), *image.shape[:2]) if from_scores else split_classes(read_mask(path))
            return {label: work(image, mask, soft) for label, (mask, soft) in objects.items()}
        except DataError as error:
            raise DataError(f"{photo.path}: {error}") from error

    def make(photo: Photo) -> Enhanced:
        return lay_over(each_object(photo, enhance), *read_size(photo.path))

    def make_many(device: "torch.device", batch: Sequence[Photo]) -> list[Enhanced]:
        ask = partial(each_object, work=partial(pose, config=config, start=config.start))
        posed = list(map_threads(ask, batch, crew.threads))
        made = iter(enhance_many(chain.from_iterable(objects.values() for objects in posed), config, device))
        enhanced = ({label: next(made) for label in objects} for objects in posed)
        return [lay_over(each, *read_size(photo.path)) for photo, each in zip(batch, enhanced, strict=True)]

    if gpu:
        return write_batches(photos, out, partial(make_many, gpu), "enhancement", crew, GPU_BATCH, threads=2)
    return write_masks(photos, out, make, "enhancement", crew)


def _lies_in(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _find_usable(photos: Sequence[Photo], crew: Crew) -> list[Photo]:
    """The photos that can be read; the others are named with their reason."""
    skipped = find_unreadable([photo.path for photo in photos])
    if len(skipped) == len(photos):
        raise DataError(f"None of the {len(photos)} photos can be read; {skipped[0].path}: {skipped[0].reason}.")
    for item in skipped:
        crew.console.warn(f"left out: {item.path}: {item.reason}")
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
