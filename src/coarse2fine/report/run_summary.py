"""Read from a run folder what the report shows, as plain values; masks and photos are not decoded here."""

import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from coarse2fine.config import Rounds, explain, most_rounds
from coarse2fine.errors import DataError
from coarse2fine.evaluation.mask_quality import Quality
from coarse2fine.evaluation.metrics import main_metric
from coarse2fine.evaluation.quality_table import TABLE, read_quality
from coarse2fine.store.photos import find_data, read_record
from coarse2fine.store.records import read_coarse_choice, read_done, read_metrics, read_notes, read_reasons
from coarse2fine.store.run import Run
from coarse2fine.store.stages import is_complete
from coarse2fine.types import FOREGROUND_CLASSES, Dataset


@dataclass(frozen=True)
class StageSummary:
    """One stage of a run.

    Attributes:
        name: Name for people, such as ``coarse masks`` or ``round 2: training``.
        done: Content of its ``done.json``; empty if the stage is not complete.
    """

    name: str
    done: Mapping[str, Any]

    @property
    def seconds(self) -> float | None:
        """Duration of the stage; None if it is not complete."""
        return self.done["seconds"] if self.done else None


@dataclass(frozen=True)
class RoundSummary:
    """Results of one round; round 0 stands for the stages before the first round.

    Attributes:
        number: Number of the round.
        metrics: Content of its ``metrics.json``; empty if there is none.
        reasons: Why photos are left out of the next round, by name, without the photos that stay; None if not known
            yet.
        notes: Notes of the enhancement on single photos, by name.
        qualities: Estimated quality of the enhanced masks, by name of the photo; empty if it was not measured.
        loss: Training loss at the end of the round; None without training.
        trained: Number of photos that the network was trained on; None without training.
        has_masks: Whether the enhanced masks are complete.
    """

    number: int
    metrics: Mapping[str, Any]
    reasons: Mapping[str, str] | None
    notes: Mapping[str, str]
    qualities: Mapping[str, Quality]
    loss: float | None
    trained: int | None
    has_masks: bool

    @property
    def title(self) -> str:
        """Name of the round for people."""
        return f"round {self.number}" if self.number else "before round 1"

    @property
    def when(self) -> str:
        """Time of its results for people: ``after round 2``, or ``before round 1``."""
        return f"after {self.title}" if self.number else self.title

    @property
    def left_out(self) -> int | None:
        """Number of photos that are left out of the next round; None if not known yet."""
        count = self.metrics.get("left_out") if self.reasons is None else len(self.reasons)
        return None if count is None else int(count)

    @property
    def mean_score(self) -> float | None:
        """Mean quality score of the enhanced masks, 0 to 1; None if it was not measured."""
        scores = [quality.score for quality in self.qualities.values()]
        return sum(scores) / len(scores) if scores else None

    @property
    def evaluation(self) -> Mapping[str, Any] | None:
        """Metrics of the network on other photos; None without ground truth of other photos."""
        return self.metrics.get("evaluation")

    @property
    def main_metric(self) -> float | None:
        """mIoU, or foreground IoU, of the network on other photos; None without ground truth of other photos."""
        return main_metric(self.evaluation).value if self.evaluation else None

    @property
    def main_metric_name(self) -> str:
        """Name of :attr:`main_metric`."""
        return main_metric(self.evaluation).name if self.evaluation else "mIoU"

    def masks_iou(self, stage: str) -> float | None:
        """Return the mean IoU of the training photos' masks after a stage; None without ground truth."""
        value = self.metrics.get("training_masks_iou", {}).get(stage)
        return None if value is None else float(value)


