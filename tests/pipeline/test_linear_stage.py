"""The linear model as a stage of ``fit``: when it is used, what it writes, and how it is resumed."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tests.conftest import write_image

import coarse2fine
from coarse2fine.config import FitConfig, dump_config
from coarse2fine.corrections.review import Review
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.masks.png import mask_path, read_mask, read_soft, write_mask, write_soft
from coarse2fine.pipeline import enhance_stage, linear_stage
from coarse2fine.pipeline.enhance_stage import enhance_masks, weigh_linear_model
from coarse2fine.pipeline.linear_stage import choose_photos
from coarse2fine.pipeline.mask_writer import MaskTask
from coarse2fine.pipeline.soft_start import Correction, SoftStart
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.files import read_json
from coarse2fine.store.run import Run
from coarse2fine.types import Enhanced, Photo

SALIENCY = 'rounds = 1\n[coarse]\nmethod = "saliency"\n'


@pytest.fixture(scope="module")
def finished(settings, data, weights, tmp_path_factory) -> Run:
    out = tmp_path_factory.mktemp("runs") / "linear"
    return coarse2fine.fit(data / "train", out, settings(SALIENCY + weights))


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}


def test_fit__writes_soft_masks_of_the_model_and_enhances_from_them(finished):
    for number in (0, 1):
        soft = read_soft(mask_path(finished.linear(number), "fish/0000"))
        assert soft.shape == (20, 20) and soft.max() > 0.5 > soft.min()
        assert len(files_of(finished.linear(number))) == 12
        enhanced = read_json(finished.enhanced(number) / "done.json")
        assert enhanced["settings"]["enhance.linear_weight"] == 10
        assert read_json(finished.linear(number) / "done.json")["key"] in enhanced["inputs"]


@pytest.mark.parametrize(("limit", "calls"), [(2**29, 12), (0, 48)])
def test_fit__computes_features_once_unless_memory_is_short(
    finished, settings, data, weights, tmp_path, monkeypatch, limit, calls
):
    extract, computed = linear_stage.extract_features, []

    def count_and_extract(*args, **kwargs):
        computed.append(1)
        return extract(*args, **kwargs)

    monkeypatch.setattr(linear_stage, "extract_features", count_and_extract)
    monkeypatch.setattr(linear_stage, "MAX_KEPT_BYTES", limit)
    run = coarse2fine.fit(data / "train", tmp_path / "run", settings(SALIENCY + weights))
    assert len(computed) == calls  # 12 photos, fitted and predicted in two rounds
    assert files_of(run.root) == files_of(finished.root)


def test_fit__without_the_model_only_the_masks_after_it_differ(finished, settings, data, weights, tmp_path):
    run = coarse2fine.fit(
        data / "train", tmp_path / "run", settings(SALIENCY + "[enhance]\nlinear_weight = 0.0\n" + weights)
    )
    assert not run.linear(0).exists() and not run.linear(1).exists()
    assert files_of(run.coarse) == files_of(finished.coarse)
    assert files_of(run.enhanced(0)) != files_of(finished.enhanced(0))
    assert "enhance.linear_weight" not in read_json(run.enhanced(0) / "done.json")["settings"]


@pytest.mark.parametrize("text", ["", '[enhance]\ncoarse_start = "mask"\nstart = "mask"\n'])
def test_fit__random_features_or_no_soft_masks_have_no_model(settings, data, weights, tmp_path, text):
    config = settings(SALIENCY + text + (weights if text else ""))
    assert not any(map(config.uses_linear_model, (0, 1)))
    run = coarse2fine.fit(data / "train", tmp_path / "run", config)
    assert not run.linear(0).exists() and not run.linear(1).exists()


@pytest.mark.parametrize(("photos", "weights"), [(500, (10, 10, 10)), (2000, (10, 2.5, 0.625))])
def test_weigh_linear_model__falls_with_each_round_of_many_photos(photos, weights):
    job = SimpleNamespace(labeled=range(photos), config=FitConfig())
    assert tuple(weigh_linear_model(job, number) for number in range(3)) == weights


def test_fit__killed_at_any_write_goes_on_to_the_same_masks(finished, settings, data, weights, tmp_path, monkeypatch):
    replace, left = Path.replace, [0]

    def die_sometimes(self, target):
        left[0] -= self.parent.parent.name == "coarse-linear" or self.parent.name == "coarse-linear"
        if left[0] == 0:
            raise RuntimeError("killed")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", die_sometimes)
    for writes in (2, 3, 5):  # stage.json, model.safetensors, then soft masks
        left[0] = writes
        with pytest.raises(RuntimeError, match="killed"):
            coarse2fine.fit(data / "train", tmp_path / "run", settings(SALIENCY + weights))
    monkeypatch.setattr(Path, "replace", replace)
    run = coarse2fine.fit(data / "train", tmp_path / "run", settings(SALIENCY + weights))
    assert files_of(run.root) == files_of(finished.root)


def test_fit__corrected_masks_and_negatives_teach_the_model(finished, settings, data, weights, tmp_path):
    corrected = np.zeros((48, 48), np.uint8)
    corrected[:, :24] = 1
    write_mask(tmp_path / "corrected" / "fish" / "0000.png", corrected)
    write_image(tmp_path / "none" / "0.png", np.random.default_rng(0).integers(0, 255, (40, 48, 3), np.uint8))
    run = coarse2fine.fit(
        data / "train",
        tmp_path / "run",
        settings(SALIENCY + weights),
        start_from=tmp_path / "corrected",
        negatives=tmp_path / "none",
    )
    assert "fish/0000.png" not in files_of(run.linear(0)) and len(files_of(run.linear(0))) == 11
    assert (read_mask(mask_path(run.enhanced(1), "fish/0000")) > 0).mean() == 0.5
    assert files_of(run.linear(0))["fish/0001.png"] != files_of(finished.linear(0))["fish/0001.png"]


def test_fit__without_accepted_photos_says_so(finished, settings, data, weights, tmp_path):
    run = Run(tmp_path / "run")
    shutil.copytree(finished.root, run.root)
    review, names = Review(run.review), list(read_json(run.filter_file(0)))
    for name in names:
        review.keep(name, "rejected", "coarse")
    with pytest.raises(DataError, match="12 because they were rejected in review"):
        coarse2fine.fit(data / "train", run.root, settings(SALIENCY + weights))
    review.take_back(names[0])
    coarse2fine.fit(data / "train", run.root, settings(SALIENCY + weights))
    assert len(files_of(run.linear(0))) == 12


def test_fit__a_damaged_model_is_named(finished, settings, data, weights, tmp_path):
    run = Run(tmp_path / "run")
    shutil.copytree(finished.root, run.root)
    file, done = run.linear(0) / "model.safetensors", run.linear(0) / "done.json"
    done.rename(done.with_name("stage.json"))  # as if killed before its end
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"model\.safetensors must be the linear model .* Delete it"):
        coarse2fine.fit(data / "train", run.root, settings(SALIENCY + weights))
    file.unlink()
    coarse2fine.fit(data / "train", run.root, settings(SALIENCY + weights))
    assert files_of(run.root) == files_of(finished.root)


def test_enhance_masks__a_correction_without_foreground_keeps_that_of_the_mask(tmp_path):
    photo = Photo(tmp_path / "0.png", "cat/0", (1,))
    write_image(photo.path, np.zeros((40, 48, 3), np.uint8))
    mask = np.zeros((40, 48), np.uint8)
    mask[10:30, 10:30] = 1
    folders = [tmp_path / name for name in ("masks", "soft", "linear")]
    write_mask(mask_path(folders[0], photo.name), mask)
    write_soft(mask_path(folders[1], photo.name), np.float32(0.4) * mask)  # its coarse method has a threshold of 0.3
    write_soft(mask_path(folders[2], photo.name), np.zeros((20, 20), np.float32))
    task = MaskTask([photo], tmp_path / "out", Context(), "enhancement")
    enhance_masks(
        task,
        folders[0],
        lambda _, binary, soft: Enhanced(binary, None),
        SoftStart([folders[1]], Correction([folders[2]], 10)),
    )
    np.testing.assert_array_equal(read_mask(mask_path(task.folder, photo.name)), mask)


def test_fit__the_last_round_is_corrected_by_the_mean_of_all_linear_models(
    settings, data, weights, tmp_path, monkeypatch
):
    corrections, enhance = [], enhance_stage.enhance_masks

    def enhance_and_remember(*given):
        corrections.append(given[-1].correction)
        enhance(*given)

    monkeypatch.setattr(enhance_stage, "enhance_masks", enhance_and_remember)
    text = SALIENCY.replace("rounds = 1", "rounds = 2")
    run = coarse2fine.fit(data / "train", tmp_path / "run", settings(text + weights))
    one, two, three = ([run.linear(number)] for number in range(3))
    assert [correction.folders for correction in corrections] == [one, two, one + two + three]


def test_enhance_masks__several_linear_models_correct_by_their_mean(tmp_path):
    photo = Photo(tmp_path / "0.png", "cat/0", (1,))
    write_image(photo.path, np.zeros((40, 48, 3), np.uint8))
    names = ("masks", "soft", "linear0", "linear1", "mean")
    values = np.random.default_rng(0).integers(0, 128, (len(names), 20, 20)).astype(np.float32)
    values[-1] = values[2] + values[3]
    values[2:4] *= 2
    for name, soft in zip(names, values / 255, strict=True):
        write_soft(mask_path(tmp_path / name, photo.name), soft)
    write_mask(mask_path(tmp_path / "masks", photo.name), np.ones((40, 48), np.uint8))
    seen = []

    def keep(_, binary, soft):
        seen.append(soft)
        return Enhanced(binary, None)

    for number, used in enumerate((["linear0", "linear1"], ["mean"])):
        start = SoftStart([tmp_path / "soft"], Correction([tmp_path / name for name in used], 10))
        task = MaskTask([photo], tmp_path / f"out{number}", Context(), "enhancement")
        enhance_masks(task, tmp_path / "masks", keep, start)
    np.testing.assert_allclose(seen[0], seen[1], atol=1e-6)


def test_fit_config__the_weight_is_finite(settings):
    with pytest.raises(ConfigError, match=r"enhance\.linear_weight must be less than or equal to 10000"):
        settings("[enhance]\nlinear_weight = inf\n")


def test_fit__too_few_photos_have_no_model(settings, data, weights, tmp_path):
    photos = tmp_path / "photos"
    for name in ("fish", "leaf"):
        if (data / "train" / name).exists():
            shutil.copytree(data / "train" / name, photos / name)
    run = coarse2fine.fit(photos, tmp_path / "run", settings(SALIENCY + weights))
    assert not run.linear(0).exists() and run.enhanced(1).exists()


def test_choose_photos__all_of_small_classes_and_an_equal_number_of_large_ones():
    photos = [Photo(Path(), f"{one}/{index}", (one,)) for one, n in ((1, 900), (2, 30), (3, 5)) for index in range(n)]
    chosen = [photo.labels[0] for photo in choose_photos(photos, most=150)]
    assert [chosen.count(one) for one in (1, 2, 3)] == [50, 30, 5]
    assert len(choose_photos(photos)) == 300 + 30 + 5


def test_fit_config__the_recipe_paper_has_no_model():
    paper = coarse2fine.load_recipe("paper")
    assert not paper.uses_linear_model(0) and "linear_weight = 0.0" in dump_config(paper)
