"""Stage 1 for all photos: coarse masks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from coarse2fine.coarse import binarize, coarse_from
from coarse2fine.coarse.student import Student, find_in_files
from coarse2fine.config import CoarseConfig
from coarse2fine.data.photos import read_image, read_size
from coarse2fine.errors import DataError
from coarse2fine.masks.png import mask_path, read_mask, write_mask, write_soft
from coarse2fine.masks.regions import foreground_values
from coarse2fine.masks.resize import resize_mask, resize_soft
from coarse2fine.pipeline.mask_writer import in_label, list_missing, write_masks
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import Enhanced, Photo, SoftMask


def make_coarse_masks(
    photos: Sequence[Photo], folder: Path, config: CoarseConfig, context: Context, scores_folder: Path | None = None
) -> None:
    """Stage 1: write a coarse mask, in its label, for every photo.

    Where there is a ``scores_folder``, it receives the soft masks.

    Raises:
        DataError: ``method`` is ``folder``, and a photo without a mask has none there either.
    """
    if config.method == "folder":
        assert config.folder.path is not None
        given = config.folder.path
        _check_given(list_missing(photos, folder), given)
        write_masks(photos, folder, lambda photo: in_label(_read_given(photo, given), photo), "coarse masks", context)
    elif config.method == "student":
        _ask_student(photos, folder, config, context, scores_folder)
    else:
        _find_one_by_one(photos, folder, config, context, scores_folder)


def _find_one_by_one(
    photos: Sequence[Photo], folder: Path, config: CoarseConfig, context: Context, scores_folder: Path | None
) -> None:
    method = coarse_from(config)

    def make(photo: Photo) -> Enhanced:
        soft = method(read_image(photo.path))
        if scores_folder:
            write_soft(mask_path(scores_folder, photo.name), soft)
        return in_label(Enhanced(binarize(soft, config.threshold), None), photo)

    write_masks(photos, folder, make, "coarse masks", context)


def _ask_student(
    photos: Sequence[Photo], folder: Path, config: CoarseConfig, context: Context, scores_folder: Path | None
) -> None:
    student = Student.load(config.student.file)

    def finish(found: tuple[int, SoftMask]) -> None:
        photo, soft = photos[found[0]], found[1]
        if scores_folder:
            write_soft(mask_path(scores_folder, photo.name), soft)
        mask = binarize(resize_soft(soft, *read_size(photo.path)), config.threshold)
        write_mask(mask_path(folder, photo.name), mask * np.uint8(photo.label))

    missing = {photo.name for photo in list_missing(photos, folder)}
    paths = [photo.path for photo in photos]
    found = find_in_files(student, paths, context.threads, context.world, lambda index: photos[index].name in missing)
    mine = len(photos) // context.world.size
    wanted = (one for one in found if photos[one[0]].name in missing)  # a batch is asked as a whole
    done = map_threads(finish, wanted, context.threads)
    for _ in context.console.track(done, mine, "coarse masks", mine - len(missing) // context.world.size):
        pass


def _read_given(photo: Photo, folder: Path) -> Enhanced:
    mask = read_mask(mask_path(folder, photo.name))
    foreground = np.isin(mask, foreground_values(mask)).astype(np.uint8)
    return Enhanced(resize_mask(foreground, *read_size(photo.path)), None)


def _check_given(photos: Sequence[Photo], folder: Path) -> None:
    missing = list_missing(photos, folder)
    if missing:
        first = mask_path(folder, missing[0].name)
        raise DataError(
            f"Every photo needs a mask in coarse.folder.path, but {len(missing)} of {len(photos)} have none; "
            f"the first that is missing is {first}."
        )
