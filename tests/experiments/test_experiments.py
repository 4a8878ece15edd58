"""The experiments on synthetic photos: their result files must agree with the metrics of their runs."""

import importlib
import shutil
from itertools import pairwise, repeat
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coarse2fine.data.object_discovery import OBJECT_DISCOVERY_PHOTOS
from coarse2fine.data.synthetic import draw_dataset
from coarse2fine.data.voc import VOC_CLASSES
from coarse2fine.errors import DataError
from coarse2fine.evaluation.quality_table import TABLE, read_scores
from coarse2fine.masks.png import mask_path, read_mask, write_mask
from coarse2fine.runtime.files import read_json, write_json
from coarse2fine.store.run import Run

pytestmark = pytest.mark.slow

EXPERIMENTS = str(Path(__file__).parents[2] / "experiments")

RUNS: dict[str, Run] = {}
"""Finished runs by their folder and settings."""


@pytest.fixture(autouse=True)
def experiments(monkeypatch):
    """Make the experiments importable; skip what takes seconds: reports, and resuming runs that are finished."""
    monkeypatch.syspath_prepend(EXPERIMENTS)
    common = importlib.import_module("common")
    monkeypatch.setattr(importlib.import_module("bound"), "RESAMPLES", 100)
    monkeypatch.setattr("coarse2fine.report.page.render", lambda *_: "")
    fit = common.Experiment.fit

    def fit_once(self, *arguments, **options):
        key = repr((self.runs, self.base, arguments, options))
        if key not in RUNS:
            RUNS[key] = fit(self, *arguments, **options)
        return RUNS[key]

    monkeypatch.setattr(common.Experiment, "fit", fit_once)


@pytest.fixture(scope="session")
def folder(short_run, tmp_path_factory) -> Path:
    """``data`` and ``tiny.toml``; the runs and results in it are shared by all tests of a session."""
    root = tmp_path_factory.mktemp("experiments")
    draw_dataset(root / "data", train_per_class=2, val_photos=3, size_px=48)
    (root / "tiny.toml").write_text(short_run, encoding="utf-8")
    return root


def call(name: str, folder: Path, *arguments: str, data: str = "data") -> Path:
    paths = {"--data": data, "--config": "tiny.toml", "--runs": "runs", "--results": "out"}
    given = [word for option, path in paths.items() for word in (option, str(folder / path))]
    importlib.import_module(name).main([*given, *arguments])
    return folder / "out"


