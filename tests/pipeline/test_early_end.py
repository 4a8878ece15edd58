"""``rounds = auto`` ends with one long round as soon as the masks hardly change."""

from types import SimpleNamespace

import pytest

import coarse2fine
from coarse2fine.config import FitConfig
from coarse2fine.pipeline import early_end
from coarse2fine.pipeline.early_end import has_converged
from coarse2fine.store.records import read_done
from coarse2fine.store.run import Run

AUTO = 'rounds = "auto"\n[train]\nepochs = [1, 1, 1, 2]\nmin_steps = [1]'


def test_fit__auto_goes_from_a_round_without_change_to_the_last_length(settings, data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(early_end, "CONVERGED_AGREEMENT", 0.0)
    run = coarse2fine.fit(data / "train", tmp_path / "run", settings(AUTO), quiet=False)
    assert "round 2 is the last one" in " ".join(capsys.readouterr().out.split())
    assert run.round(2).exists() and not run.round(3).exists() and run.count_rounds(4) == 2
    steps = [read_done(run.training(number))["settings"]["train.steps"] for number in (1, 2)]
    assert steps[1] == 2 * steps[0], "the last round trains as long as round 4 would"
    page = run.report.read_text()
    assert "The run is finished" in page and "collapsed" not in page and run.model.exists()

    monkeypatch.undo()
    coarse2fine.fit(data / "train", run.root, settings(AUTO.replace('"auto"', "3")))
    assert not run.early_end.exists() and run.round(3).exists() and run.count_rounds(3) == 3


def test_count_rounds__up_to_an_early_end(tmp_path):
    run = Run(tmp_path)
    run.early_end.write_text('{"round": 2}')
    run.collapsed(3).mkdir()  # of an earlier call
    assert (run.count_rounds(4), run.count_rounds(1), run.count_planned_rounds(4)) == (2, 1, 2)
    run.collapsed(2).mkdir()
    assert run.count_rounds(4) == 1


@pytest.mark.parametrize("rounds, agreement, converged", [("auto", 0.89, False), ("auto", 0.9, True), (4, 1, False)])
def test_has_converged__only_with_auto_and_from_a_limit(rounds, agreement, converged):
    job = SimpleNamespace(config=FitConfig(rounds=rounds))
    quality = SimpleNamespace(done=lambda: {"agreement": agreement})
    assert has_converged(job, quality) is converged
