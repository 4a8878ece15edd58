"""How far the masks of a round can be trusted, for all photos, without any truth."""

from collections.abc import Iterator, Mapping, Sequence

from coarse2fine.evaluation.mask_quality import (
    CLASS_TABLE,
    TABLE,
    WORKING_PX,
    Quality,
    list_rounds,
    measure_quality,
    read_quality,
    summarize_classes,
    write_class_quality,
    write_quality,
)
from coarse2fine.masks.png import mask_path
from coarse2fine.pipeline.job import FitJob
from coarse2fine.pipeline.mask_writer import read_notes
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.files import read_json, write_atomically
from coarse2fine.store.run import Run
from coarse2fine.store.stages import Stage, run_stage
from coarse2fine.types import Dataset


def run_quality_stage(job: FitJob, number: int, masks: Stage, before: Stage | None) -> Stage:
    """Compute the quality of the masks of a round.

    Args:
        job: The run.
        number: The round, from 1.
        masks: The stage that wrote the enhanced masks.
        before: The quality stage of the round before, if any.
    """
    inputs = [stage.key for stage in (masks, before) if stage]
    return judge_masks(job.run, job.dataset, number, inputs, job.context)


def judge_masks(run: Run, dataset: Dataset, number: int, inputs: Sequence[str], context: Context) -> Stage:
    """Write the quality of the masks after a round, per photo and per class; the round before was judged before it.

    Args:
        run: Where the masks lie.
        dataset: The photos and classes of the run.
        number: The round, from 1.
        inputs: Fingerprints of the round's enhanced masks and of the judgment before.
        context: Who works: the first process.
    """
    settings = {"score": "confidence x agreement", "working_px": WORKING_PX}
    stage = Stage(run.quality(number), f"round {number}: quality", settings, tuple(inputs))

    def work() -> dict[str, object]:
        if not context.is_main:
            return {}
        earlier = read_quality(run.quality(number - 1) / TABLE) if number > 1 else []
        judged = judge_round(run, dataset, number, {one.photo: one.confidence for one in earlier}, context.threads)
        qualities = list(context.console.track(judged, len(dataset.photos), stage.title))
        write_quality(stage.folder / TABLE, qualities)
        write_class_quality(stage.folder / CLASS_TABLE, summarize_classes(qualities))
        return {"quality": round(sum(one.score for one in qualities) / len(qualities), 5)}

    run_stage(stage, context, work)
    return stage


def judge_round(
    run: Run, dataset: Dataset, number: int, before: Mapping[str, float | None], threads: int
) -> Iterator[Quality]:
    """Judge the masks of a round by what its stages say of themselves; writes nothing.

    Args:
        run: Where the masks lie.
        dataset: The photos and classes of the run.
        number: The round, from 1.
        before: Confidence in the round before, by name.
        threads: For reading and comparing.
    """
    refined, enhanced = (read_json(folder / "done.json") for folder in (run.refined(number), run.enhanced(number)))
    # The folder of scores alone may be a left-over of other settings.
    scores = run.scores(number) if refined["settings"].get("probabilities") == "kept" else None
    enhances = enhanced["settings"]["enhance.method"] != "none"
    kept = set(read_notes(run.enhanced(number))) if enhances else {photo.name for photo in dataset.photos}
    corrected = {photo.name for photo in dataset.photos if mask_path(run.corrected, photo.name).exists()}
    return measure_quality(run, dataset.photos, dataset.classes, number, scores, before, kept, corrected, threads)


def judge_run(run: Run, dataset: Dataset, context: Context) -> int:
    """Judge every round of a run that is complete and was not judged yet, such as those of an older version.

    Returns:
        How many rounds are judged.

    Raises:
        DataError: The masks of a round are damaged, or the run folder cannot be written.
    """
    keys: list[str] = []
    for number in list_rounds(run):
        inputs = (read_json(run.enhanced(number) / "done.json")["key"], *keys[-1:])
        keys.append(judge_masks(run, dataset, number, inputs, context).key)
    if keys:
        publish_quality(run, len(keys))
    return len(keys)


def publish_quality(run: Run, number: int) -> None:
    """Put the tables of a round where people look for them: into the run folder itself."""
    for name in (TABLE, CLASS_TABLE):
        with write_atomically(run.root / name) as file:
            file.write((run.quality(number) / name).read_bytes())
