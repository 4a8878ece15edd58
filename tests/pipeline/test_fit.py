import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import coarse2fine
from coarse2fine.config import FitConfig, MaskExportConfig, parse_config
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.evaluation.mask_quality import compute_score, measure_agreement, measure_confidence, shrink_mask
from coarse2fine.evaluation.quality_table import read_quality
from coarse2fine.inference.torch_segmenter import TorchSegmenter
from coarse2fine.masks.png import mask_path, read_mask, read_soft, write_mask
from coarse2fine.masks.resize import resize_soft
from coarse2fine.pipeline import enhance_stage
from coarse2fine.runtime.files import read_json
from coarse2fine.store.lock import hold_folder
from coarse2fine.store.photos import read_photos
from coarse2fine.store.run import Run

pytestmark = pytest.mark.slow

CHANGES = "seed = 3\n[train]\nepochs = [2]\ncheckpoint_photos = 6"


@pytest.fixture(scope="session")
def settings(settings) -> Callable[..., FitConfig]:
    """As for other tests, but a training has two epochs and a checkpoint after each step."""
    return lambda text="": parse_config(text, "test", settings(CHANGES))


@pytest.fixture(scope="module")
def finished(settings, data, tmp_path_factory) -> Run:
    out = tmp_path_factory.mktemp("runs") / "run"
    return coarse2fine.fit(data / "train", out, settings(), [data / "val", data / "train_masks"])


