import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from coarse2fine.coarse import binarize
from coarse2fine.coarse.student import Student
from coarse2fine.config import (
    CoarseBoxConfig,
    CoarseConfig,
    CoarseFolderConfig,
    CoarseStudentConfig,
    EnhanceConfig,
    FilterConfig,
    Start,
    StudentNetworkConfig,
)
from coarse2fine.data import read_image
from coarse2fine.enhance import is_prepared
from coarse2fine.enhance.graph_cut.compilation import _RepairedCache
from coarse2fine.errors import DataError
from coarse2fine.evaluation.quality_table import read_quality
from coarse2fine.masks.png import mask_path, read_mask, read_soft, write_mask, write_soft
from coarse2fine.networks.student import build_student
from coarse2fine.pipeline.coarse_stage import make_coarse_masks
from coarse2fine.pipeline.enhance_stage import enhance_masks, prepare_enhancer
from coarse2fine.pipeline.mask_writer import MaskTask, write_masks
from coarse2fine.pipeline.quality_stage import measure_round_quality, write_missing_quality
from coarse2fine.pipeline.refine_stage import filter_masks, find_empty
from coarse2fine.pipeline.soft_start import SoftStart
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.files import read_json, write_json
from coarse2fine.runtime.processes import World
from coarse2fine.store.records import read_notes
from coarse2fine.store.run import Run
from coarse2fine.store.stages import Stage, run_stage
from coarse2fine.types import Dataset, Enhanced, Enhancer, Photo

CONTEXT = Context()


def task(photos: list[Photo], folder: Path, context: Context = CONTEXT) -> MaskTask:
    return MaskTask(photos, folder, context, "test")


def enhancer(config: EnhanceConfig, start: Start) -> Enhancer:
    return prepare_enhancer(config, start, 0, CONTEXT.console)


@pytest.fixture
def photos(tmp_path) -> list[Photo]:
    """Four gray photos with a red block each; labels 1 and 2."""
    made = []
    for index in range(4):
        image = np.full((40, 60, 3), 128, np.uint8)
        image[10:30, 15:45] = (230, 20, 20)
        Image.fromarray(image).save(tmp_path / f"{index}.png")
        made.append(Photo(tmp_path / f"{index}.png", f"class {1 + index % 2}/{index}", (1 + index % 2,)))
    return made


def ones(photo: Photo) -> Enhanced:
    return Enhanced(np.full((40, 60), photo.label, np.uint8), None)


def test_make_coarse_masks__box_in_the_photos_label(photos, tmp_path):
    make_coarse_masks(task(photos, tmp_path / "c"), CoarseConfig(method="box", box=CoarseBoxConfig(share=0.5)))
    for photo in photos:
        mask = read_mask(mask_path(tmp_path / "c", photo.name))
        assert mask[20, 30] == photo.label and mask[0, 0] == 0
        assert int((mask > 0).sum()) == 20 * 30


def new_student(path: Path) -> CoarseConfig:
    torch.manual_seed(0)
    network = StudentNetworkConfig(width=0.1, input_px=32, view_px=32)
    untrained = build_student(network)
    untrained.head.weight.data *= 50  # so that it is sure of itself
    Student(untrained, network).save(path)
    return CoarseConfig(method="student", student=CoarseStudentConfig(weights=path))


def test_make_coarse_masks__of_a_student_with_its_scores_and_again_the_same(photos, tmp_path):
    config = new_student(tmp_path / "s.safetensors")
    make_coarse_masks(task(photos, tmp_path / "c"), config, tmp_path / "soft")
    student = Student.load(tmp_path / "s.safetensors")
    for photo in photos:
        soft = read_soft(mask_path(tmp_path / "soft", photo.name))
        assert soft.shape == (16, 16) and np.ptp(soft) > 0
        mask = read_mask(mask_path(tmp_path / "c", photo.name))
        wanted = binarize(student(read_image(photo.path)), "otsu") * photo.label
        assert mask.shape == (40, 60) and np.mean(mask == wanted) > 0.97 and photo.label in mask
    first = mask_path(tmp_path / "c", photos[0].name)
    before = first.read_bytes()
    first.unlink()
    make_coarse_masks(task(photos, tmp_path / "c"), config, tmp_path / "soft")
    assert first.read_bytes() == before