@dataclass(frozen=True)
class RunSummary:
    """Everything that the report shows of a run.

    Attributes:
        run: The run folder.
        dataset: Photos of the run.
        settings: All settings, nested as in ``config.toml``.
        settings_text: Text of ``config.toml``.
        rounds: All rounds of the settings, from 0, without a collapsed one and those after it.
        stages: All stages, in their order.
        data: Folder or table of the photos.
        negatives: Folder of the photos without any class; None if there is none.
    """

    run: Run
    dataset: Dataset
    settings: Mapping[str, Any]
    settings_text: str
    rounds: Sequence[RoundSummary]
    stages: Sequence[StageSummary]
    data: Path
    negatives: Path | None = None

    @cached_property
    def coarse_choice(self) -> Mapping[str, Any]:
        """The coarse method that ``coarse.method = auto`` chose, and why; empty if there is no such choice."""
        is_auto = self.settings["coarse"]["method"] == "auto"
        return read_coarse_choice(self.run.coarse_choice) if is_auto else {}

    @property
    def is_foreground_only(self) -> bool:
        """Whether the network separates foreground from background only, as on photos without labels."""
        return self.dataset.classes == FOREGROUND_CLASSES

    @property
    def is_finished(self) -> bool:
        """Whether all stages are complete and the network is saved."""
        has_model = (self.run.model / "model.toml").exists()
        return (has_model or self.has_collapsed) and all(stage.done for stage in self.stages)

    @property
    def has_collapsed(self) -> bool:
        """Whether a round collapsed, so that the run ended before it."""
        return self.total_rounds < self.run.count_planned_rounds(most_rounds(self.settings["rounds"]))

    @cached_property
    def last(self) -> RoundSummary:
        """The last round with complete masks; round 0 if there is none."""
        return next((summary for summary in reversed(self.rounds) if summary.has_masks), self.rounds[0])

    @cached_property
    def evaluated(self) -> RoundSummary | None:
        """The last round whose network was evaluated on other photos; None if there is none."""
        return next((summary for summary in reversed(self.rounds) if summary.evaluation), None)

    @property
    def total_rounds(self) -> int:
        """Number of rounds that count."""
        return len(self.rounds) - 1

    @property
    def seconds(self) -> float:
        """Duration of all complete stages."""
        return sum(stage.seconds or 0 for stage in self.stages)


def read_run_summary(run: Run, dataset: Dataset) -> RunSummary:
    """Read a run folder, finished or not.

    Args:
        run: The run folder.
        dataset: Photos of the run.

    Raises:
        DataError: It is not a run folder, or a file in it is damaged.
    """
    settings, text = read_settings(run)
    rounds = run.count_rounds(most_rounds(settings["rounds"]))
    summaries = [_read_round(run, number) for number in range(rounds + 1)]
    record, stages = read_record(run), list(_list_stages(run, rounds))
    data = find_data(run, record)
    negatives = Path(record.negatives) if record.negatives else None
    return RunSummary(run, dataset, settings, text, summaries, stages, data, negatives)


class _Method(BaseModel):
    model_config = ConfigDict(extra="allow")
    method: str


class _Network(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str
    encoder: str


class _Settings(BaseModel):
    """Those settings that the report uses; the run may be of an earlier version, with others."""

    model_config = ConfigDict(extra="allow")
    rounds: Rounds
    coarse: _Method
    enhance: _Method
    network: _Network


def read_settings(run: Run) -> tuple[dict[str, Any], str]:
    """Return the settings of ``config.toml``, and its text.

    Raises:
        DataError: There is no such file, or it lacks settings that every run has.
    """
    try:
        text = run.config.read_text(encoding="utf-8")
        return _Settings.model_validate(tomllib.loads(text)).model_dump(), text
    except (OSError, ValueError, RecursionError) as error:
        reason = explain(error) if isinstance(error, ValidationError) else str(error)
        raise DataError(
            f"{run.root} must be a run folder of 'coarse2fine fit', but its {run.config.name} cannot be read "
            f"({reason.removesuffix('.')})."
        ) from error


def _list_stages(run: Run, rounds: int) -> Iterator[StageSummary]:
    yield StageSummary("coarse masks", read_done(run.coarse))
    if is_complete(run.linear(0)):
        yield StageSummary("linear model", read_done(run.linear(0)))
    yield StageSummary("enhancement", read_done(run.enhanced(0)))
    for number in range(1, rounds + 1):
        folders = {
            "training": run.training(number),
            "refined masks": run.refined(number),
            **({"linear model": run.linear(number)} if is_complete(run.linear(number)) else {}),
            "enhancement": run.enhanced(number),
            "quality": run.quality(number),
        }
        for name, folder in folders.items():
            yield StageSummary(f"round {number}: {name}", read_done(folder))


def _read_round(run: Run, number: int) -> RoundSummary:
    training = read_done(run.training(number)) if number else {}
    filtered = run.filter_file(number)
    table = run.quality(number) / TABLE
    qualities = read_quality(table) if number and is_complete(table.parent) else []
    return RoundSummary(
        number,
        metrics=read_metrics(run.metrics(number)),
        reasons={name: why for name, why in read_reasons(filtered).items() if why} if filtered.exists() else None,
        notes=read_notes(run.enhanced(number)),
        qualities={quality.photo: quality for quality in qualities},
        loss=_finite_or_none(training.get("loss")),
        trained=training.get("photos"),
        has_masks=is_complete(run.enhanced(number)),
    )


def _finite_or_none(value: float | None) -> float | None:
    """Return a number that can be drawn; the loss of a training that diverged is not one."""
    return value if value is not None and math.isfinite(value) else None
