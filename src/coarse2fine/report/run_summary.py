"""What a run folder has to tell, read once and as plain values; nothing is decoded here."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coarse2fine.errors import DataError
from coarse2fine.evaluation.mask_quality import TABLE, Quality, read_quality
from coarse2fine.evaluation.metrics import main_metric
from coarse2fine.runtime.files import read_json
from coarse2fine.store.run import Run
from coarse2fine.types import FOREGROUND_CLASSES, Dataset


@dataclass(frozen=True)
class Step:
    """One stage of a run.

    Attributes:
        name: ``coarse masks``, ``round 2: training`` and so on.
        done: What its ``done.json`` says; empty where it has not ended.
    """

    name: str
    done: Mapping[str, Any]

    @property
    def seconds(self) -> float | None:
        """How long it took; None where it has not ended."""
        return float(self.done["seconds"]) if self.done else None


@dataclass(frozen=True)
class Round:
    """What is known after a round; round 0 is before the first.

    Attributes:
        number: The round.
        figures: Its ``metrics.json``; empty where there is none.
        reasons: For each photo why it left, by name; those that stayed are not in it. None: not decided yet.
        notes: What enhancement had to tell about single photos, by name.
        qualities: Of its masks, by name of the photo; empty where they were not judged.
        loss: Of its training; None where there was none.
        trained: Photos that it trained on; None where it did not.
        has_masks: Whether its enhanced masks are all there.
    """

    number: int
    figures: Mapping[str, Any]
    reasons: Mapping[str, str] | None
    notes: Mapping[str, str]
    qualities: Mapping[str, Quality]
    loss: float | None
    trained: int | None
    has_masks: bool

    @property
    def title(self) -> str:
        """What it is called."""
        return f"round {self.number}" if self.number else "before round 1"

    @property
    def left_out(self) -> int | None:
        """Photos that left after it; None where that is not decided yet."""
        count = self.figures.get("left_out") if self.reasons is None else len(self.reasons)
        return None if count is None else int(count)

    @property
    def mean_quality(self) -> float | None:
        """Mean score of its masks."""
        scores = [one.score for one in self.qualities.values()]
        return sum(scores) / len(scores) if scores else None

    @property
    def main_metric(self) -> float | None:
        """Its network's mIoU, or IoU of the foreground, on other photos, where they have truth."""
        return main_metric(self.figures["photos"])[1] if "photos" in self.figures else None

    @property
    def headline_name(self) -> str:
        """What :attr:`main_metric` is."""
        return main_metric(self.figures["photos"])[0] if "photos" in self.figures else "mIoU"

    def masks_iou(self, stage: str) -> float | None:
        """Of the training photos' masks after a stage, where they have truth."""
        return self._figure("training_masks_iou", stage)

    def _figure(self, group: str, name: str) -> float | None:
        value = self.figures.get(group, {}).get(name)
        return None if value is None else float(value)


@dataclass(frozen=True)
class Story:
    """A run.

    Attributes:
        run: Its places.
        dataset: Its photos.
        settings: Every setting, nested as in ``config.toml``.
        settings_text: ``config.toml``.
        rounds: What is known after each round that has begun to leave something, from 0.
        steps: All stages, in their order.
    """

    run: Run
    dataset: Dataset
    settings: Mapping[str, Any]
    settings_text: str
    rounds: Sequence[Round]
    steps: Sequence[Step]

    @property
    def is_unlabeled(self) -> bool:
        """Whether its network tells object from background only."""
        return self.dataset.classes == FOREGROUND_CLASSES

    @property
    def is_finished(self) -> bool:
        """Whether its network can be used and its last masks are there."""
        return (self.run.model / "model.toml").exists() and all(step.done for step in self.steps)

    @property
    def last(self) -> Round:
        """The last round whose masks are all there; round 0 where none is."""
        return next((one for one in reversed(self.rounds) if one.has_masks), self.rounds[0])

    @property
    def asked_rounds(self) -> int:
        """Rounds that the settings ask for."""
        return int(self.settings["rounds"])

    @property
    def seconds(self) -> float:
        """Of all stages that have ended."""
        return sum(step.seconds or 0 for step in self.steps)


def read_story(run: Run, dataset: Dataset) -> Story:
    """Read a run folder, finished or not.

    Raises:
        DataError: It is no run folder, or a file in it is damaged.
    """
    try:
        text = run.config.read_text(encoding="utf-8")
        settings = tomllib.loads(text)
        asked = int(settings["rounds"])
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{run.root} must be a run folder of 'coarse2fine fit', but its {run.config.name} cannot be read ({error})."
        ) from error
    rounds = [_read_round(run, number) for number in range(asked + 1)]
    return Story(run, dataset, settings, text, rounds, list(_list_steps(run, asked)))


def _list_steps(run: Run, rounds: int) -> Iterator[Step]:
    yield Step("coarse masks", _read(run.coarse / "done.json"))
    yield Step("enhancement", _read(run.enhanced(0) / "done.json"))
    for number in range(1, rounds + 1):
        folders = {
            "training": run.training(number),
            "refined masks": run.refined(number),
            "enhancement": run.enhanced(number),
            "quality": run.quality(number),
        }
        yield from (Step(f"round {number}: {name}", _read(folder / "done.json")) for name, folder in folders.items())


def _read_round(run: Run, number: int) -> Round:
    trained = _read(run.training(number) / "done.json") if number else {}
    kept = run.round(number) / "kept.json"
    table = run.quality(number) / TABLE
    qualities = read_quality(table) if number and (table.parent / "done.json").exists() else []
    return Round(
        number,
        _read(run.metrics(number)),
        {name: why for name, why in read_json(kept).items() if why} if number and kept.exists() else None,
        _read(run.enhanced(number) / "notes.json"),
        {one.photo: one for one in qualities},
        trained.get("loss"),
        trained.get("photos"),
        (run.enhanced(number) / "done.json").exists(),
    )


def _read(path: Path) -> dict[str, Any]:
    return dict(read_json(path)) if path.exists() else {}