def test_make_coarse_masks__scores_of_saliency_have_the_photos_size(photos, tmp_path):
    make_coarse_masks(task(photos, tmp_path / "c"), CoarseConfig(method="saliency"), tmp_path / "soft")
    soft = read_soft(mask_path(tmp_path / "soft", photos[0].name))
    assert soft.shape == (40, 60) and soft[20, 30] > 0.9 > 0.1 > soft[0, 0]


def test_make_coarse_masks__given_ones_of_any_size_and_value(photos, tmp_path):
    for photo in photos:
        write_mask(mask_path(tmp_path / "given", photo.name), np.array([[0, 9]], np.uint8))
    make_coarse_masks(
        task(photos, tmp_path / "c"),
        CoarseConfig(method="folder", folder=CoarseFolderConfig(path=tmp_path / "given")),
    )
    mask = read_mask(mask_path(tmp_path / "c", photos[1].name))
    assert mask.shape == (40, 60) and set(np.unique(mask)) == {0, 2} and (mask[:, 30:] == 2).all()


def test_enhance_masks__find_the_block(photos, tmp_path):
    make_coarse_masks(task(photos, tmp_path / "c"), CoarseConfig(method="box"))
    enhance_masks(task(photos, tmp_path / "e"), tmp_path / "c", enhancer(EnhanceConfig(), "box"))
    for photo in photos:
        mask = read_mask(mask_path(tmp_path / "e", photo.name))
        assert (mask[10:30, 15:45] == photo.label).all() and int((mask > 0).sum()) == 20 * 30


def test_enhance_masks__what_could_not_be_cut_is_kept_and_told(photos, tmp_path):
    for photo in photos:
        mask = np.zeros((40, 60), np.uint8)
        mask[0, 0] = photo.label * (photo.name != "class 1/2")
        write_mask(mask_path(tmp_path / "c", photo.name), mask)
    enhance_masks(task(photos, tmp_path / "e"), tmp_path / "c", enhancer(EnhanceConfig(), "box"))
    notes = read_notes(tmp_path / "e")
    assert notes.pop("class 1/2") == "empty"
    assert len(notes) == 3 and all(note.startswith("unchanged: ") for note in notes.values())
    assert read_mask(mask_path(tmp_path / "e", photos[0].name))[0, 0] == 1


def test_enhance_masks__from_scores_at_another_size(photos, tmp_path):
    for photo in photos:
        soft = np.full((20, 30), 0.1, np.float32)
        soft[4:16, 6:24] = 0.7
        write_soft(mask_path(tmp_path / "s", photo.name), soft)
        rough = np.zeros((40, 60), np.uint8)
        rough[8:32, 12:48] = photo.label
        write_mask(mask_path(tmp_path / "r", photo.name), rough)
    config = EnhanceConfig(start="probabilities")
    enhance_masks(
        task(photos, tmp_path / "e"), tmp_path / "r", enhancer(config, "probabilities"), SoftStart([tmp_path / "s"])
    )
    for photo in photos:
        mask = read_mask(mask_path(tmp_path / "e", photo.name))
        assert (mask[10:30, 15:45] == photo.label).all() and int((mask > 0).sum()) == 20 * 30


