"""How long the rest of a run takes, from the speed of the training and of the stages that are done."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from coarse2fine.config import FitConfig
from coarse2fine.data.photos import sample_sizes
from coarse2fine.pipeline.job import FitJob
from coarse2fine.store.records import read_done
from coarse2fine.store.run import Run

WARMUP_STEPS = 5
"""Optimizer steps that are not measured: the loader starts its processes, and the first steps compile and allocate."""

MEASURED_STEPS = 20
"""Optimizer steps that are measured."""

MEASURED_S = 30.0
"""Two or more steps are enough if they take this long."""

PREDICTION_SPEEDUP = 4.0
"""How many times faster a pixel is predicted than trained on, for the first estimate, before any photo was predicted.

3.7 to 4.5 on one core of an AMD EPYC, with crops of 128, 160 and 256 px (docs/log.md, 2026-11-29).
"""


@dataclass(frozen=True)
class Work:
    """Work that is left until a run ends.

    Attributes:
        steps: Optimizer steps.
        predicted: Photos to predict, for refined masks and for measuring.
        enhanced: Masks to enhance.
    """

    steps: int
    predicted: int
    enhanced: int


@dataclass(frozen=True)
class Durations:
    """Measured seconds of one unit of work.

    Attributes:
        step: An optimizer step.
        predicted: A predicted photo; None if no photo was predicted yet.
        enhanced: An enhanced mask; None if it is not known.
    """

    step: float
    predicted: float | None
    enhanced: float | None


class TrainingWatch:
    """Say once in a training how long the rest of the run takes; call it after each optimizer step.

    Args:
        job: The run.
        number: The round that trains.
        photos: Photos to train on.
        clock: Returns the time in seconds.
    """

    def __init__(self, job: FitJob, number: int, photos: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.job, self.number, self.photos, self.clock = job, number, photos, clock
        self._steps, self._start_s = 0, 0.0
        self._has_printed = False

    def __call__(self, done: int) -> None:
        """Record a finished step.

        Args:
            done: Finished optimizer steps of the round, also those of an earlier call of ``fit``.
        """
        self._steps += 1
        if self._steps <= WARMUP_STEPS:
            self._start_s = self.clock()
            return
        measured, seconds = self._steps - WARMUP_STEPS, self.clock() - self._start_s
        if self._has_printed or (measured < MEASURED_STEPS and (measured < 2 or seconds < MEASURED_S)):
            return
        self._has_printed = True
        self.job.context.console.say(self._explain(done, seconds / measured), style="bold")

    def _explain(self, done: int, step_s: float) -> str:
        job, run = self.job, self.job.run
        pairs = job.ground_truth.pairs
        counts = len(job.photos), self.photos, len(pairs.photos) if pairs else 0
        last, classes = run.count_planned_rounds(job.config.most_rounds), len(job.dataset.classes) - 1
        work = count_work(job.config, self.number, done, counts, last, classes)
        predicted_s = find_seconds(run.refined(self.number - 1)) if self.number > 1 else None
        durations = Durations(step_s, predicted_s, find_enhancement_seconds(run, self.number - 1))
        sizes = sample_sizes([photo.path for photo in job.photos])
        return explain_estimate(work, durations, job.config, sizes)


def count_work(
    config: FitConfig, number: int, done: int, photos: tuple[int, int, int], last: int, classes: int
) -> Work:
    """Count what is left to do during the training of a round.

    Args:
        config: All settings.
        number: The round, from 1.
        done: Its finished optimizer steps.
        photos: Number of all photos, of those that train, and of those with ground truth that do not belong to them.
        last: The last round; it trains as long as the last one of the settings.
        classes: Number of classes without background.
    """
    usable, training, measured = photos
    rounds = last - number + 1
    lengths = [*range(number, last), config.most_rounds]
    steps = sum(config.train.count_round_steps(training, length, classes) for length in lengths)
    enhanced = rounds * usable if config.enhance.between_rounds else 0
    return Work(steps - done, rounds * (usable + measured), enhanced)


def find_enhancement_seconds(run: Run, number: int) -> float | None:
    """Return the seconds per mask of the enhancement of a round, with its linear model; None if it is not known."""
    enhanced_s = find_seconds(run.enhanced(number))
    return None if enhanced_s is None else enhanced_s + (find_seconds(run.linear(number)) or 0)


def find_seconds(folder: Path) -> float | None:
    """Return the seconds per mask of the stage of a folder; None if it wrote none or is not complete."""
    done = read_done(folder)
    return done["seconds"] / done["written"] if done.get("written") else None


def explain_estimate(work: Work, durations: Durations, config: FitConfig, sizes: Sequence[tuple[int, int]]) -> str:
    """Return the line that says how long the rest of a run takes, and what was measured for it.

    Args:
        work: What is left to do.
        durations: What was measured.
        config: All settings.
        sizes: Height and width of some of the photos.
    """
    rates = [f"{config.train.batch / durations.step:.3g} training photos/s"]
    predicted_s = durations.predicted
    if predicted_s is None:
        predicted_s = durations.step / config.train.batch * _relate_pixels(config, sizes) / PREDICTION_SPEEDUP
    else:
        rates.append(f"{1 / predicted_s:.3g} predicted photos/s")
    if work.enhanced and durations.enhanced:
        rates.append(f"{1 / durations.enhanced:.3g} enhanced photos/s")
    seconds = work.steps * durations.step + work.predicted * predicted_s + work.enhanced * (durations.enhanced or 0)
    return f"estimated time until the run ends: about {round_duration(seconds)} (measured: {', '.join(rates)})"


def round_duration(seconds: float) -> str:
    """Format a duration that is known roughly: ``1 min``, ``24 min``, ``3 h 20 min``."""
    minutes = max(1, round(seconds / 60))
    if minutes < 90:
        return f"{minutes} min"
    tens = round(minutes / 10)
    return f"{tens // 6} h {tens % 6 * 10:02d} min"


def _relate_pixels(config: FitConfig, sizes: Sequence[tuple[int, int]]) -> float:
    """Return the pixels that the network sees in the prediction of a photo, as a multiple of those of a crop."""
    predict, train = config.predict, config.train
    shares = [height * width / max(height, width) ** 2 for height, width in sizes] or [1.0]
    views = sum(scale**2 for scale in predict.scales) * (1 + (predict.flip and len(predict.scales) == 1))
    return views * config.view_px**2 * sum(shares) / len(shares) / train.crop_px**2
