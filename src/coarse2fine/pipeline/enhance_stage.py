"""Stage 2: an enhanced mask for every photo."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from coarse2fine.config import EnhanceConfig, Start
from coarse2fine.data.photos import read_image
from coarse2fine.masks.labels import assign_nearest, foreground_of
from coarse2fine.masks.png import mask_path, read_mask, read_soft
from coarse2fine.masks.resize import resize_soft
from coarse2fine.pipeline.job import FitJob, title_of
from coarse2fine.pipeline.mask_writer import MaskTask, run_mask_stage, write_masks
from coarse2fine.runtime.console import Console
from coarse2fine.store.fingerprints import enhance_settings
from coarse2fine.store.stages import Stage
from coarse2fine.types import Enhanced, Enhancer, Photo, SoftMask

WHOLE_WEIGHT_PHOTOS = 500
"""Up to this number of photos, the linear model has its whole weight in all rounds; see :func:`weigh_linear_model`."""


@dataclass(frozen=True)
class Correction:
    """Soft masks that correct those of a round, see :mod:`coarse2fine.enhance.linear_model`.

    Attributes:
        folders: Folders of the soft masks of one linear model, or of several, whose mean is taken.
        weight: Their weight, see :func:`~coarse2fine.enhance.linear_model.blend`.
    """

    folders: Sequence[Path]
    weight: float


def run_enhance_stage(
    job: FitJob, number: int, input_masks: Stage, linear: Stage | None = None, is_last: bool = False
) -> Stage:
    """Enhance the masks of a round.

    Args:
        job: The run.
        number: The round; 0 enhances the coarse masks.
        input_masks: The stage that wrote the masks to enhance.
        linear: The stage of the linear model that corrects the soft masks, if any.
        is_last: The round is the last one: with ``enhance.average_rounds`` it starts from the mean of the soft masks of
            all rounds, corrected by the mean of the linear models of all rounds and of the coarse masks.
    """
    config, seed, start = job.config.enhance, job.config.seed, job.config.start_of(number)
    if number and not config.between_rounds:
        config = config.model_copy(update={"method": "none"})
    rounds = range(number + 1) if is_last and job.config.enhance.average_rounds else [number]
    settings = enhance_settings(config, start, seed)
    soft_folders = []
    if job.config.keeps_soft_masks(number):
        averaged = [one for one in rounds if one] or [0]  # the coarse soft masks are in no mean (docs/log.md)
        soft_folders = [job.run.soft_masks(one) for one in averaged]
    if len(rounds) > 1 and soft_folders:
        settings["enhance.average_rounds"] = "equal weights"
    correction, inputs = None, [input_masks.key]
    if linear:
        folders = [job.run.linear(one) for one in rounds if job.config.uses_linear_model(one)]
        correction = Correction(folders, weigh_linear_model(job, number))
        settings["enhance.linear_weight"] = correction.weight
        inputs.append(linear.key)
    stage = Stage(job.run.enhanced(number), title_of(number, "enhancement"), settings, tuple(inputs))

    def work(task: MaskTask) -> None:
        enhance = prepare_enhancer(config, start, seed, job.context.console)
        enhance_masks(task, input_masks.folder, enhance, soft_folders, correction)

    if not stage.is_done():  # compile before the stage, so that its seconds are those of the masks
        prepare_enhancer(config, start, seed, job.context.console)
    return run_mask_stage(job, stage, work)


def weigh_linear_model(job: FitJob, number: int) -> float:
    """Return the weight of the linear model in a round; 0 is before the first.

    The more photos there are, the sooner the networks know more than the linear model. Above `WHOLE_WEIGHT_PHOTOS`
    photos, the weight of each round is that of the round before, times ``WHOLE_WEIGHT_PHOTOS / photos``. The whole
    weight in all rounds raised the IoU of 498 photos of 20 classes by .02 after rounds 1 and 2, but lowered that of
    1,855 photos of 5 classes by .01 after rounds 3 and 4 (docs/log.md, 2026-11-30).
    """
    return job.config.enhance.linear_weight * min(1.0, WHOLE_WEIGHT_PHOTOS / len(job.labeled)) ** number


def prepare_enhancer(config: EnhanceConfig, start: Start, seed: int, console: Console) -> Enhancer:
    """Build the enhancer that the settings name; print a line before it is compiled for the first time."""
    from coarse2fine.enhance import enhancer_from, is_prepared, prepare  # importing numba takes a second

    if not is_prepared(config):
        console.say("enhancement: compiling for this machine; this takes 10 to 30 seconds, once")
    prepare(config)
    return enhancer_from(config, start, seed)


def enhance_masks(
    task: MaskTask,
    input_masks: Path,
    enhance: Enhancer,
    soft_folders: Sequence[Path] = (),
    correction: Correction | None = None,
) -> None:
    """Write an enhanced mask, in the class index of its label, for every photo.

    If a photo has several labels, its objects are enhanced together: only their contour with the background moves, and
    each pixel gets the class of the nearest pixel of the mask to enhance.

    Args:
        task: The masks to write.
        input_masks: Folder of the masks to enhance.
        enhance: The enhancement method.
        soft_folders: Folders of soft masks, if the method starts from them. Of several, the method starts from the mean
            (:func:`average_soft_masks`).
        correction: Soft masks of the linear model, which correct the others.

    If the soft mask is a mean or corrected, its foreground replaces that of the masks to enhance, unless it has none.
    """
    from coarse2fine.enhance.linear_model import blend  # importing numba takes seconds

    def make(photo: Photo) -> Enhanced:
        mask = read_mask(mask_path(input_masks, photo.name))
        foreground, soft = foreground_of(mask, photo.labels), None
        if soft_folders:
            soft = average_soft_masks([read_soft(mask_path(folder, photo.name)) for folder in soft_folders])
        if soft is not None and correction:
            linear = average_soft_masks([read_soft(mask_path(one, photo.name)) for one in correction.folders])
            soft = blend(soft, linear, correction.weight)
        if soft is not None and (correction or len(soft_folders) > 1):
            found = (resize_soft(soft, *mask.shape) > 0.5).astype(np.uint8)
            foreground = found if found.any() else foreground
        enhanced = enhance(read_image(photo.path), foreground, soft)
        return Enhanced(assign_nearest(enhanced.mask, mask, photo.labels), enhanced.note)

    write_masks(task, make)


def average_soft_masks(rounds: Sequence[SoftMask]) -> SoftMask:
    """Return the mean of the soft masks of several rounds.

    The networks of single rounds differ by chance, and late rounds may get worse; the mean is nearly as good as the
    best of them, and so is the mean of their linear models (docs/log.md, 2026-11-29 and 2026-11-30).

    Args:
        rounds: Shape (H, W), 0 to 1; sizes may differ.

    Returns:
        The size of the last one.

    Source: ours; a temporal ensemble (Laine and Aila, "Temporal Ensembling", ICLR 2017) of whole trainings.
    """
    height, width = rounds[-1].shape
    mean: SoftMask = np.mean([resize_soft(soft, height, width) for soft in rounds], axis=0, dtype=np.float32)
    return mean