def test_enhance_masks__of_several_rounds_start_from_the_mean_of_their_soft_masks(photos, tmp_path):
    """The mask to enhance is that of the last round alone, which lost the object."""
    for photo in photos:
        for number, probability in (("1", 0.9), ("2", 0.9), ("3", 0.2)):
            soft = np.full((40, 60), 0.1, np.float32)
            soft[10:30, 15:45] = probability
            write_soft(mask_path(tmp_path / number, photo.name), soft)
        write_mask(mask_path(tmp_path / "r", photo.name), np.zeros((40, 60), np.uint8))
    folders = [tmp_path / number for number in ("1", "2", "3")]
    keep = enhancer(EnhanceConfig(method="none"), "mask")
    enhance_masks(task(photos, tmp_path / "all"), tmp_path / "r", keep, SoftStart(folders))
    enhance_masks(task(photos, tmp_path / "one"), tmp_path / "r", keep, SoftStart(folders[2:]))
    for photo in photos:
        mask = read_mask(mask_path(tmp_path / "all", photo.name))
        assert (mask[10:30, 15:45] == photo.label).all() and int((mask > 0).sum()) == 20 * 30
        assert not read_mask(mask_path(tmp_path / "one", photo.name)).any()


@pytest.mark.parametrize("start", ["mask", "probabilities"])
def test_enhance_masks__by_a_crf(start, photos, tmp_path):
    Image.fromarray(np.tile(np.arange(0, 250, 5, np.uint8)[:, None, None], (1, 30, 3))).save(photos[2].path)
    for photo in photos:
        height, width = (50, 30) if photo == photos[2] else (40, 60)
        rough, soft = np.zeros((height, width), np.uint8), np.full((20, 30), 0.2, np.float32)
        rough[8:28, 12:42], soft[4:14, 6:21] = photo.label * (photo != photos[1]), 0.8
        write_mask(mask_path(tmp_path / "c", photo.name), rough)
        write_soft(mask_path(tmp_path / "s", photo.name), soft)
    soft_start = SoftStart([tmp_path / "s"]) if start == "probabilities" else None
    config = EnhanceConfig(method="crf")
    enhance_masks(task(photos, tmp_path / "e"), tmp_path / "c", enhancer(config, start), soft_start)
    assert read_notes(tmp_path / "e") == {photos[1].name: "empty"}
    for photo in (photos[0], *photos[3:]):
        mask = read_mask(mask_path(tmp_path / "e", photo.name))
        assert (mask[10:30, 15:45] == photo.label).all() and int((mask > 0).sum()) == 20 * 30


def test_write_masks__leaves_finished_ones_alone(photos, tmp_path):
    write_mask(mask_path(tmp_path / "m", photos[0].name), np.zeros((40, 60), np.uint8))
    write_masks(task(photos, tmp_path / "m"), ones)
    assert [int(read_mask(mask_path(tmp_path / "m", photo.name)).max()) for photo in photos] == [0, 2, 1, 2]


def test_write_masks__processes_share_the_photos(photos, tmp_path, monkeypatch):
    monkeypatch.setattr("coarse2fine.runtime.context.barrier", lambda world: None)
    made = {0: [], 1: []}
    for rank in (1, 0):
        context = Context(World(rank, 2, 2))
        write_masks(
            task(photos, tmp_path / "m", context), lambda photo, rank=rank: made[rank].append(photo) or ones(photo)
        )
    assert made == {0: photos[0::2], 1: photos[1::2]}


def test_write_masks__notes_survive_a_kill(photos, tmp_path):
    def make(photo: Photo) -> Enhanced:
        if photo is photos[2]:
            raise RuntimeError("killed")
        return ones(photo)._replace(note="odd")

    with pytest.raises(RuntimeError, match="killed"):
        write_masks(task(photos, tmp_path / "m"), make)
    notes = write_masks(task(photos, tmp_path / "m"), ones)
    assert notes[photos[0].name] == "odd" and photos[2].name not in notes
    assert json.loads((tmp_path / "m" / "notes.json").read_text()) == notes


def test_write_masks__a_note_cut_short_by_a_full_disk_stops_nothing(photos, tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "notes-0.jsonl").write_text('{"whole": "odd"}\n{"class 1/0": "ke')
    notes = write_masks(task(photos, tmp_path / "m"), lambda photo: ones(photo)._replace(note="new"))
    assert notes == {"whole": "odd"} | {photo.name: "new" for photo in photos}


