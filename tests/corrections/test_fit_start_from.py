"""Corrected masks in a whole run: no stage changes them, and a change of them repeats the stages that use them."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import coarse2fine
from coarse2fine.cli import main
from coarse2fine.config import FitConfig, MaskExportConfig, parse_config
from coarse2fine.errors import DataError
from coarse2fine.export import export_masks
from coarse2fine.masks.png import mask_path, read_mask, write_mask
from coarse2fine.runtime.files import read_json
from coarse2fine.store.run import Run

pytestmark = pytest.mark.slow

SETTINGS = """
seed = 3
[refine]
constrain = "foreground"
threshold = 0.5
[filter]
min_share = 0.02
max_share = 0.9
"""


@pytest.fixture(scope="module", autouse=True)
def rounds_never_collapse() -> Iterator[None]:
    """After one step a network floods or empties most masks; these tests are about the photos with corrected ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("coarse2fine.pipeline.collapse.MAX_LOST_SHARE", 1.0)
        yield


@pytest.fixture(scope="session")
def settings(settings) -> Callable[..., FitConfig]:
    """As in the tests of the review, but the filter leaves photos out by the area of their mask."""
    return lambda text="": parse_config(text, "test", settings(SETTINGS))


@pytest.fixture(scope="module")
def corrections(data) -> dict[str, np.ndarray]:
    """Masks of three photos: two classes and ignored pixels; empty; larger than the filter allows."""
    names = [path.relative_to(data).with_suffix("").as_posix() for path in sorted(data.rglob("*.jpg"))]
    mixed = np.zeros((48, 48), np.uint8)
    mixed[5:9], mixed[20:30], mixed[40] = 1, 4, 255
    return {names[0]: mixed, names[5]: np.zeros((48, 48), np.uint8), names[7]: np.full((48, 48), 4, np.uint8)}


