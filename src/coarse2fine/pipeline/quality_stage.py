"""Measure the quality of the masks of each round without ground truth, and write the tables."""

from collections.abc import Iterator, Mapping, Sequence

from coarse2fine.corrections import list_corrected
from coarse2fine.data.photos import check_mask_header
from coarse2fine.errors import DataError
from coarse2fine.evaluation.mask_quality import (
    COMPARISON_PX,
    Quality,
    RoundMasks,
    list_rounds,
    list_unmeasured_rounds,
    measure_quality,
    summarize_classes,
)
from coarse2fine.evaluation.quality_table import (
    CLASS_TABLE,
    TABLE,
    read_quality,
    write_class_quality,
    write_quality,
)
from coarse2fine.masks.png import mask_path
from coarse2fine.pipeline.job import FitJob
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.files import write_atomically
from coarse2fine.store.fingerprints import SOFT_MASKS_SAVED
from coarse2fine.store.records import read_done, read_notes
from coarse2fine.store.run import Run
from coarse2fine.store.stages import Stage, is_complete, run_stage
from coarse2fine.types import Dataset


def run_quality_stage(job: FitJob, number: int, masks: Stage, previous: Stage | None) -> Stage:
    """Compute the quality of the masks of a round.

    Args:
        job: The run.
        number: The round, from 1.
        masks: The stage that wrote the enhanced masks.
        previous: The quality stage of the round before, if any.
    """
    inputs = [stage.key for stage in (masks, previous) if stage]
    return write_round_quality(job.run, job.dataset, number, inputs, job.context)


def write_round_quality(run: Run, dataset: Dataset, number: int, inputs: Sequence[str], context: Context) -> Stage:
    """Measure the masks of a round and write the quality tables per photo and per class.

    The tables of the round before must exist.

    Args:
        run: The run folder.
        dataset: Photos and classes of the run.
        number: Number of the round, from 1.
        inputs: Fingerprints of the round's enhanced masks and of the quality stage of the round before.
        context: Processes and console; only the first process works.

    Returns:
        The finished stage.
    """
    settings = {
        "score": "sqrt(confidence x agreement x correlation with the linear model)",
        "comparison_px": COMPARISON_PX,
    }
    stage = Stage(run.quality(number), f"round {number}: quality", settings, tuple(inputs))

    def work() -> dict[str, object]:
        if not context.is_main:
            return {}
        previous = read_quality(run.quality(number - 1) / TABLE) if number > 1 else []
        confidence = {quality.photo: quality.confidence for quality in previous}
        measured = measure_round_quality(run, dataset, number, confidence, context.threads)
        qualities = list(context.console.track(measured, len(dataset.labeled), stage.title))
        write_quality(stage.folder / TABLE, qualities)
        write_class_quality(stage.folder / CLASS_TABLE, summarize_classes(qualities))
        score = sum(quality.score for quality in qualities) / len(qualities)
        agreement = sum(quality.agreement_training_mask for quality in qualities) / len(qualities)
        return {"quality": round(score, 5), "agreement": round(agreement, 5)}

    run_stage(stage, context, work)
    return stage


def measure_round_quality(
    run: Run, dataset: Dataset, number: int, previous_confidence: Mapping[str, float | None], threads: int
) -> Iterator[Quality]:
    """Measure the quality of the masks of a round, as its stages left them; write nothing.

    Args:
        run: The run folder.
        dataset: Photos and classes of the run.
        number: Number of the round, from 1.
        previous_confidence: Confidence in the round before, by name of the photo.
        threads: Number of threads that read and compare.

    Yields:
        One record per photo with a label, in order.

    Raises:
        DataError: The masks of the round are not complete.
    """
    folders = run.refined(number), run.enhanced(number)
    for folder in folders:
        if not is_complete(folder):
            raise DataError(f"{folder} is not finished. Run fit until it ends.")
    refined, enhanced = map(read_done, folders)
    # A folder of soft masks may remain from a run with other settings, so done.json decides, not the folder.
    has_soft_masks = SOFT_MASKS_SAVED.items() <= refined["settings"].items()
    masks = RoundMasks(
        number,
        training=run.enhanced(number - 1),
        refined=run.refined(number),
        enhanced=run.enhanced(number),
        soft_masks=run.soft_masks(number) if has_soft_masks else None,
        previous_confidence=previous_confidence,
        linear=run.linear(number) if "enhance.linear_weight" in enhanced["settings"] else None,
        not_enhanced=set(read_notes(run.enhanced(number))),
        is_enhanced=enhanced["settings"].get("enhance.method") != "none",
        corrected={photo.name for photo in list_corrected(dataset.photos, run.corrected)},
    )
    return measure_quality(masks, dataset, threads)


def write_missing_quality(run: Run, dataset: Dataset, context: Context) -> int:
    """Write the quality tables of every complete round that has none, and copy the last ones to the run folder.

    Returns:
        Number of complete rounds.

    Raises:
        DataError: The masks of a round are damaged, or the run folder cannot be written.
    """
    keys: list[str] = []
    for number in list_unmeasured_rounds(run):  # the masks may come from somebody else
        folders = (run.enhanced(number - 1), run.refined(number), run.enhanced(number))
        for path, photo in ((mask_path(folder, photo.name), photo) for folder in folders for photo in dataset.labeled):
            check_mask_header(path, photo.path)
    for number in list_rounds(run):
        inputs = (read_done(run.enhanced(number))["key"], *keys[-1:])
        keys.append(write_round_quality(run, dataset, number, inputs, context).key)
    if keys:
        copy_quality_tables(run, len(keys))
    return len(keys)


def copy_quality_tables(run: Run, number: int) -> None:
    """Copy the quality tables of a round to the run folder itself."""
    for name in (TABLE, CLASS_TABLE):
        with write_atomically(run.root / name) as file:
            file.write((run.quality(number) / name).read_bytes())


def remove_quality_tables(run: Run) -> None:
    """Remove the quality tables in the run folder itself, if there are any."""
    for name in (TABLE, CLASS_TABLE):
        (run.root / name).unlink(missing_ok=True)