def test_filter_masks__says_why_each_photo_leaves(photos, tmp_path):
    for photo, share in zip(photos, (0.0, 0.005, 0.5, 0.9), strict=True):
        mask = np.zeros((10, 100), np.uint8)
        mask.flat[: round(1000 * share)] = photo.label
        write_mask(mask_path(tmp_path / "m", photo.name), mask)
    reasons = filter_masks(photos, tmp_path / "m", FilterConfig(), CONTEXT)
    assert list(reasons.values()) == [
        "foreground 0 % is below 1 %",
        "foreground 0.5 % is below 1 %",
        None,
        "foreground 90 % is above 80 %",
    ]
    assert find_empty(photos, tmp_path / "m", CONTEXT) == {photos[0].name}


@pytest.fixture
def judged_photos(photos, tmp_path) -> tuple[Run, Dataset]:
    """A run of two rounds: masks of the first photo vanish in round 2, the others stay; the second was not enhanced."""
    run = Run(tmp_path / "run")
    square = np.zeros((40, 60), np.uint8)
    square[10:30, 15:45] = 1
    for number in (0, 1, 2):
        for photo in photos:
            mask = square * photo.label * (number < 2 or photo is not photos[0])
            write_mask(mask_path(run.enhanced(number), photo.name), mask.astype(np.uint8))
            if number:
                write_mask(mask_path(run.refined(number), photo.name), mask.astype(np.uint8))
                soft = np.full((20, 30), 0.4 * number, np.float32)
                write_soft(mask_path(run.soft_masks(number), photo.name), soft)
        stage = Stage(run.enhanced(number), "enhancement", {"enhance.method": "grabcut", "number": number})
        write_json(run.enhanced(number) / "notes.json", {photos[1].name: "unchanged: GrabCut found no foreground"})
        write_json(run.enhanced(number) / "done.json", {"key": stage.key, "settings": dict(stage.settings)})
        write_json(run.refined(number) / "done.json", {"settings": {"soft masks": "saved"}})
    return run, Dataset(("background", "class 1", "class 2"), tuple(photos))


def test_judge_run__every_round_once(judged_photos, photos):
    run, dataset = judged_photos
    assert write_missing_quality(run, dataset, CONTEXT) == 2
    one, two = (read_quality(run.quality(number) / "quality.csv") for number in (1, 2))
    assert [round(one.score, 2) for one in one] == [0.4] * 4
    assert [round(one.score, 2) for one in two] == [0.0, 0.6, 0.6, 0.6]
    assert [one.previous_confidence for one in two] == [one.confidence for one in one]
    assert [one.agreement_enhanced_mask for one in two] == [0, None, 1, 1]
    assert read_quality(run.root / "quality.csv") == two
    assert (run.root / "quality-classes.csv").read_text().splitlines()[1:] == [
        "class 1,2,0.3000,0.3000",
        "class 2,2,0.6000,0.0000",
    ]
    assert read_json(run.quality(2) / "done.json")["quality"] == pytest.approx(0.45, abs=0.001)
    stamp = (run.quality(2) / "quality.csv").stat().st_mtime_ns
    assert write_missing_quality(run, dataset, CONTEXT) == 2
    assert (run.quality(2) / "quality.csv").stat().st_mtime_ns == stamp


def test_judge_run__nothing_where_no_round_ended(tmp_path, photos):
    assert write_missing_quality(Run(tmp_path), Dataset(("background", "x"), tuple(photos)), CONTEXT) == 0
    assert not (tmp_path / "quality.csv").exists()


def test_judge_run__unfinished_masks_are_one_sentence(judged_photos):
    run, dataset = judged_photos
    (run.refined(1) / "done.json").unlink()
    with pytest.raises(DataError, match="refined is not finished. Run fit until it ends"):
        write_missing_quality(run, dataset, CONTEXT)