@pytest.fixture(scope="module")
def corrected_run(settings, data, corrections, tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("given")
    for name, mask in corrections.items():
        write_mask(mask_path(folder, name), mask)
    return coarse2fine.fit(data, tmp_path_factory.mktemp("runs") / "run", settings(), start_from=folder)


def folders_of(run: Run) -> list[Path]:
    return [run.coarse, *map(run.enhanced, range(3)), run.refined(1), run.refined(2)]


def test_fit__leaves_corrected_masks_as_they_are_in_every_stage(corrected_run, corrections):
    for folder in folders_of(corrected_run):
        assert len(list(folder.rglob("*.png"))) == 12
        for name, mask in corrections.items():
            assert np.array_equal(read_mask(mask_path(folder, name)), mask)
    for number in (1, 2):
        kept = read_json(corrected_run.round(number) / "filter.json")
        assert len(kept) == 12 and all(kept[name] is None for name in corrections)
        assert read_json(corrected_run.training(number) / "done.json")["photos"] >= 3


def test_fit__other_photos_start_as_usual(settings, corrected_run, data, corrections, tmp_path):
    plain = coarse2fine.fit(data, tmp_path / "run", settings("rounds = 1"))
    for folder in (plain.coarse, plain.enhanced(0)):
        for path in folder.rglob("*.png"):
            name = path.relative_to(folder).with_suffix("").as_posix()
            other = read_mask(corrected_run.root / folder.name / path.relative_to(folder))
            assert np.array_equal(read_mask(path), other) != (name in corrections)
    assert not plain.corrected.exists()
    assert "corrected masks" not in read_json(plain.coarse / "done.json")["settings"]


def test_fit__remembers_corrected_masks_and_redoes_what_a_change_concerns(
    settings, corrected_run, data, corrections, tmp_path, capsys
):
    run = Run(shutil.copytree(corrected_run.root, tmp_path / "run"))
    coarse2fine.fit(data, run.root, settings(), quiet=False)
    assert "run again" not in capsys.readouterr().out
    name = next(iter(corrections))
    write_mask(mask_path(run.corrected, name), np.full((48, 48), 2, np.uint8))
    coarse2fine.fit(data, run.root, settings(), quiet=False)
    said = " ".join(capsys.readouterr().out.split())
    assert "coarse masks: run again, because corrected masks 3 (" in said
    assert "round 2: training: run again" in said
    assert all((read_mask(mask_path(folder, name)) == 2).all() for folder in folders_of(run))
    mask_path(run.corrected, name).unlink()
    coarse2fine.fit(data, run.root, settings("rounds = 1"), quiet=False)
    assert "corrected masks 3 (" in capsys.readouterr().out
    assert set(np.unique(read_mask(mask_path(run.coarse, name)))) == {0, 1}


@pytest.mark.parametrize("kind", ["labelstudio", "cvat", "voc"])
def test_fit__imports_exported_masks_unchanged(settings, corrected_run, data, tmp_path, kind):
    export_masks(corrected_run.root, tmp_path / "out", kind, MaskExportConfig(left_out=True))
    file = {"cvat": "annotations.xml", "voc": "SegmentationClass", "labelstudio": "tasks-1.json"}[kind]
    if kind == "labelstudio":
        text = (tmp_path / "out" / file).read_text()
        (tmp_path / "out" / file).write_text(text.replace('"predictions"', '"annotations"'))
    run = coarse2fine.fit(data, tmp_path / "run", settings("rounds = 1"), start_from=tmp_path / "out" / file)
    given = sorted(run.corrected.rglob("*.png"))
    assert len(given) >= 11  # the export of CVAT has no empty masks
    for path in given:
        name = path.relative_to(run.corrected)
        mask = read_mask(corrected_run.enhanced(2) / name)
        assert np.array_equal(read_mask(path), mask)
        assert all(np.array_equal(read_mask(folder / name), mask) for folder in (run.coarse, run.enhanced(1)))


def test_fit__masks_from_a_folder_are_needed_only_where_none_is_corrected(
    settings, corrected_run, data, corrections, tmp_path
):
    for path in corrected_run.coarse.rglob("*.png"):
        name = path.relative_to(corrected_run.coarse)
        if name.with_suffix("").as_posix() not in corrections:
            (tmp_path / "given" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tmp_path / "given" / name)
    config = settings(f'rounds = 1\n[coarse]\nmethod = "folder"\n[coarse.folder]\npath = "{tmp_path / "given"}"')
    run = coarse2fine.fit(data, tmp_path / "run", config, start_from=corrected_run.corrected)
    assert len(list(run.coarse.rglob("*.png"))) == 12
    with pytest.raises(DataError, match=r"3 of 12 have none"):
        coarse2fine.fit(data, tmp_path / "other", config)


def test_fit__refuses_a_missing_path_at_once(settings, data, tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        coarse2fine.fit(data, tmp_path / "run", settings(), start_from=tmp_path / "none.json")
    assert not (tmp_path / "run").exists()


def test_fit__a_student_leaves_corrected_masks_alone(settings, data, corrections, corrected_run, tmp_path):
    config = settings('rounds = 1\n[coarse]\nmethod = "student"\n[enhance]\ncoarse_start = "probabilities"')
    run = coarse2fine.fit(data, tmp_path / "run", config, start_from=corrected_run.corrected)
    for name, mask in corrections.items():
        assert np.array_equal(read_mask(mask_path(run.coarse, name)), mask)
        assert np.array_equal(read_mask(mask_path(run.enhanced(0), name)), mask)


def test_command__takes_corrected_masks_and_says_what_is_wrong(corrected_run, data, corrections, tmp_path, capsys):
    command = ["fit", str(data), "--out", str(tmp_path / "run"), "--recipe", "demo"]
    command += ["--config", str(corrected_run.root / "config.toml"), "--rounds", "1", "--start-from"]
    with pytest.raises(SystemExit) as caught:
        main([*command, str(corrected_run.root / "config.toml")])
    assert caught.value.code == 2 and "is another type of file" in capsys.readouterr().err
    main([*command, str(corrected_run.corrected)])
    assert "3 corrected masks of" in capsys.readouterr().out
    for name, mask in corrections.items():
        assert np.array_equal(read_mask(mask_path(Run(tmp_path / "run").enhanced(1), name)), mask)
