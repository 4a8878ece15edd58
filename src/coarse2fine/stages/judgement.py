"""How far the masks of a round can be trusted, for all photos, without any truth."""

from collections.abc import Sequence

from coarse2fine.quality import (
    CLASS_TABLE,
    TABLE,
    WORKING_PX,
    list_rounds,
    measure_quality,
    read_quality,
    summarise_classes,
    write_class_quality,
    write_quality,
)
from coarse2fine.stages.crew import Crew, run_stage
from coarse2fine.stages.writing import read_notes
from coarse2fine.store import Run, Stage, read_json, write_atomically
from coarse2fine.types import Dataset


def judge_masks(run: Run, dataset: Dataset, number: int, inputs: Sequence[str], crew: Crew) -> Stage:
    """Write the quality of the masks after a round, per photo and per class; the round before was judged before it.

    Args:
        run: Where the masks lie.
        dataset: The photos and classes of the run.
        number: The round, from 1.
        inputs: Fingerprints of the round's enhanced masks and of the judgement before.
        crew: Who works: the first process.
    """
    stage = Stage(run.quality(number), f"round {number}: quality", {"working_px": WORKING_PX}, tuple(inputs))
    photos = dataset.photos

    def work() -> dict[str, object]:
        if not crew.leads:
            return {}
        earlier = read_quality(run.quality(number - 1) / TABLE) if number > 1 else []
        before = {one.photo: one.confidence for one in earlier}
        kept = list_kept(run, dataset, number)
        judged = measure_quality(run, photos, dataset.classes, number, before, kept, crew.threads)
        qualities = list(crew.console.track(judged, len(photos), stage.title))
        write_quality(stage.folder / TABLE, qualities)
        write_class_quality(stage.folder / CLASS_TABLE, summarise_classes(qualities))
        return {"quality": round(sum(one.score for one in qualities) / len(qualities), 5)}

    run_stage(stage, crew, work)
    return stage


def list_kept(run: Run, dataset: Dataset, number: int) -> set[str]:
    """Names of photos whose masks enhancement kept as they were: all of them where it does nothing."""
    folder = run.enhanced(number)
    if read_json(folder / "done.json")["settings"]["enhance.method"] == "none":
        return {photo.name for photo in dataset.photos}
    return set(read_notes(folder))


def judge_run(run: Run, dataset: Dataset, crew: Crew) -> int:
    """Judge every round of a run that is complete and was not judged yet, such as those of an older version.

    Returns:
        How many rounds are judged.

    Raises:
        DataError: The masks of a round are damaged, or the run folder cannot be written.
    """
    keys: list[str] = []
    for number in list_rounds(run):
        inputs = (read_json(run.enhanced(number) / "done.json")["key"], *keys[-1:])
        keys.append(judge_masks(run, dataset, number, inputs, crew).key)
    if keys:
        publish_quality(run, len(keys))
    return len(keys)


def publish_quality(run: Run, number: int) -> None:
    """Put the tables of a round where people look for them: into the run folder itself."""
    for name in (TABLE, CLASS_TABLE):
        with write_atomically(run.root / name) as file:
            file.write((run.quality(number) / name).read_bytes())