def test_judge_round__scores_left_over_from_other_settings_do_not_count(judged_photos):
    run, dataset = judged_photos
    write_json(run.refined(1) / "done.json", {"settings": {}})
    assert run.soft_masks(1).is_dir()
    assert [one.confidence for one in measure_round_quality(run, dataset, 1, {}, threads=1)] == [None] * 4


def test_judge_round__agrees_with_no_enhancement_where_there_is_none(judged_photos, photos):
    run, dataset = judged_photos
    assert [one.agreement_enhanced_mask for one in measure_round_quality(run, dataset, 1, {}, threads=1)] == [
        1,
        None,
        1,
        1,
    ]
    write_json(run.enhanced(1) / "done.json", {"settings": {"enhance.method": "none"}})
    assert [one.agreement_enhanced_mask for one in measure_round_quality(run, dataset, 1, {}, threads=1)] == [None] * 4


def test_run_stage__works_once(tmp_path):
    calls = []
    stage = Stage(tmp_path / "s", "test", {"x": 1})
    run_stage(stage, CONTEXT, lambda: calls.append(1) or {"photos": 7})
    run_stage(stage, CONTEXT, lambda: calls.append(1) or {})
    assert calls == [1] and read_json(stage.folder / "done.json")["photos"] == 7


def test_run_stage__a_failure_is_not_done(tmp_path):
    def fail():
        raise DataError("no")

    stage = Stage(tmp_path / "s", "test", {})
    with pytest.raises(DataError):
        run_stage(stage, CONTEXT, fail)
    assert not stage.is_done()


def test_write_masks__opencv_keeps_its_threads_afterward(photos, tmp_path):
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(2)
        seen = []
        write_masks(task(photos, tmp_path / "m"), lambda photo: seen.append(cv2.getNumThreads()) or ones(photo))
        assert set(seen) == {1} and cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)


def test_enhance_masks__several_labels_keep_their_side_of_the_object(photos, tmp_path):
    both = Photo(photos[0].path, "both", (1, 2))
    rough = np.zeros((40, 60), np.uint8)
    rough[8:32, 12:30], rough[8:32, 30:48] = 1, 2
    write_mask(mask_path(tmp_path / "r", "both"), rough)
    enhance_masks(task([both], tmp_path / "e"), tmp_path / "r", enhancer(EnhanceConfig(), "box"))
    mask = read_mask(mask_path(tmp_path / "e", "both"))
    assert (mask[10:30, 15:30] == 1).all() and (mask[10:30, 30:45] == 2).all()
    assert int((mask > 0).sum()) == 20 * 30


def test_make_coarse_masks__several_labels_leave_the_class_open(photos, tmp_path):
    both = Photo(photos[0].path, "both", (1, 2))
    make_coarse_masks(task([both], tmp_path / "c"), CoarseConfig(method="box"))
    mask = read_mask(mask_path(tmp_path / "c", "both"))
    assert set(np.unique(mask)) == {0, 255}
    assert find_empty([both], tmp_path / "c", CONTEXT) == set()


def test_filter_masks__a_photo_without_a_label_always_trains(photos, tmp_path):
    write_mask(mask_path(tmp_path / "m", "none"), np.zeros((40, 60), np.uint8))
    negative = Photo(photos[0].path, "none", ())
    assert filter_masks([negative], tmp_path / "m", FilterConfig(), CONTEXT) == {"none": None}


def test_prepare_enhancer__says_that_it_compiles_only_if_nothing_is_compiled(monkeypatch, capsys):
    config = EnhanceConfig()
    prepare_enhancer(config, "box", 0, Console())
    capsys.readouterr()
    assert is_prepared(config)
    prepare_enhancer(config, "box", 0, Console())
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(_RepairedCache, "is_filled", lambda _self: False)
    prepare_enhancer(config, "box", 0, Console())
    assert "compiling for this machine" in capsys.readouterr().out
    prepare_enhancer(EnhanceConfig(method="none"), "box", 0, Console())
    assert capsys.readouterr().out == ""
