from pathlib import Path

import pytest

from coarse2fine.config import FitConfig, parse_config
from coarse2fine.evaluation.ground_truth import GroundTruth
from coarse2fine.pipeline.job import FitJob
from coarse2fine.pipeline.time_estimate import (
    Durations,
    TrainingWatch,
    Work,
    count_work,
    explain_estimate,
    find_seconds,
    round_duration,
)
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.context import Context
from coarse2fine.store.run import Run
from coarse2fine.store.stages import Stage
from coarse2fine.types import Dataset

TWO_ROUNDS = "rounds = 2\n[train]\nepochs = [1, 2]\nmin_steps = [1]\nbatch = 10\n"
CONFIG = parse_config(TWO_ROUNDS + "resize_px = 100\ncrop_px = 100\n[predict]\nscales = [1.0]", "test")


def test_count_work__steps_and_photos_of_all_rounds_that_follow():
    # Rounds of 8 and 16 steps for 80 training photos; 100 photos are predicted after each, and 7 to measure with.
    assert count_work(CONFIG, 1, 3, (100, 80, 7), 2, 5) == Work(steps=21, predicted=214, enhanced=200)
    assert count_work(CONFIG, 2, 3, (100, 80, 7), 2, 5) == Work(steps=13, predicted=107, enhanced=100)
    # A run of four rounds that ends early with round 2: it trains as long as round 4 would.
    assert count_work(CONFIG.model_copy(update={"rounds": "auto"}), 2, 0, (100, 80, 7), 2, 5) == Work(16, 107, 100)
    between = CONFIG.enhance.model_copy(update={"between_rounds": False})
    assert count_work(CONFIG.model_copy(update={"enhance": between}), 1, 0, (100, 80, 0), 2, 5).enhanced == 0


def test_explain_estimate__sum_of_measured_times():
    work = Work(steps=30, predicted=200, enhanced=100)
    shown = explain_estimate(work, Durations(step=2.0, predicted=0.5, enhanced=0.2), CONFIG, [])
    assert shown == (
        "estimated time until the run ends: about 3 min "  # 60 + 100 + 20 seconds
        "(measured: 5 training photos/s, 2 predicted photos/s, 5 enhanced photos/s)"
    )


def test_explain_estimate__predictions_from_the_pixels_if_none_is_measured():
    """A step of 10 crops takes 8 s; both views of a photo half as high as wide have the pixels of one crop: 0.2 s."""
    shown = explain_estimate(Work(0, 600, 0), Durations(8.0, None, None), CONFIG, [(50, 100)])
    assert shown == "estimated time until the run ends: about 2 min (measured: 1.25 training photos/s)"


@pytest.mark.parametrize(
    "seconds, text", [(5, "1 min"), (1450, "24 min"), (3 * 3600 + 19 * 60, "3 h 20 min"), (119.5 * 60, "2 h 00 min")]
)
def test_round_duration__minutes_or_tens_of_minutes(seconds, text):
    assert round_duration(seconds) == text


def test_find_seconds__of_the_masks_that_the_stage_wrote(tmp_path):
    stage = Stage(tmp_path / "enhanced", "enhancement", {})
    assert find_seconds(stage.folder) is None
    stage.begin()
    stage.finish(6.0, written=3)
    assert find_seconds(stage.folder) == 2.0
    stage.finish(6.0, written=0)
    assert find_seconds(stage.folder) is None


def watch_steps(folder: Path, step_s: float, steps: int) -> None:
    now = iter(step_s * count for count in range(1000))
    job = FitJob(
        Run(folder), Dataset(("background", "cat"), ()), FitConfig(), Context(console=Console()), GroundTruth()
    )
    watch = TrainingWatch(job, 1, 240, clock=lambda: next(now))
    for done in range(1, steps + 1):
        watch(done)


@pytest.mark.parametrize("step_s, steps", [(0.1, 24), (16.0, 6)])
def test_training_watch__says_nothing_before_enough_is_measured(tmp_path, capsys, step_s, steps):
    watch_steps(tmp_path, step_s, steps)
    assert not capsys.readouterr().out


@pytest.mark.parametrize("step_s, rate", [(0.1, "120"), (16.0, "0.75")])
def test_training_watch__prints_one_line(tmp_path, capsys, step_s, rate):
    watch_steps(tmp_path, step_s, 100)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("estimated time until the run ends: about ")
    assert f"{rate} training photos/s" in line
