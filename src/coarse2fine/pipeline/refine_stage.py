"""Refined masks: the network's predictions, constrained to the labels; and which photos the next round leaves out."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from coarse2fine.config import FilterConfig, RefineConfig
from coarse2fine.data.reader import ReadOptions
from coarse2fine.inference.files import FilePrediction, predict_files
from coarse2fine.inference.segmenter import BATCH_SIZE, Segmenter
from coarse2fine.masks.constraint import reason_to_leave_out
from coarse2fine.masks.labels import assign_most_probable, constrain_to_labels, foreground_of
from coarse2fine.masks.png import mask_path, read_mask, write_soft
from coarse2fine.masks.resize import foreground_of_soft
from coarse2fine.pipeline.job import FitJob, title_of
from coarse2fine.pipeline.mask_writer import MaskTask, run_mask_stage, write_predicted_masks
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.files import write_json
from coarse2fine.runtime.threads import map_threads
from coarse2fine.store.fingerprints import refine_settings
from coarse2fine.store.stages import Stage
from coarse2fine.types import Mask, Photo


def run_refine_stage(job: FitJob, number: int, trained: Stage, segmenter: Segmenter) -> Stage:
    """Write the refined masks of a round.

    Args:
        job: The run.
        number: The round, from 1.
        trained: The stage that trained the network.
        segmenter: The trained network.
    """
    config = job.config
    soft_folder = job.run.soft_masks(number) if config.keeps_soft_masks(number) else None
    settings = refine_settings(config, number)
    stage = Stage(job.run.refined(number), title_of(number, "refined masks"), settings, (trained.key,))
    return run_mask_stage(job, stage, lambda task: refine_masks(task, segmenter, config.refine, soft_folder))


def refine_masks(task: MaskTask, segmenter: Segmenter, config: RefineConfig, soft_folder: Path | None = None) -> None:
    """Write for every photo the prediction of a network, constrained to the photo's labels.

    Args:
        task: The masks to write.
        segmenter: The network.
        config: The rule of the constraint.
        soft_folder: If given, the soft masks of the constrained predictions go there, at the network's working size.

    Source: the paper, section IV-D2, strategy b: keep only the pixels predicted as the class of the photo.
    """
    paths = [photo.path for photo in task.photos]

    def predict(wanted: Callable[[int], bool]) -> Iterable[tuple[int, FilePrediction]]:
        options = ReadOptions(BATCH_SIZE, task.context.threads, task.context.world)
        return ((prediction.index, prediction) for prediction in predict_files(segmenter, paths, options, wanted))

    def make(photo: Photo, prediction: FilePrediction) -> Mask:
        probabilities = prediction.probabilities
        soft = constrain_to_labels(probabilities, photo.labels, config.constrain, config.threshold)
        if soft_folder:
            write_soft(mask_path(soft_folder, photo.name), soft)
        foreground = foreground_of_soft(soft, *prediction.size)
        return assign_most_probable(foreground, probabilities, photo.labels)

    write_predicted_masks(task, predict, make)


def leave_out_empty(job: FitJob, masks: Stage) -> dict[str, str]:
    """Find the photos that are left out of the first round, and write ``filter.json`` with the reasons.

    Args:
        job: The run.
        masks: The stage that wrote the enhanced coarse masks.

    Returns:
        Photo name to reason: the mask is empty, which would train the object as background, or a person rejected it.
    """
    empty = find_empty(job.labeled, masks.folder, job.context)
    reasons = {photo.name: "foreground is empty" if photo.name in empty else None for photo in job.photos}
    return _record_reasons(job, 0, reasons)


def leave_out_filtered(job: FitJob, number: int) -> dict[str, str]:
    """Find the photos that are left out of the next round, and write ``filter.json`` with the reasons.

    Args:
        job: The run.
        number: The round whose refined masks are checked, from 1.

    Returns:
        Photo name to reason.
    """
    reasons = filter_masks(job.photos, job.run.refined(number), job.config.filter, job.context)
    return _record_reasons(job, number, reasons)


def filter_masks(
    photos: Sequence[Photo], folder: Path, config: FilterConfig, context: Context
) -> dict[str, str | None]:
    """Decide by the foreground share of their masks which photos train in the next round.

    Args:
        photos: All photos.
        folder: Refined masks.
        config: Limits of the foreground share.
        context: Processes and console.

    Returns:
        For each photo's name: None if it trains, else the reason why not. A photo without a label always trains.

    Source: the paper, section IV-D2 (1 % and 80 %).
    """

    def check(photo: Photo) -> str | None:
        if not photo.labels:
            return None
        return reason_to_leave_out(read_mask(mask_path(folder, photo.name)), config.min_share, config.max_share)

    reasons = map_threads(check, photos, context.threads)
    return {photo.name: reason for photo, reason in zip(photos, reasons, strict=True)}


def find_empty(photos: Sequence[Photo], folder: Path, context: Context) -> set[str]:
    """Return the names of the photos whose mask has no foreground."""

    def check(photo: Photo) -> bool:
        return not foreground_of(read_mask(mask_path(folder, photo.name)), photo.labels).any()

    empty = map_threads(check, photos, context.threads)
    return {photo.name for photo, is_empty in zip(photos, empty, strict=True) if is_empty}


def _record_reasons(job: FitJob, number: int, reasons: dict[str, str | None]) -> dict[str, str]:
    """Apply the decisions of people, write ``filter.json`` of a round, and return only the photos with a reason."""
    reasons = job.apply_people_decisions(reasons)
    if job.context.is_main:
        write_json(job.run.filter_file(number), reasons)
    return {name: reason for name, reason in reasons.items() if reason}
