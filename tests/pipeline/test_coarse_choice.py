from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import coarse2fine
from coarse2fine.config import parse_config
from coarse2fine.data import open_dataset
from coarse2fine.evaluation.ground_truth import open_ground_truth
from coarse2fine.masks.png import mask_path, write_mask
from coarse2fine.pipeline import coarse_choice
from coarse2fine.pipeline.coarse_choice import choose_coarse_method, draw_sample, pick_best
from coarse2fine.pipeline.job import FitJob
from coarse2fine.report.page import write_report
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.files import read_json
from coarse2fine.store.run import Run
from coarse2fine.types import Photo

AUTO = 'rounds = 1\n[coarse]\nmethod = "auto"\n'


@pytest.fixture
def job(settings, data, tmp_path) -> FitJob:
    dataset = open_dataset(data / "train")
    (tmp_path / "run").mkdir()
    context = Context(console=Console())
    return FitJob(Run(tmp_path / "run"), dataset, settings(AUTO), context, open_ground_truth([], dataset))


def with_settings(job: FitJob, text: str) -> FitJob:
    return replace(job, config=parse_config(text, "test", job.config))


def photos_of(*counts: int) -> list[Photo]:
    return [
        Photo(Path(), f"{label}/{index}", (label,)) for label, count in enumerate(counts, 1) for index in range(count)
    ]


def test_draw_sample__each_class_has_its_share():
    photos = photos_of(200, 100, 20)
    drawn = draw_sample(photos, seed=0)
    labels = [photo.label for photo in drawn]
    assert [labels.count(label) for label in (1, 2, 3)] == [50, 25, 5] and len(set(drawn)) == 80
    assert drawn == draw_sample(photos, seed=0) != draw_sample(photos, seed=1)
    assert 1 in labels[:10] and 2 in labels[:10]  # every second photo must not be of one class
    assert set(draw_sample(photos[:9], seed=0)) == set(photos[:9])


@pytest.mark.parametrize(
    "scores, best",
    [
        ([0.5, 0.5, 0.4, 0.51], "combined"),
        ([0.4, 0.5, 0.4, 0.3], "combined-equal"),
        ([0.4, 0.5, 0.51, 0.52], "student"),
        ([0.4, 0.5, 0.4, 0.53], "saliency"),
    ],
)
def test_pick_best__saliency_needs_a_margin(scores, best):
    assert pick_best(scores, saliency_margin=0.02) == best


def test_choose__an_explicit_method_stays_and_nothing_is_written(job):
    explicit = with_settings(job, '[coarse]\nmethod = "box"')
    assert choose_coarse_method(explicit) is explicit
    assert not job.run.coarse_choice.exists()


def test_choose__without_encoder_weights_says_so(job, capsys):
    assert choose_coarse_method(job).config.coarse.method == "combined"
    shown = " ".join(capsys.readouterr().out.split())
    assert "coarse method: combined. Methods cannot be compared, because network.encoder_weights is none." in shown


def test_choose__few_photos_say_so(job, weights, capsys):
    few = with_settings(replace(job, dataset=replace(job.dataset, photos=job.photos[:7])), weights)
    assert choose_coarse_method(few).config.coarse.method == "combined"
    assert "Methods cannot be compared on fewer than 8 photos." in " ".join(capsys.readouterr().out.split())


def test_choose__corrected_masks_decide_if_there_are_five(job, monkeypatch, capsys):
    for photo in job.photos[:5]:
        mask = np.zeros((48, 48), np.uint8)
        mask[10:20, 10:20] = photo.label
        write_mask(mask_path(job.run.corrected, photo.name), mask)
    empty, right = np.zeros((48, 48), np.uint8), np.pad(np.ones((10, 10), np.uint8), ((10, 28), (10, 28)))
    monkeypatch.setattr(coarse_choice, "prepare_candidates", lambda *_: lambda _image: [empty, empty, empty, right])
    chosen = choose_coarse_method(replace(job, corrected=job.photos[:5]))  # also without encoder weights
    assert chosen.config.coarse.method == "saliency"
    assert read_json(job.run.coarse_choice)["scores"] == {
        "combined": 0,
        "combined-equal": 0,
        "student": 0,
        "saliency": 1,
    }
    assert "mean IoU with 5 corrected masks" in " ".join(capsys.readouterr().out.split())
    four = choose_coarse_method(replace(job, corrected=job.photos[:4]))
    assert four.config.coarse.method == "combined"


def test_choose__is_not_repeated_until_what_it_depends_on_changes(job, weights, monkeypatch, capsys):
    job, compared = with_settings(job, weights), []

    def compare(_job, photos, _is_corrected):
        compared.append(len(photos))
        return {"method": "student", "scores": {}, "reason": "why"}

    monkeypatch.setattr(coarse_choice, "_compare", compare)
    assert choose_coarse_method(job).config.coarse.method == "student"
    assert choose_coarse_method(job).config.coarse.method == "student" and compared == [12]
    assert "coarse method: student, already chosen" in capsys.readouterr().out
    choose_coarse_method(with_settings(job, "[train]\nepochs = [7]"))
    assert compared == [12]
    choose_coarse_method(with_settings(job, "[enhance.grabcut]\niterations = 2"))
    assert compared == [12, 12]


def test_choose__other_processes_read_the_choice(job, weights, monkeypatch):
    choose_coarse_method(job)
    monkeypatch.setattr(Context, "is_main", property(lambda _: False))
    monkeypatch.setattr(coarse_choice, "_write_choice", None)
    assert choose_coarse_method(job).config.coarse.method == "combined"


@pytest.mark.slow
def test_fit__auto_chooses_once_and_its_masks_are_those_of_the_method(settings, data, weights, tmp_path, capsys):
    config = settings(AUTO + weights)
    run = coarse2fine.fit(data / "train", tmp_path / "auto", config, quiet=False)
    choice = read_json(run.coarse_choice)
    assert choice["photos"] == 12 and set(choice["scores"]) == set(coarse_choice.CANDIDATES)
    said = f"coarse method: {choice['method']}. combined {choice['scores']['combined']:.3f}, "
    assert said in " ".join(capsys.readouterr().out.split())
    assert read_json(run.coarse / "done.json")["settings"]["coarse.method"] == choice["method"]
    explicit = parse_config(f'[coarse]\nmethod = "{choice["method"]}"', "test", config)
    same = coarse2fine.fit(data / "train", tmp_path / "explicit", explicit)
    for folder in ("coarse", "enhanced", "round-1/enhanced"):
        files = sorted(path.relative_to(run.root) for path in (run.root / folder).rglob("*.png"))
        assert len(files) == 12
        assert all((run.root / file).read_bytes() == (same.root / file).read_bytes() for file in files)
    capsys.readouterr()
    coarse2fine.fit(data / "train", run.root, config, quiet=False)
    shown = capsys.readouterr().out
    assert "already chosen" in shown and "coarse masks: already done" in shown
    write_report(run, open_dataset(data / "train"), tmp_path / "report.html", threads=1)
    assert f"chose <b>{choice['method']}</b>" in (tmp_path / "report.html").read_text(encoding="utf-8")