@pytest.fixture(scope="session")
def table1(folder) -> Path:
    """The folder of results after table1.py has run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXPERIMENTS)
        return call("table1", folder, "--small")


def test_open_experiment__small_versions_change_the_recipe_and_the_config_file_changes_both(folder):
    common = importlib.import_module("common")
    arguments = ["--data", str(folder / "data"), "--small"]
    base = common.open_experiment("fig6", "", arguments, small=common.EQUAL_ROUNDS).base
    assert base.coarse.method == "student" and base.train.epochs == (3,) and base.predict.scales == (1.0,)
    arguments += ["--config", str(folder / "tiny.toml")]
    base = common.open_experiment("fig6", "", arguments, small=common.EQUAL_ROUNDS).base
    assert base.coarse.method == "box" and base.train.epochs == (1,) and base.rounds == 2


def test_table1__compares_kinds_of_masks(folder, table1):
    found = read_json(table1 / "table1-small.json")
    runs = folder / "runs"
    kinds = {
        "coarse": ("table1-coarse", 1),
        "boxes": ("table1-boxes", 1),
        "enhanced": ("recursion", 1),
        "refined": ("recursion-without-grabcut", 2),
        "refined, then GrabCut": ("recursion", 2),
    }
    measured = {kind: read_json(Run(runs / run).metrics(number)) for kind, (run, number) in kinds.items()}
    assert found["mean_iou"] == {kind: figures["evaluation"]["mean_iou"] for kind, figures in measured.items()}
    ious = list(found["mean_iou"].values())[:4]
    assert found["order_holds"] == (ious == sorted(ious))
    first = next(Run(runs / "table1-boxes").enhanced(0).rglob("*.png"))
    mask = read_mask(first) > 0
    rows, columns = mask.any(axis=1), mask.any(axis=0)
    assert mask.sum() == rows.sum() * columns.sum() > 0, "a filled box"
    text = (folder / "out" / "table1-small.md").read_text(encoding="utf-8")
    assert "| boxes | 0.352 |" in text and str(folder) not in text
    assert "`python experiments/table1.py --small --data data --config tiny.toml`" in text


def test_fig6__continues_the_runs_of_table1(folder, table1, monkeypatch):
    monkeypatch.setattr(importlib.import_module("fig6"), "REFINEMENTS", 2)
    first = (folder / "runs/recursion/round-1/weights.safetensors").stat().st_mtime_ns
    out = call("fig6", folder, "--small")
    assert (folder / "runs/recursion/round-1/weights.safetensors").stat().st_mtime_ns == first
    found = read_json(out / "fig6-small.json")["by_round"]
    for name, run_folder in (("with GrabCut", "recursion"), ("without", "recursion-without-grabcut")):
        run = Run(folder / "runs" / run_folder)
        figures = [read_json(run.metrics(number)) for number in range(1, 4)]
        assert found[name]["mean_iou"] == [figure["evaluation"]["mean_iou"] for figure in figures]
        assert found[name]["masks"] == [figure["training_masks_iou"]["enhanced"] for figure in figures]
    assert found["with GrabCut"]["mean_iou"][0] == found["without"]["mean_iou"][0]
    assert np.asarray(Image.open(out / "fig6-small.png").convert("L")).std() > 10
    common = importlib.import_module("common")
    options = ["--data", folder / "data", "--config", folder / "tiny.toml", "--runs", folder / "runs"]
    experiment = common.open_experiment("table1", "", ["--small", *map(str, options)], small=common.EQUAL_ROUNDS)
    run = experiment.recursion(2)
    assert experiment.rounds_of(run) == 3 and (run.root / "round-3").is_dir(), "rounds of fig6 are kept"


def test_tables_2_and_3_and_figure_7__of_one_run(folder):
    out = call("table2", folder, "--small")
    call("table3", folder, "--small")
    call("fig7", folder, "--small")
    figures = read_json(Run(folder / "runs/main").metrics(2))["evaluation"]
    table2, table3 = read_json(out / "table2-small.json"), read_json(out / "table3-small.json")
    assert table2["mean_iou_by_round"][-1] == table3["mean_iou"] == figures["mean_iou"]
    assert table2["training_photos_per_s"] > 0
    assert table3["iou"] == figures["iou"]
    fig7 = read_json(out / "fig7-small.json")
    matrix = np.array(fig7["confusion_matrix"])
    wrong = ~np.eye(len(matrix), dtype=bool)
    between = (matrix[0, 1:].sum() + matrix[1:, 0].sum()) / matrix[wrong].sum()
    assert fig7["wrong_with_background"] == pytest.approx(between)


def test_fig5__is_a_picture(folder):
    out = call("fig5", folder, "--small")
    assert Image.open(out / "fig5-small.png").size[1] > 160 * 10


def test_bound__doubles_the_epochs_until_the_gain_is_too_small(folder):
    found = read_json(call("bound", folder, "--small") / "bound-small.json")
    epochs = [int(number) for number in found["full"]]
    assert epochs == [epochs[0] * 2**power for power in range(len(epochs))]
    assert epochs[0] == 2, "as many photos as two rounds of one epoch"
    lengths = [found["full"][str(number)] for number in epochs]
    values = [length["mean_iou"] for length in lengths]
    assert not found["rising"] and lengths[0]["gain"] is None
    for before, after in pairwise(lengths):
        assert after["gain"] == pytest.approx(after["mean_iou"] - before["mean_iou"])
        assert (after["gain"] < max(0.005, after["error"])) == (after is lengths[-1])
    assert found["ratio"] == pytest.approx(found["weak"] / max(values)) if max(values) else found["ratio"] is None
    weights = sorted((folder / "runs").glob("bound-*/weights.safetensors"))
    before = [path.stat().st_mtime_ns for path in weights]
    call("bound", folder, "--small")
    assert [path.stat().st_mtime_ns for path in weights] == before


def test_bound__fails_before_training_if_there_is_no_ground_truth(folder, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(folder / "data", data, ignore=shutil.ignore_patterns("train_masks"))
    with pytest.raises(DataError, match="no photo has a mask there"):
        importlib.import_module("bound").main(
            ["--small", "--data", str(data), "--runs", str(tmp_path / "runs"), "--results", str(tmp_path / "results")]
        )
    assert not (tmp_path / "runs").exists()


def test_bound__standard_error_agrees_with_that_of_resampled_photos(monkeypatch):
    bound = importlib.import_module("bound")
    monkeypatch.setattr(bound, "RESAMPLES", 2000)
    generator = np.random.default_rng(1)
    correct = generator.integers(200, 400, (3, 64))  # correct pixels among the 400 of each class
    before, after, other = (np.stack([np.array([[n, 400 - n], [400 - n, n]]) for n in row]) for row in correct)
    assert bound.standard_error(before, before) == 0
    # IoU = n / (800 - n) for both classes; its slope at the mean converts the deviation of n to that of the gain.
    slope = 800 / (800 - correct.mean()) ** 2
    expected = slope * np.std(correct[1] - correct[0]) / 64**0.5
    assert bound.standard_error(before, after) == pytest.approx(expected, rel=0.1)
    assert bound.standard_error(np.tile(before, (4, 1, 1)), np.tile(after, (4, 1, 1))) == pytest.approx(
        expected / 2, rel=0.1
    )
    similar = after + (other - after) // 10  # a training with errors on the same photos as another
    assert bound.standard_error(after, similar) < bound.standard_error(after, other) / 2


@pytest.mark.parametrize(
    ("gain", "error", "improves"), [(None, None, True), (0.02, 0.01, True), (0.02, 0.03, False), (0.004, 0.001, False)]
)
def test_bound__stops_at_a_gain_below_the_threshold_or_its_standard_error(gain, error, improves):
    assert importlib.import_module("bound").TrainingResult(0.8, gain, error).still_improves == improves


def test_table4__several_seeds_of_two_networks(folder, monkeypatch):
    table4 = importlib.import_module("table4")
    assert table4.SEEDS == (0, 1, 2)
    monkeypatch.setattr(table4, "SEEDS", (0, 1))
    monkeypatch.setattr(table4, "GROUND_TRUTH_EPOCHS", 1)
    whole = read_json(call("table4", folder, "--small") / "table4-small.json")
    found = whole["iou"]
    assert set(whole["iou_on_true_masks"]) == {"fpn", "dfpn"}
    true = {value for path in (folder / "runs/table4-true-masks").rglob("*.png") for value in read_mask(path).flat}
    assert true <= {0, 1, 255} and 1 in true
    for name in ("fpn", "dfpn"):
        runs = [Run(folder / "runs" / f"table4-{name}-{seed}") for seed in (0, 1)]
        assert found[name] == [read_json(run.metrics(1))["evaluation"]["iou"]["foreground"] for run in runs]
        assert all(f'name = "{name}"' in run.config.read_text() for run in runs)


@pytest.fixture
def real(folder, voc_tree) -> Path:
    """Tiny data in the layout of the paper's: ``VOCdevkit``, class folders of VOC classes, ``ObjectDiscovery-data``."""
    data = voc_tree.parents[1]
    for name, drawn in zip(("cat", "dog"), sorted((folder / "data/train").iterdir()), strict=False):
        shutil.copytree(drawn, data / "train" / name)
    for name, (photo, *_) in zip(OBJECT_DISCOVERY_PHOTOS, repeat(sorted((data / "train").rglob("*.jpg")))):
        folder = data / "ObjectDiscovery-data/Data" / name
        (folder / "GroundTruth").mkdir(parents=True)
        shutil.copy(photo, folder / "a.jpg")
        write_mask(folder / "GroundTruth/a.png", np.eye(48, dtype=np.uint8))
    return data