def write_image(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def masks_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.png"))}


def test_fit__leaves_masks_of_every_stage_in_their_label(finished, data):
    photos = sorted((data / "train").rglob("*.jpg"))
    classes = read_json(finished.classes)
    assert classes[0] == "background" and len(classes) == 7
    for folder in (finished.coarse, *map(finished.enhanced, range(3)), finished.refined(1), finished.refined(2)):
        names = sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.png"))
        assert names == [path.relative_to(data / "train").with_suffix("").as_posix() for path in photos]
        for path in folder.rglob("*.png"):
            assert set(np.unique(read_mask(path))) <= {0, classes.index(path.parent.name)}


def test_fit__keeps_the_scores_its_masks_were_made_from(finished):
    for refined in finished.refined(1).rglob("*.png"):
        soft = read_soft(finished.soft_masks(1) / refined.relative_to(finished.refined(1)))
        assert soft.shape == (64, 64)  # the network's working size
        assert np.mean((resize_soft(soft, 48, 48) > 0.5) == (read_mask(refined) > 0)) > 0.98


def test_fit__starts_from_the_scores_of_coarse_masks(settings, finished, data, tmp_path):
    run = Run(shutil.copytree(finished.root, tmp_path / "run"))
    changed = settings('rounds = 1\n[coarse]\nmethod = "saliency"\n[enhance]\ncoarse_start = "probabilities"')
    coarse2fine.fit(data / "train", run.root, changed)
    for mask in run.coarse.rglob("*.png"):
        soft = read_soft(run.soft_masks(0) / mask.relative_to(run.coarse))
        assert soft.shape == read_mask(mask).shape and np.ptp(soft) > 0.5
    done = read_json(run.enhanced(0) / "done.json")
    assert done["settings"]["enhance.start"] == "probabilities"
    assert masks_of(run.enhanced(0)) != masks_of(finished.enhanced(0))


def test_fit__masks_without_scores_cannot_start_from_them(settings, data, tmp_path):
    with pytest.raises(ConfigError, match="box gives no probabilities from which"):
        settings('[enhance]\ncoarse_start = "probabilities"')


def test_fit__a_crf_enhances_from_scores_wherever_there_are_some(settings, finished, data, tmp_path):
    run = Run(shutil.copytree(finished.root, tmp_path / "run"))
    text = 'rounds = 1\n[enhance]\nmethod = "crf"\n[predict]\ncrf = true'
    coarse2fine.fit(data / "train", run.root, settings(text), [data / "val"])
    assert masks_of(run.coarse) == masks_of(finished.coarse)
    assert masks_of(run.enhanced(0)) not in (masks_of(run.coarse), masks_of(finished.enhanced(0)))
    assert [read_json(run.enhanced(number) / "done.json")["settings"]["enhance.start"] for number in (0, 1)] == [
        "mask",
        "probabilities",
    ]
    assert run.soft_masks(1).exists() and not run.soft_masks(0).exists()
    assert TorchSegmenter.load(run.root).crf.on


def test_fit__a_student_that_is_none_is_refused_before_anything_is_written(settings, data, tmp_path):
    config = settings(f'[coarse]\nmethod = "student"\n[coarse.student]\nweights = "{tmp_path / "none.safetensors"}"')
    with pytest.raises(DataError, match=r"There is no student .*none\.safetensors"):
        coarse2fine.fit(data / "train", tmp_path / "run", config)
    assert not (tmp_path / "run").exists()


def test_fit__another_start_redoes_what_depends_on_it(settings, finished, data, tmp_path):
    run = Run(shutil.copytree(finished.root, tmp_path / "run"))
    shutil.rmtree(run.soft_masks(1))
    changed = settings('[enhance]\nstart = "mask"')
    coarse2fine.fit(data / "train", run.root, changed)
    assert not run.soft_masks(1).exists()
    before, after = masks_of(finished.root), masks_of(run.root)
    assert all(after[name] == before[name] for name in before if name.startswith(("coarse", "round-1/refined")))
    done = read_json(run.enhanced(1) / "done.json")
    assert (done["settings"]["enhance.start"], done["settings"]["enhance.grabcut.engine"]) == ("mask", "fast")


def test_fit__measures_every_round(finished):
    before = read_json(finished.metrics(0))
    assert before["training_masks_iou"]["enhanced"] != before["training_masks_iou"]["coarse"] > 0.2
    for number in (1, 2):
        figures = read_json(finished.metrics(number))
        assert 0 <= figures["evaluation"]["mean_iou"] < 1 and figures["evaluation"]["photos"] == 3
        assert set(figures["training_masks_iou"]) == {"refined", "enhanced"}
    kept = read_json(finished.round(1) / "filter.json")
    assert len(kept) == 12 and set(kept.values()) == {None}
    assert read_json(finished.root / "filter.json") == kept


def folders_of(run: Run, number: int) -> tuple[Path, Path]:
    return run.enhanced(number - 1), run.refined(number)


def test_fit__tells_quality_without_truth(finished):
    for number in (1, 2):
        qualities = read_quality(finished.quality(number) / "quality.csv")
        assert [one.photo for one in qualities] == sorted(read_json(finished.round(1) / "filter.json"))
        one = qualities[0]
        taught, refined = (
            shrink_mask(read_mask(mask_path(folder, one.photo))) for folder in folders_of(finished, number)
        )
        assert one.agreement_training_mask == pytest.approx(measure_agreement(taught, refined), abs=1e-4)
        soft = read_soft(mask_path(finished.soft_masks(number), one.photo))
        assert one.confidence == pytest.approx(measure_confidence(soft, refined), abs=1e-4)
        ignored = number == 1 and one.agreement_enhanced_mask is not None
        agreements = (None if ignored else one.agreement_training_mask, one.agreement_enhanced_mask)
        parts = (one.confidence, one.previous_confidence, *agreements)
        assert one.score == pytest.approx(compute_score(*parts), abs=1e-3)
    assert one.previous_confidence == read_quality(finished.quality(1) / "quality.csv")[0].confidence
    assert (finished.root / "quality.csv").read_bytes() == (finished.quality(2) / "quality.csv").read_bytes()
    assert len((finished.root / "quality-classes.csv").read_text().splitlines()) == 7


def test_fit__leaves_a_report(finished):
    page = finished.report.read_text()
    assert "12 photos of 6 classes" in page and "fish/0000" in page
    assert f"{read_json(finished.metrics(2))['evaluation']['mean_iou']:.3f}" in page


def test_fit__another_limit_of_the_filter_redoes_what_follows_round_1(settings, finished, data, tmp_path):
    run = Run(shutil.copytree(finished.root, tmp_path / "run"))
    before = {path: path.stat().st_mtime_ns for path in run.root.rglob("*.png")}
    coarse2fine.fit(data / "train", run.root, settings("[filter]\nmin_share = 0.01"))
    changed = {
        path.relative_to(run.root).parts[0] for path, stamp in before.items() if path.stat().st_mtime_ns != stamp
    }
    assert changed == {"round-2"}


def test_fit__a_run_from_before_quality_is_judged_and_otherwise_left_alone(settings, finished, data, tmp_path):
    run = Run(shutil.copytree(finished.root, tmp_path / "run"))
    for number in (1, 2):
        shutil.rmtree(run.quality(number))
    before = {path: path.stat().st_mtime_ns for path in run.root.rglob("*.png")}
    coarse2fine.fit(data / "train", run.root, settings())
    assert {path: path.stat().st_mtime_ns for path in run.root.rglob("*.png")} == before
    assert read_quality(run.quality(2) / "quality.csv") == read_quality(finished.quality(2) / "quality.csv")


def test_fit__leaves_a_network_that_predicts(finished, data):
    segmenter = TorchSegmenter.load(finished.root)
    image = coarse2fine.read_image(sorted((data / "val" / "images").iterdir())[0])
    assert segmenter.predict(image).shape == image.shape[:2]
    assert segmenter.classes == tuple(read_json(finished.classes))


def test_fit__same_settings_and_seed_give_the_same_masks(settings, finished, data, tmp_path):
    again = coarse2fine.fit(data / "train", tmp_path / "run", settings())
    assert masks_of(again.root) == masks_of(finished.root)
    assert again.weights(2).read_bytes() == finished.weights(2).read_bytes()
    other = coarse2fine.fit(data / "train", tmp_path / "other", settings("seed = 4\nrounds = 1"))
    assert other.weights(1).read_bytes() != finished.weights(1).read_bytes()


def test_fit__a_finished_run_is_not_touched_again(settings, finished, data):
    before = {path: path.stat().st_mtime_ns for path in finished.root.rglob("*.png")}
    coarse2fine.fit(data / "train", finished.root, settings())
    assert {path: path.stat().st_mtime_ns for path in finished.root.rglob("*.png")} == before


def test_fit__killed_at_any_write_goes_on_to_the_same_masks(settings, finished, data, tmp_path, monkeypatch):
    """Killed seven times, at writes 3, 17, 30, 44, 52, 61 and 75 of the run, and resumed each time."""
    replace, left = Path.replace, [0]

    def die_sometimes(self, target):
        left[0] -= 1
        if left[0] == 0:
            raise RuntimeError("killed")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", die_sometimes)
    for writes in (3, 14, 13, 14, 8, 9, 14):
        left[0] = writes
        with pytest.raises(RuntimeError, match="killed"):
            coarse2fine.fit(data / "train", tmp_path / "run", settings())
    monkeypatch.setattr(Path, "replace", replace)
    run = coarse2fine.fit(data / "train", tmp_path / "run", settings())
    assert masks_of(run.root) == masks_of(finished.root)
    assert run.weights(2).read_bytes() == finished.weights(2).read_bytes()
    assert not list(run.root.rglob("*.tmp"))


def test_fit__a_changed_setting_redoes_what_depends_on_it(settings, finished, data, tmp_path, capsys):
    root = tmp_path / "run"
    shutil.copytree(finished.root, root)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*.png")}
    coarse2fine.fit(data / "train", root, settings("[predict]\nflip = true"), quiet=False)
    changed = {path.relative_to(root).parts[0] for path, stamp in before.items() if path.stat().st_mtime_ns != stamp}
    assert changed == {"round-1", "round-2"}
    said = capsys.readouterr().out
    assert "coarse masks: already done" in said and "round 1: training: already done" in said
    assert "round 1: refined masks: run again, because predict.flip False -> True" in said
    assert "round 2: training: run again, because an earlier stage changed" in said


def test_fit__more_rounds_go_on_from_the_last(settings, finished, data, tmp_path):
    root = tmp_path / "run"
    shutil.copytree(finished.root, root)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*.png")}
    run = coarse2fine.fit(data / "train", root, settings("rounds = 3"))
    changed = {path for path, stamp in before.items() if path.stat().st_mtime_ns != stamp}
    assert changed == {*run.enhanced(2).rglob("*.png")}  # as those of the last round they came from all rounds
    assert len(changed) == len(list(run.enhanced(3).rglob("*.png"))) == 12


def test_fit__the_last_round_averages_only_if_it_is_set(settings, finished, data, tmp_path):
    run = Run(tmp_path / "run")
    shutil.copytree(finished.root, run.root)
    coarse2fine.fit(data / "train", run.root, settings("[enhance]\naverage_rounds = false"))
    before, after = (read_json(one.enhanced(2) / "done.json")["settings"] for one in (finished, run))
    assert before == after | {"enhance.average_rounds": "equal weights"}
    assert "enhance.average_rounds" not in read_json(finished.enhanced(1) / "done.json")["settings"]


def test_fit__balances_the_size_of_soft_masks_only_if_it_is_set(settings, finished, data, tmp_path, monkeypatch):
    run = Run(tmp_path / "run")
    shutil.copytree(finished.root, run.root)
    coarse2fine.fit(data / "train", run.root, settings("[enhance]\nbalance_size = false"))
    without = read_json(run.enhanced(1) / "done.json")
    monkeypatch.setattr(enhance_stage, "balance_size", lambda start, *_: replace(start, shift=1.0))
    coarse2fine.fit(data / "train", run.root, settings())
    done = read_json(run.enhanced(1) / "done.json")
    assert without["settings"] | {"enhance.balance_size": True} == done["settings"]
    assert (without["shift"], done["shift"]) == (0, 1)


def test_fit__warm_start_and_no_enhancement_between_rounds(settings, data, tmp_path):
    text = "[train]\nstart = 'warm'\n[enhance]\nbetween_rounds = false"
    run = coarse2fine.fit(data / "train", tmp_path / "run", settings(text))
    assert masks_of(run.refined(1)) == masks_of(run.enhanced(1))
    assert run.enhanced(1) != run.refined(1)


def test_fit__masks_from_a_folder(settings, finished, data, tmp_path):
    given = tmp_path / "given"
    shutil.copytree(data / "train_masks", given)
    text = f"rounds = 1\n[coarse]\nmethod = 'folder'\n[coarse.folder]\npath = '{given}'"
    run = coarse2fine.fit(data / "train", tmp_path / "run", settings(text))
    assert len(masks_of(run.coarse)) == 12
    write_mask(given / "fish" / "0000.png", np.ones((48, 48), np.uint8))
    coarse2fine.fit(data / "train", tmp_path / "run", settings(text))
    assert (read_mask(run.coarse / "fish" / "0000.png") > 0).all()
    (tmp_path / "few").mkdir()
    text = text.replace(str(given), str(tmp_path / "few"))
    with pytest.raises(DataError, match="Every photo needs a mask in coarse.folder.path, but 12 of 12 have none"):
        coarse2fine.fit(data / "train", tmp_path / "other", settings(text))


def test_fit__one_class_is_enough(settings, data, tmp_path):
    shutil.copytree(data / "train" / "fish", tmp_path / "in" / "ein Fisch ü")
    run = coarse2fine.fit(tmp_path / "in", tmp_path / "run", settings("rounds = 1"))
    assert read_json(run.classes) == ["background", "ein Fisch ü"]
    assert len(masks_of(run.enhanced(1))) == 2


def test_fit__refuses_the_run_folder_of_another_data_set(settings, finished, data, tmp_path):
    shutil.copytree(data / "train" / "fish", tmp_path / "in" / "fish")
    with pytest.raises(DataError, match="belongs to another data set .*Choose another --out"):
        coarse2fine.fit(tmp_path / "in", finished.root, settings())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    with pytest.raises(DataError, match="must be new, empty, or from an earlier run"):
        coarse2fine.fit(data / "train", tmp_path / "mine", settings())


def test_fit__goes_on_with_photos_at_another_place(settings, finished, data, tmp_path, capsys):
    shutil.copytree(finished.root, tmp_path / "run")
    shutil.copytree(data / "train", tmp_path / "moved")  # names, sizes and times are the same
    run = coarse2fine.fit(tmp_path / "moved", tmp_path / "run", settings(), quiet=False)
    said = capsys.readouterr().out
    assert "round 2: enhancement: already done" in said and "run again" not in said
    assert read_json(run.photos)["data"] == str(tmp_path / "moved")
    (tmp_path / "link").symlink_to(tmp_path / "moved")
    coarse2fine.fit(tmp_path / "link", tmp_path / "run", settings(), quiet=False)
    assert "run again" not in capsys.readouterr().out
    (tmp_path / "other").mkdir()
    shutil.copytree(tmp_path / "moved", tmp_path / "other", dirs_exist_ok=True)
    (tmp_path / "other" / "fish" / "0000.jpg").write_bytes(b"another photo")
    with pytest.raises(DataError, match="all of them must be there, with the same names and sizes"):
        coarse2fine.fit(tmp_path / "other", tmp_path / "run", settings())


def test_fit__stops_before_hours_are_spent(settings, data, tmp_path):
    for text, message in (
        ("[network]\nencoder = 'resnet1018'", "resnet101"),
        ("[network]\nfreeze_batch_norm = true", "can be frozen only if it has trained weights"),
        ("[network]\nfrozen_stages = 2", "can be frozen only if it has trained weights"),
        (f"[network]\nencoder_weights = '{tmp_path / 'gone.safetensors'}'", "gone.safetensors"),
    ):
        with pytest.raises(ConfigError, match=message):
            coarse2fine.fit(data / "train", tmp_path / "run", settings(text))
    assert not (tmp_path / "run" / "coarse").exists()


def test_fit__empty_coarse_masks_say_what_to_do(settings, data, tmp_path):
    for path in sorted((data / "train").rglob("*.jpg")):
        empty = np.zeros(coarse2fine.read_image(path).shape[:2], np.uint8)
        write_mask(mask_path(tmp_path / "empty", path.relative_to(data / "train").with_suffix("").as_posix()), empty)
    text = f"[enhance]\nmethod = 'none'\n[coarse]\nmethod = 'folder'\n[coarse.folder]\npath = '{tmp_path / 'empty'}'"
    with pytest.raises(DataError, match="Round 1 .*: 12 because their coarse mask is empty .* another coarse.method"):
        coarse2fine.fit(data / "train", tmp_path / "run", settings(text))
    reasons = read_json(tmp_path / "run" / "filter.json")
    assert len(reasons) == 12 and set(reasons.values()) == {"foreground is empty"}


def test_fit__refuses_to_write_among_the_photos(settings, data):
    with pytest.raises(ConfigError, match="must lie outside the folder of photos"):
        coarse2fine.fit(data / "train", data / "train" / "run", settings())
    assert not (data / "train" / "run").exists()


def test_fit__a_lower_limit_counts_for_photos_checked_before(settings, finished, data, tmp_path):
    shutil.copytree(finished.root, tmp_path / "run")
    with pytest.raises(DataError, match="at most 0.001 are allowed"):
        coarse2fine.fit(data / "train", tmp_path / "run", settings("max_megapixels = 0.001"))


def test_fit__another_process_works_on_it(settings, finished, data):
    with hold_folder(finished.root), pytest.MonkeyPatch.context() as patched:
        patched.setattr("coarse2fine.pipeline.fit.hold_folder", partial(hold_folder, timeout_s=0))
        with pytest.raises(DataError, match="Only one process at a time"):
            coarse2fine.fit(data / "train", finished.root, settings())


def test_fit__foreground_needs_no_label_and_is_measured_with_any_class(settings, data, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for path in sorted((data / "train").rglob("*.jpg")):
        shutil.copy(path, photos / f"{path.parent.name}-{path.name}")
    network = '[network]\nname = "dfpn"\noutput_stride = 32\nscales = [0.5, 1.0]'
    run = coarse2fine.fit(
        photos, tmp_path / "run", settings(f'task = "foreground"\nrounds = 1\n{network}'), [data / "val"]
    )
    assert read_json(run.classes) == ["background", "foreground"]
    assert len(list(run.enhanced(1).glob("*.png"))) == 12
    figures = read_json(run.metrics(1))["evaluation"]
    assert list(figures["iou"]) == ["background", "foreground"] and "foreground_iou_mean_over_photos" in figures

    segmenter = TorchSegmenter.load(run.root)
    assert segmenter.network.scales == (0.5, 1.0)
    result = coarse2fine.evaluate_network(segmenter, data / "val" / "images", data / "val" / "masks", 1)
    assert result.as_dict()["iou"] == figures["iou"]
    with pytest.raises(DataError, match="belongs to another data set"):
        coarse2fine.fit(data / "train", run.root, settings())


def test_fit__negatives_train_as_background_and_count_nowhere_else(settings, data, tmp_path):
    rng = np.random.default_rng(0)
    for index in range(3):
        write_image(tmp_path / "none" / f"{index}.png", rng.integers(0, 255, (40, 48, 3), np.uint8))
    root = tmp_path / "run"
    run = coarse2fine.fit(data / "train", root, settings(), [data / "val"], negatives=tmp_path / "none")
    names = [f"background/{index}" for index in range(3)]
    for folder in (run.coarse, *map(run.enhanced, range(3)), run.refined(1), run.refined(2)):
        assert len(masks_of(folder)) == 15
        for name in names:
            assert read_mask(mask_path(folder, name)).shape == (40, 48)
            assert not read_mask(mask_path(folder, name)).any()
    for number in range(3):
        assert [read_json(run.filter_file(number))[name] for name in names] == [None] * 3
    for number in (1, 2):
        assert read_json(run.training(number) / "done.json")["photos"] == 15
        assert not {one.photo for one in read_quality(run.quality(number) / "quality.csv")} & set(names)
    assert "12 photos of 6 classes and 3 without any class" in run.report.read_text()
    assert len(read_photos(run).negatives) == 3

    assert coarse2fine.export_masks(root, tmp_path / "yolo", "yolo", MaskExportConfig(val_share=0)) == 15
    labels = tmp_path / "yolo" / "labels" / "train"
    assert (labels / "background_0.txt").read_bytes() == b"" != (labels / "fish_0000.txt").read_bytes()
    assert (tmp_path / "yolo" / "images" / "train" / "background_0.png").exists()
    assert coarse2fine.export_masks(root, tmp_path / "cvat", "cvat") == 12


def test_fit__wrong_negatives_are_refused_before_anything_is_written(settings, data, tmp_path):
    shutil.copytree(data / "train" / "fish", tmp_path / "none")
    with pytest.raises(DataError, match="none/0000.jpg has the same content as .* a photo of fish. Remove one of"):
        coarse2fine.fit(data / "train", tmp_path / "run", settings(), negatives=tmp_path / "none")
    with pytest.raises(ConfigError, match="must lie outside the folder of photos"):
        coarse2fine.fit(data / "train", tmp_path / "none" / "run", settings(), negatives=tmp_path / "none")
    assert not (tmp_path / "run").exists() and not (tmp_path / "none" / "run").exists()


def test_fit__foreground_takes_negatives(settings, data, tmp_path):
    write_image(tmp_path / "none" / "1.png", np.full((40, 48, 3), 90, np.uint8))
    config = settings('task = "foreground"\nrounds = 1')
    run = coarse2fine.fit(data / "train" / "fish", tmp_path / "run", config, negatives=tmp_path / "none")
    assert sorted(masks_of(run.enhanced(1))) == ["0000.png", "0001.png", "background/1.png"]
    assert not read_mask(mask_path(run.enhanced(1), "background/1")).any()


def test_fit__a_photo_in_two_class_folders_gets_pixels_of_both_classes_only(settings, data, tmp_path):
    photos = Path(shutil.copytree(data / "train", tmp_path / "photos"))
    first, last = sorted(path.name for path in photos.iterdir())[:: len(list(photos.iterdir())) - 1]
    shutil.copy(photos / last / "0000.jpg", photos / first / "copy.jpg")
    run = coarse2fine.fit(photos, tmp_path / "run", settings())
    classes = read_json(run.classes)
    own = {classes.index(first), classes.index(last)}
    name = f"{first}/copy"
    assert not mask_path(run.coarse, f"{last}/0000").exists()
    for folder in (run.coarse, run.enhanced(0)):
        assert set(np.unique(read_mask(mask_path(folder, name)))) == {0, 255}
    for number in (1, 2):
        refined, enhanced = (read_mask(mask_path(folder(number), name)) for folder in (run.refined, run.enhanced))
        assert set(np.unique(refined)) <= {0, *own} and set(np.unique(enhanced)) <= set(np.unique(refined)) | {0}
        quality = {one.photo: one for one in read_quality(run.quality(number) / "quality.csv")}[name]
        assert quality.class_names == [first, last]
    assert read_json(run.filter_file(0))[name] is None
    assert read_json(run.training(1) / "done.json")["photos"] == 12
    rows = (run.root / "quality-classes.csv").read_text().splitlines()
    assert rows[1].startswith(f"{first},3,") and rows[-1].startswith(f"{last},2,")
