"""Stage 2: an enhanced mask for every photo."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from coarse2fine.config import EnhanceConfig, Start
from coarse2fine.corrections.review import describe_rejected
from coarse2fine.data.photos import read_image
from coarse2fine.masks.labels import assign_nearest, foreground_of
from coarse2fine.masks.png import mask_path, read_mask
from coarse2fine.masks.resize import foreground_of_soft
from coarse2fine.pipeline.job import FitJob, title_of
from coarse2fine.pipeline.mask_writer import MaskTask, run_mask_stage, write_masks
from coarse2fine.pipeline.soft_start import Correction, SoftStart, balance_size
from coarse2fine.runtime.console import Console
from coarse2fine.store.fingerprints import enhance_settings
from coarse2fine.store.stages import Stage
from coarse2fine.types import Enhanced, Enhancer, Photo

WHOLE_WEIGHT_PHOTOS = 500
"""Up to this number of photos, the linear model has its whole weight in all rounds; see :func:`weigh_linear_model`."""


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
    rounds = range(number + 1) if is_last and config.average_rounds else [number]
    settings, inputs = enhance_settings(config, start, seed), [input_masks.key]
    soft_start = find_soft_start(job, rounds, linear)
    if soft_start and len(rounds) > 1:
        settings["enhance.average_rounds"] = "equal weights"
    if soft_start and soft_start.correction and linear:
        settings["enhance.linear_weight"] = soft_start.correction.weight
        inputs.append(linear.key)
    is_cut = config.method == "grabcut" and start == "probabilities"
    is_balanced = number > 0 and is_cut and config.balance_size  # coarse masks got worse (docs/log.md)
    if soft_start and is_balanced:
        settings |= {"enhance.balance_size": True} | describe_rejected(job.rejected)
    stage = Stage(job.run.enhanced(number), title_of(number, "enhancement"), settings, tuple(inputs))

    def work(task: MaskTask) -> dict[str, object]:
        enhance = prepare_enhancer(config, start, seed, job.context.console)
        if not soft_start:
            enhance_masks(task, input_masks.folder, enhance)
            return {}
        balanced = balance_size(soft_start, _list_balanced(job), enhance, job.context) if is_balanced else soft_start
        enhance_masks(task, input_masks.folder, enhance, balanced)
        return {"shift": balanced.shift}

    if not stage.is_done():  # compile before the stage, so that its seconds are those of the masks
        prepare_enhancer(config, start, seed, job.context.console)
    return run_mask_stage(job, stage, work)


def find_soft_start(job: FitJob, rounds: Sequence[int], linear: Stage | None) -> SoftStart | None:
    """Return the soft masks of the last of some rounds, or their mean, with their correction; None if none are kept.

    Args:
        job: The run.
        rounds: The rounds, in ascending order.
        linear: The stage of the linear model that corrects the soft masks, if any.
    """
    if not job.config.keeps_soft_masks(rounds[-1]):
        return None
    averaged = [one for one in rounds if one] or [0]  # the coarse soft masks are in no mean (docs/log.md)
    start = SoftStart([job.run.soft_masks(one) for one in averaged])
    if not linear:
        return start
    folders = [job.run.linear(one) for one in rounds if job.config.uses_linear_model(one)]
    return replace(start, correction=Correction(folders, weigh_linear_model(job, rounds[-1])))


def _list_balanced(job: FitJob) -> list[Photo]:
    """List the photos with soft masks that no person decided about."""
    decided = {*job.rejected, *(photo.name for photo in job.corrected)}
    return [photo for photo in job.labeled if photo.name not in decided]


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


def enhance_masks(task: MaskTask, input_masks: Path, enhance: Enhancer, soft_start: SoftStart | None = None) -> None:
    """Write an enhanced mask, in the class index of its label, for every photo.

    If a photo has several labels, its objects are enhanced together: only their contour with the background moves, and
    each pixel gets the class of the nearest pixel of the mask to enhance.

    Args:
        task: The masks to write.
        input_masks: Folder of the masks to enhance.
        enhance: The enhancement method.
        soft_start: The soft masks, if the method starts from them. If they are a mean, shifted or corrected, their
            foreground replaces that of the masks to enhance, unless it is empty.
    """

    def make(photo: Photo) -> Enhanced:
        mask = read_mask(mask_path(input_masks, photo.name))
        foreground, soft = foreground_of(mask, photo.labels), None
        if soft_start:
            soft = soft_start.read(photo)
            found = foreground_of_soft(soft, *mask.shape)
            if soft_start.changes_masks and found.any():
                foreground = found
        enhanced = enhance(read_image(photo.path), foreground, soft)
        return Enhanced(assign_nearest(enhanced.mask, mask, photo.labels), enhanced.note)

    write_masks(task, make)
