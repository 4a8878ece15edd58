"""A round that floods or empties most masks does not count."""

from pathlib import Path
from types import SimpleNamespace

import pytest

import coarse2fine
from coarse2fine.cli import main
from coarse2fine.config import FitConfig
from coarse2fine.pipeline.collapse import explain_collapse, warn_of_lost_classes
from coarse2fine.store.run import Run
from coarse2fine.types import Photo

FLOODS = "[filter]\nmin_share = 0.3\nmax_share = 0.4"
"""After one step a network predicts all pixels as foreground, or none."""


def list_files(root: Path) -> dict[str, int]:
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in root.rglob("*.png")}


def test_fit__ends_with_the_enhanced_coarse_masks_if_round_1_collapses(settings, data, tmp_path, capsys):
    run = coarse2fine.fit(data / "train", tmp_path / "run", settings(FLOODS))
    said = " ".join(capsys.readouterr().err.split())
    assert "Round 1 collapsed: 12 of its 12 training photos" in said and "less than 30 % or more than 40 %" in said
    assert "--train.min-steps" in said and str(run.enhanced(0)) in said
    assert not run.model.exists() and not run.round(1).exists() and run.collapsed(1).is_dir()
    page = run.report.read_text()
    assert "Round 1 collapsed" in page and "The run is finished" in page and "coarse2fine predict" not in page

    before = list_files(run.root)
    coarse2fine.fit(data / "train", run.root, settings(FLOODS), quiet=False)
    assert "round 1: training: already done" in capsys.readouterr().out
    assert list_files(run.root) == before, "the same command computes nothing again"

    main(["export", str(run.root), "--format", "coco", "--out", str(tmp_path / "coco")])
    assert (tmp_path / "coco").is_dir(), "exports the enhanced coarse masks, round 0"

    coarse2fine.fit(data / "train", run.root, settings())
    assert run.model.exists() and run.round(2).exists() and not run.collapsed(1).exists()

    coarse2fine.fit(data / "train", run.root, settings(FLOODS))
    assert not run.model.exists() and not (run.root / "quality.csv").exists(), "they belonged to other masks"


def test_fit__ends_with_the_round_before_if_a_later_one_collapses(settings, data, tmp_path, monkeypatch):
    from coarse2fine.pipeline import fit as module

    leave_out = module.leave_out_filtered

    def flood(job, number):
        return dict.fromkeys([photo.name for photo in job.photos], "floods") if number == 2 else leave_out(job, number)

    once = coarse2fine.fit(data / "train", tmp_path / "once", settings("rounds = 1"))
    monkeypatch.setattr(module, "leave_out_filtered", flood)
    run = coarse2fine.fit(data / "train", tmp_path / "run", settings("rounds = 3"))
    assert run.collapsed(2).is_dir() and not run.round(2).exists() and not run.round(3).exists()
    assert run.count_rounds(3) == 1
    for name in ("model/weights.safetensors", "quality.csv"):
        assert (run.root / name).read_bytes() == (once.root / name).read_bytes()


@pytest.mark.parametrize("lost, collapsed", [(0, False), (4, False), (5, True), (8, True)])
def test_explain_collapse__counts_only_photos_that_trained(lost, collapsed):
    photos = [SimpleNamespace(name=str(index)) for index in range(10)]
    job = SimpleNamespace(labeled=photos, config=FitConfig())
    before = {"8": "foreground is empty", "9": "foreground is empty"}
    why = explain_collapse(job, before, before | {str(index): "floods" for index in range(lost)})
    assert (why is not None) is collapsed
    assert why is None or f"{lost} of its 8 training photos" in why


def test_count_rounds__ends_before_the_first_collapsed_round(tmp_path):
    run = Run(tmp_path)
    assert run.count_rounds(3) == 3
    run.collapsed(3).mkdir()
    assert run.count_rounds(3) == 2 and run.count_rounds(2) == 2


def test_warn_of_lost_classes__names_classes_that_lost_most_of_their_photos():
    photos = [Photo(Path(), str(index), (1 + index % 2,)) for index in range(10)]
    said: list[str] = []
    job = SimpleNamespace(
        labeled=photos,
        dataset=SimpleNamespace(classes=("background", "cat", "dog")),
        context=SimpleNamespace(is_main=True, console=SimpleNamespace(warn=said.append)),
    )
    warn_of_lost_classes(job, {"0": "empty"}, dict.fromkeys(["0", "2", "4", "1", "3", "5"], "small"))
    assert len(said) == 1 and "dog (3 of 5) photos" in said[0] and "cat" not in said[0]