def test_experiments__on_the_data_of_the_paper(short_run, real, tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    (here / "tiny.toml").write_text(short_run.replace("rounds = 2", "rounds = 1"), encoding="utf-8")
    out = call("table2", here, data=str(real))
    run = Run(here / "runs/main")
    figures = read_json(run.metrics(1))["evaluation"]
    assert read_json(out / "table2.json")["mean_iou_by_round"][-1] == figures["mean_iou"]
    assert list(figures["iou"]) == ["background", "cat", "dog"] and figures["photos"] == 1
    assert 'name = "deeplabv2"' in run.config.read_text(encoding="utf-8")
    assert (run.root / "voc-test.tgz").exists()

    found = read_json(call("bound", here, data=str(real)) / "bound.json")
    assert found["weak"] == figures["mean_iou"]
    links = here / "runs/bound-masks"
    assert {path.stem for path in links.iterdir()} == {"2007_000001", "2007_000002"}

    found = read_json(call("table4", here, data=str(real)) / "table4.json")["figures"]
    assert set(found["dfpn"]) == set(OBJECT_DISCOVERY_PHOTOS)
    assert all(0 <= found["fpn"]["Car"][key] <= 1 for key in ("mean_iou", "foreground_iou_mean_over_photos"))


def test_open_experiment__names_the_missing_folder(folder, tmp_path):
    with pytest.raises(DataError, match="must hold the folder train, but it is missing"):
        call("table1", folder, "--small", data=str(tmp_path))


def test_voc_animals__builds_the_benchmark(voc_tree, tmp_path):
    lists = voc_tree / "ImageSets/Segmentation"
    shutil.copy(lists / "train.txt", lists / "trainaug.txt")
    Image.fromarray(np.arange(640 * 400 * 3, dtype=np.uint32).astype(np.uint8).reshape(400, 640, 3)).save(
        voc_tree / "JPEGImages/2007_000001.jpg"
    )
    mask = np.zeros((400, 640), np.uint8)
    mask[100:300, 200:400], mask[300:, :] = VOC_CLASSES.index("cow"), VOC_CLASSES.index("person")
    write_mask(voc_tree / "SegmentationClass/2007_000001.png", mask)
    chosen = tmp_path / "list.csv"
    chosen.write_text("split,class,id\ntrain,cow,2007_000001\nval,,2007_000003\n", encoding="utf-8")
    animals = importlib.import_module("voc_animals")
    animals.main(["--voc", str(voc_tree), "--out", str(tmp_path / "out"), "--list", str(chosen)])

    small = read_mask(mask_path(tmp_path / "out/train_masks", "cow/2007_000001"))
    assert small.shape == (200, 320)
    assert small[50:150, 100:200].tolist() == np.full((100, 100), 2).tolist() and set(small[150:].flat) == {255}
    assert Image.open(tmp_path / "out/train/cow/2007_000001.jpg").size == (320, 200)
    assert Image.open(tmp_path / "out/val/images/2007_000003.jpg").size == (40, 30), "never enlarged"
    assert set(read_mask(tmp_path / "out/val/masks/2007_000003.png").flat) == {0, 255}, "a television is ignored"
    with pytest.raises(DataError, match="must be a new or empty folder"):
        animals.main(["--voc", str(voc_tree), "--out", str(tmp_path / "out"), "--list", str(chosen)])
    chosen.write_text("split,class,id\nval,,2007_000001\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"2007_000001 of .*list.csv must be in the list val"):
        animals.main(["--voc", str(voc_tree), "--out", str(tmp_path / "new"), "--list", str(chosen)])


def test_voc_animals__its_list_is_complete():
    lines = importlib.import_module("voc_animals").LIST.read_text(encoding="utf-8").split()
    splits = [line.split(",")[0] for line in lines[1:]]
    assert (splits.count("train"), splits.count("val")) == (1305, 235) and len(set(lines)) == len(lines)


def test_fig7__draws_the_figures_of_evaluate(tmp_path, monkeypatch):
    names = ["background", "aeroplane", *(f"class {number}" for number in range(19))]
    matrix = np.eye(21, dtype=int) + np.eye(21, k=1, dtype=int)
    write_json(tmp_path / "metrics.json", {"confusion_matrix": matrix.tolist(), "classes": names})
    fig7 = importlib.import_module("fig7")
    drawn, draw = [], fig7.draw

    def record(shares, classes, out):
        drawn.append(classes)
        draw(shares, classes, out)

    monkeypatch.setattr(fig7, "draw", record)
    fig7.main(["--metrics", str(tmp_path / "metrics.json")])
    assert drawn == [names], "in the order of the matrix, not of the alphabet"
    assert np.asarray(Image.open(tmp_path / "confusion.png").convert("L")).std() > 10


def test_corrections__measures_what_corrected_masks_gain(folder):
    options = ["--small", "--photos", "1", "--counts", "1", "2"]
    common = importlib.import_module("common")
    own = folder / "corrections"
    paths = ["--data", folder / "data", "--config", folder / "tiny.toml", "--runs", own, "--results", folder / "out"]
    importlib.import_module("corrections").main([*map(str, paths), *options])
    found = read_json(folder / "out" / "corrections-small.json")["runs"]
    base = Run(own / "base")
    scores = read_scores(base.root / TABLE)
    truth = folder / "data" / "train_masks"
    for order in ("doubtful", "random"):
        assert [one["corrected"] for one in found[order]] == [0, 1, 2]
        for one in found[order][1:]:
            run = Run(own / f"{order}-{one['corrected']}")
            names = [str(path.relative_to(run.corrected).with_suffix("")) for path in run.corrected.rglob("*.png")]
            assert len(names) == one["corrected"]
            if order == "doubtful":
                assert sorted(names) == sorted(sorted(scores, key=lambda name: (scores[name], name))[: len(names)])
            for name in names:
                mask = read_mask(mask_path(run.enhanced(one["rounds"]), name))
                np.testing.assert_array_equal(mask, read_mask(mask_path(truth, name)))
            assert one["mask_iou"] == common.mask_iou(run, one["rounds"], "enhanced")
            before = common.mask_iou(base, one["rounds"], "enhanced")
            assert 0 < one["gain_of_corrected"] < 1 - before + 1e-6
    assert np.asarray(Image.open(folder / "out" / "corrections-small.png").convert("L")).std() > 10
    with pytest.raises(
        DataError, match=r"--counts must be at most the number of photos with ground truth, \d+, but is 99"
    ):
        importlib.import_module("corrections").main([*map(str, paths), *options[:-2], "99"])
