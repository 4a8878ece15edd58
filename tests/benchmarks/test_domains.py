"""benchmarks/domains.py on drawn photos: its results must agree with the metrics of its runs."""

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from coarse2fine.data.synthetic import draw_dataset
from coarse2fine.errors import DataError
from coarse2fine.masks.png import read_mask, write_mask
from coarse2fine.runtime.files import read_json, write_json
from coarse2fine.store.run import Run

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def domains():
    """The benchmark as a module; afterwards ``common`` may be that of the experiments again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("coarse2fine.report.page.render", lambda *_: "")
        load("common", patch)
        yield load("domains", patch)


def load(name: str, patch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    patch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def root(short_run, tmp_path_factory) -> Path:
    """``data`` with three sets (class indices and val, binary masks, no classes) and another folder; ``tiny.toml``."""
    root = tmp_path_factory.mktemp("domains")
    data = root / "data"
    draw_dataset(data / "drawn", train_per_class=2, val_photos=3, size_px=48)
    for part in ("train", "train_masks"):
        shutil.copytree(data / "drawn" / part, data / "binary" / part)
    for path in (data / "binary/train_masks").rglob("*.png"):
        write_mask(path, (read_mask(path) > 0).astype(np.uint8))
    shutil.copytree(data / "drawn/val", data / "objects")
    (data / "weights").mkdir()
    (root / "tiny.toml").write_text(short_run, encoding="utf-8")
    return root


def call(domains: ModuleType, root: Path, *arguments: str) -> dict:
    paths = {"--data": "data", "--config": "tiny.toml", "--runs": "runs", "--results": "out"}
    given = [word for option, path in paths.items() for word in (option, str(root / path))]
    domains.main([*given, *arguments])
    return read_json(root / "out/domains.json")


def test_domains__measures_every_set_once_per_size_and_reuses_results(domains, root, capsys):
    found = call(domains, root, "--sizes", "1", "2", "all")
    said = capsys.readouterr().out
    assert "ignored, because" in said and "weights" in said
    sizes = [(case["set"], case["size"], case["photos"]) for case in found["cases"]]
    assert sizes == [
        ("binary", 1, 6),
        ("binary", "all", 12),
        ("drawn", 1, 6),
        ("drawn", "all", 12),
        ("objects", "all", 3),
    ]
    for case in found["cases"]:
        run = Run(root / "runs" / f"{case['set']}-{case['size']}" / "run")
        before, last = read_json(run.metrics(0)), read_json(run.metrics(case["result_round"]))
        assert case["iou"]["enhanced"] == before["training_masks_iou"]["enhanced"]
        assert case["iou"]["final"] == last["training_masks_iou"]["enhanced"]
        assert case["mean_iou"]["final"] == last.get("evaluation", {}).get("mean_iou")
        assert (case["mean_iou"]["final"] is not None) == (case["set"] == "drawn")
        assert case["coarse_method"] == "box" and case["seconds"] > 0 and case["measured_photos"] == case["photos"]
    by_set = {case["set"]: case for case in found["cases"] if case["size"] == 1}
    assert by_set["binary"]["iou"]["coarse"] > 0.05, "the masks have the class index of their folder"
    assert found["largest_loss"]["gain"] == min(case["gain"] for case in found["cases"])
    text = (root / "out/domains.md").read_text(encoding="utf-8")
    assert "| drawn " in text and "--config tiny.toml" in text and str(root) not in text
    assert np.asarray(Image.open(root / "out/domains.png").convert("L")).std() > 10

    again = call(domains, root, "--only", "drawn", "--sizes", "1")
    assert "drawn-1: already done" in capsys.readouterr().out
    assert again["cases"] == found["cases"], "the table holds the results of other calls"


def test_domains__goes_on_after_a_failure_and_reports_it(domains, root, tmp_path):
    shutil.copytree(root / "data/objects", tmp_path / "data/objects")
    shutil.copytree(root / "data/drawn", tmp_path / "data/drawn")
    shutil.copy(root / "tiny.toml", tmp_path)
    for path in (tmp_path / "data/drawn/train_masks").rglob("*.png"):
        write_mask(path, np.full((48, 48), 99, np.uint8))
    with pytest.raises(SystemExit):
        call(domains, tmp_path, "--sizes", "all")
    found = read_json(tmp_path / "out/domains.json")
    assert [case["set"] for case in found["cases"]] == ["objects"]
    assert "class index 99" in found["failures"]["drawn-all"]
    assert "fit failed on drawn-all" in (tmp_path / "out/domains.md").read_text(encoding="utf-8")
    with pytest.raises(DataError, match="names dranw"):
        call(domains, tmp_path, "--only", "dranw")


def test_measure_run__marks_rounds_that_do_not_count(domains, tmp_path, settings):
    from coarse2fine.config import dump_config

    run = Run(tmp_path)
    run.config.write_text(dump_config(settings("rounds = 3")), encoding="utf-8")
    for folder, iou in ((".", 0.5), ("round-1", 0.6), ("collapsed-round-2", 0.1)):
        write_json(tmp_path / folder / "metrics.json", {"training_masks_iou": {"coarse": 0.4, "enhanced": iou}})
    write_json(tmp_path / "coarse-choice.json", {"method": "student"})
    found = domains.measure_run(run)
    assert found["result_round"] == 1 and found["undone_rounds"] == [2] and found["gain"] == 0.1
    assert found["iou"] == {"coarse": 0.4, "enhanced": 0.5, "rounds": {1: 0.6, 2: 0.1}, "final": 0.6}
    assert found["coarse_method"] == "box: student"


def test_draw__a_smaller_size_is_a_part_of_a_larger_one(domains, root):
    photos = domains.open_dataset(root / "data/drawn/train").photos
    assert domains.draw(photos, 5)[:3] == domains.draw(photos[::-1], 3)
