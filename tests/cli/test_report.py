import json
import shutil

import pytest
from filelock import FileLock

from coarse2fine.cli import main
from coarse2fine.data.synthetic import draw_dataset
from coarse2fine.evaluation.mask_quality import list_unmeasured_rounds
from coarse2fine.evaluation.quality_table import read_quality
from coarse2fine.masks.png import mask_path, read_mask, write_mask
from coarse2fine.runtime.files import read_json, size_and_time, write_json, write_text
from coarse2fine.store.run import Run


@pytest.fixture
def unmeasured_run(tmp_path) -> Run:
    """One round whose quality was not measured, and only masks of it: the true ones at every stage."""
    data, run = tmp_path / "data", Run(tmp_path / "run")
    draw_dataset(data, train_per_class=1, val_photos=1, size_px=48)
    photos = sorted((data / "train").rglob("*.jpg"))
    classes = ["background", *sorted({path.parent.name for path in photos})]
    usable = {f"{path.parent.name}/{path.stem}": size_and_time(path) for path in photos}
    write_json(run.photos, {"data": str(data / "train"), "classes": classes, "usable": usable, "skipped": {}})
    write_text(
        run.config,
        'rounds = 1\n[coarse]\nmethod = "box"\n[enhance]\nmethod = "none"\n[network]\nname = "d"\nencoder = "e"\n',
    )
    for folder in (run.coarse, run.enhanced(0), run.refined(1), run.enhanced(1)):
        shutil.copytree(data / "train_masks", folder)
        write_json(folder / "done.json", {"key": str(folder), "settings": {"enhance.method": "none"}, "seconds": 1.0})
    return run


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    return int(caught.value.code or 0)


def test_report__judges_an_unmeasured_run_and_writes_its_page(unmeasured_run, tmp_path, capsys):
    assert list_unmeasured_rounds(unmeasured_run) == [1]
    main(["report", str(unmeasured_run.root), "--out", str(tmp_path / "page.html")])
    assert f"report: {tmp_path / 'page.html'}" in " ".join(capsys.readouterr().out.split())
    assert "6 photos of 6 classes" in (tmp_path / "page.html").read_text()
    assert [one.score for one in read_quality(unmeasured_run.root / "quality.csv")] == [1.0] * 6
    assert list_unmeasured_rounds(unmeasured_run) == [] and not unmeasured_run.report.exists()


def test_report__names_the_next_step(unmeasured_run, capsys):
    main(["report", str(unmeasured_run.root), "--json"])
    result = json.loads(capsys.readouterr().out)
    data = read_json(unmeasured_run.photos)["data"]
    fit = f"coarse2fine fit {data} --out {unmeasured_run.root} --config {unmeasured_run.config}"
    assert result["report"] == str(unmeasured_run.report)
    assert [step["command"] for step in result["next_steps"]] == [fit]  # it has no network: it is not finished


def test_report__compares_two_runs(unmeasured_run, tmp_path, capsys):
    other = Run(shutil.copytree(unmeasured_run.root, tmp_path / "other"))
    path = next(iter(sorted(other.enhanced(1).rglob("*.png"))))
    write_mask(path, read_mask(path) * 0)
    main(["report", str(unmeasured_run.root), "--compare", str(other.root), "--json"])
    result = json.loads(capsys.readouterr().out)
    page = unmeasured_run.root / "comparison.html"
    assert result == {"report": str(page), "photos": 6, "mean_iou": pytest.approx(5 / 6)}
    assert list_unmeasured_rounds(other) == [] and "Comparison of two runs" in page.read_text()
    assert not unmeasured_run.report.exists()
    assert call("report", other.root, "--compare", other.root) == 2
    assert "must be compared with another one" in capsys.readouterr().err
    assert call("report", other.root, "--compare", tmp_path / "gone") == 2
    assert "photos.json is missing" in capsys.readouterr().err


def test_report__judges_again_what_changed_since(unmeasured_run):
    main(["report", str(unmeasured_run.root), "--quiet"])
    name = read_quality(unmeasured_run.root / "quality.csv")[0].photo
    path = mask_path(unmeasured_run.refined(1), name)
    write_mask(path, read_mask(path) * 0)
    write_json(
        unmeasured_run.enhanced(1) / "done.json", read_json(unmeasured_run.enhanced(1) / "done.json") | {"key": "new"}
    )
    assert list_unmeasured_rounds(unmeasured_run) == [1]
    main(["report", str(unmeasured_run.root), "--quiet"])
    assert read_quality(unmeasured_run.root / "quality.csv")[0].score == 0
    assert "1.000" in unmeasured_run.report.read_text()


def test_report__of_a_run_that_fit_works_on_judges_nothing(unmeasured_run, capsys):
    with FileLock(unmeasured_run.root / ".lock"):
        main(["report", str(unmeasured_run.root)])
    assert "fit is running on" in capsys.readouterr().out
    assert unmeasured_run.report.exists() and not (unmeasured_run.root / "quality.csv").exists()


def test_report__bad_input_is_one_sentence_and_status_2(unmeasured_run, tmp_path, capsys):
    assert call("report", tmp_path / "gone") == 2
    assert "photos.json is missing" in capsys.readouterr().err
    (tmp_path / "data").rename(tmp_path / "moved")
    assert call("report", unmeasured_run.root) == 2
    said = capsys.readouterr().err
    assert "that path does not exist. Restore it" in said and "Traceback" not in said
    assert not unmeasured_run.report.exists()


def test_report__a_huge_mask_is_not_decoded(unmeasured_run, claim_huge, capsys):
    claim_huge(next(unmeasured_run.refined(1).rglob("*.png")))
    assert call("report", unmeasured_run.root) == 2
    assert "48 x 48 pixels, but has 40000 x 40000" in capsys.readouterr().err


def test_report__a_name_that_is_too_long_is_one_sentence(capsys):
    assert call("report", "x" * 300) == 2
    assert "choose a shorter name" in capsys.readouterr().err
