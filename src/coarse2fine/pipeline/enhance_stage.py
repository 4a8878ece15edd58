"""Stage 2: an enhanced mask for every photo."""

from pathlib import Path

from coarse2fine.config import EnhanceConfig, Start
from coarse2fine.data.photos import read_image
from coarse2fine.enhance import enhancer_from, prepare
from coarse2fine.masks.labels import assign_nearest, foreground_of
from coarse2fine.masks.png import mask_path, read_mask, read_soft
from coarse2fine.pipeline.job import FitJob, title_of
from coarse2fine.pipeline.mask_writer import MaskTask, run_mask_stage, write_masks
from coarse2fine.runtime.console import Console
from coarse2fine.store.fingerprints import enhance_settings
from coarse2fine.store.stages import Stage
from coarse2fine.types import Enhanced, Enhancer, Photo


def run_enhance_stage(job: FitJob, number: int, input_masks: Stage) -> Stage:
    """Enhance the masks of a round.

    Args:
        job: The run.
        number: The round; 0 enhances the coarse masks.
        input_masks: The stage that wrote the masks to enhance.
    """
    config, seed, start = job.config.enhance, job.config.seed, job.config.start_of(number)
    if number and not config.between_rounds:
        config = config.model_copy(update={"method": "none"})
    settings = enhance_settings(config, start, seed)
    stage = Stage(job.run.enhanced(number), title_of(number, "enhancement"), settings, (input_masks.key,))
    soft_folder = job.run.soft_masks(number) if job.config.keeps_soft_masks(number) else None

    def work(task: MaskTask) -> None:
        enhance = prepare_enhancer(config, start, seed, job.context.console)
        enhance_masks(task, input_masks.folder, enhance, soft_folder)

    if not stage.is_done():  # compile before the stage, so that its seconds are those of the masks
        prepare_enhancer(config, start, seed, job.context.console)
    return run_mask_stage(job, stage, work)


def prepare_enhancer(config: EnhanceConfig, start: Start, seed: int, console: Console) -> Enhancer:
    """Build the enhancer that the settings name, compiled for this machine; print a line if compiling takes long."""
    with console.explaining("enhancement: compiling for this machine; this takes 10 to 30 seconds, once"):
        prepare(config)
    return enhancer_from(config, start, seed)


def enhance_masks(task: MaskTask, input_masks: Path, enhance: Enhancer, soft_folder: Path | None = None) -> None:
    """Write an enhanced mask, in the class index of its label, for every photo.

    If a photo has several labels, its objects are enhanced together: only their contour with the background moves, and
    each pixel gets the class of the nearest pixel of the mask to enhance.

    Args:
        task: The masks to write.
        input_masks: Folder of the masks to enhance.
        enhance: The enhancement method.
        soft_folder: Folder of soft masks, if the method starts from them.
    """

    def make(photo: Photo) -> Enhanced:
        mask = read_mask(mask_path(input_masks, photo.name))
        soft = read_soft(mask_path(soft_folder, photo.name)) if soft_folder else None
        enhanced = enhance(read_image(photo.path), foreground_of(mask, photo.labels), soft)
        return Enhanced(assign_nearest(enhanced.mask, mask, photo.labels), enhanced.note)

    write_masks(task, make)
