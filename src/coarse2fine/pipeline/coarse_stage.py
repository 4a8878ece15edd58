"""Stage 1: a coarse mask for every photo."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from coarse2fine.coarse import binarize, binarize_coarse, coarse_from
from coarse2fine.config import CoarseConfig, EnhanceConfig
from coarse2fine.data.mask_files import check_mask_size, list_masks, match_masks
from coarse2fine.data.photos import read_header, read_image, read_size
from coarse2fine.errors import DataError
from coarse2fine.masks.labels import paint_foreground
from coarse2fine.masks.png import mask_path, read_mask, write_soft
from coarse2fine.masks.regions import foreground_values
from coarse2fine.masks.resize import is_scaled, resize_mask, resize_soft
from coarse2fine.pipeline.enhance_stage import prepare_enhancer
from coarse2fine.pipeline.job import FitJob
from coarse2fine.pipeline.mask_writer import (
    MaskTask,
    list_missing,
    run_mask_stage,
    with_class_index,
    write_masks,
    write_predicted_masks,
)
from coarse2fine.store.fingerprints import coarse_settings, describe_photo_masks, describe_photos
from coarse2fine.store.stages import Stage
from coarse2fine.types import Enhanced, Mask, Photo, SoftMask


def run_coarse_stage(job: FitJob) -> Stage:
    """Write the coarse masks of a run, and the soft masks if the first enhancement starts from them."""
    config = job.config.coarse
    soft_folder = job.run.soft_masks(0) if job.config.keeps_soft_masks(0) else None
    settings = coarse_settings(config, soft_folder is not None) | {"photos": describe_photos(job.photos)}
    if config.folder.path and config.method == "folder":
        settings["masks from folder"] = describe_photo_masks(job.photos, config.folder.path)
    if job.corrected:
        settings["corrected masks"] = f"{len(job.corrected)} ({describe_photo_masks(job.corrected, job.run.corrected)})"
    stage = Stage(job.run.coarse, "coarse masks", settings)
    return run_mask_stage(job, stage, lambda task: make_coarse_masks(task, config, soft_folder))


def make_coarse_masks(task: MaskTask, config: CoarseConfig, soft_folder: Path | None = None) -> None:
    """Write a coarse mask, in the class index of its label, for every photo; `IGNORE` if it has several labels.

    Args:
        task: The masks to write.
        config: The coarse method and its settings.
        soft_folder: If given, the soft masks go there.

    Raises:
        DataError: ``method`` is ``folder``, and a photo has no mask in that folder, or one of another shape.
    """
    if config.method == "folder":
        assert config.folder.path is not None
        folder = config.folder.path
        masks = match_masks([photo.name for photo in task.photos], list_masks(folder))
        _check_folder(list_missing(task.photos, task.folder), masks, folder)
        write_masks(task, lambda photo: with_class_index(_read_given_mask(photo, masks[photo.name]), photo))
    elif config.method == "student":
        _run_student(task, config, soft_folder)
    else:
        _run_method(task, config, soft_folder)


def _run_method(task: MaskTask, config: CoarseConfig, soft_folder: Path | None) -> None:
    if config.combines_methods:
        prepare_enhancer(EnhanceConfig(), "box", 0, task.context.console)
    method = coarse_from(config)

    def make(photo: Photo) -> Enhanced:
        soft = method(read_image(photo.path))
        if soft_folder:
            write_soft(mask_path(soft_folder, photo.name), soft)
        return with_class_index(Enhanced(binarize_coarse(soft, config), None), photo)

    write_masks(task, make)


def _run_student(task: MaskTask, config: CoarseConfig, soft_folder: Path | None) -> None:
    from coarse2fine.coarse.student import Student, predict_soft_masks  # importing torch takes seconds

    student, paths = Student.load(config.student.file), [photo.path for photo in task.photos]

    def predict(wanted: Callable[[int], bool]) -> Iterable[tuple[int, SoftMask]]:
        return predict_soft_masks(student, paths, task.context.threads, task.context.world, wanted)

    def make(photo: Photo, soft: SoftMask) -> Mask:
        if soft_folder:
            write_soft(mask_path(soft_folder, photo.name), soft)
        return paint_foreground(binarize(resize_soft(soft, *read_size(photo.path)), config.threshold), photo.labels)

    write_predicted_masks(task, predict, make)


def _read_given_mask(photo: Photo, path: Path) -> Enhanced:
    mask, header = read_mask(path), read_header(photo.path)
    if not is_scaled(mask.shape, header.size):
        check_mask_size(mask.shape, header, path, photo.path)
    foreground = np.isin(mask, foreground_values(mask)).astype(np.uint8)
    return Enhanced(resize_mask(foreground, *header.size), None)


def _check_folder(photos: Sequence[Photo], masks: Mapping[str, Path], folder: Path) -> None:
    missing = [photo for photo in photos if photo.name not in masks]
    if missing:
        first = mask_path(folder, missing[0].name)
        raise DataError(
            f"Every photo needs a mask in coarse.folder.path, but {len(missing)} of {len(photos)} have none; "
            f"the first missing file is {first}."
        )
