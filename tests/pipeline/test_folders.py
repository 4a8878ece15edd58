import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coarse2fine.config import CoarseConfig, CoarseFolderConfig, CoarseStudentConfig, EnhanceConfig
from coarse2fine.enhance import grabcut
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.masks.png import read_mask, read_soft, write_mask, write_soft
from coarse2fine.pipeline import folders
from coarse2fine.pipeline.folders import coarse_folder, enhance_folder, merge_masks, split_classes, split_soft
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.files import read_json
from coarse2fine.types import Enhanced

BOX = CoarseConfig(method="box")
BOX_AROUND = EnhanceConfig(method="box", start="mask")
AS_IT_IS = EnhanceConfig(method="none")
NO_STUDENT = CoarseConfig(method="student", student=CoarseStudentConfig(weights="no"))


def given_masks(folder: Path) -> CoarseConfig:
    return CoarseConfig(method="folder", folder=CoarseFolderConfig(path=folder))


@pytest.fixture
def photos(tmp_path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(3):
        pixels = np.random.default_rng(index).integers(0, 255, (40, 60 + 10 * index, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.jpg")
    return folder


def test_coarse_folder__a_bad_photo_is_left_out_and_told(photos, tmp_path, capsys):
    (photos / "bad.jpg").write_text("text")
    coarse_folder([photos], tmp_path / "m", BOX, Context())
    assert {path.name for path in (tmp_path / "m").glob("*.png")} == {"0.png", "1.png", "2.png"}
    told = " ".join(capsys.readouterr().err.split())
    assert "bad.jpg: not an image" in told
    with pytest.raises(DataError, match=r"None of the 1 photos can be read; .*bad\.jpg: not an image"):
        coarse_folder([photos / "bad.jpg"], tmp_path / "other", BOX, Context())


@pytest.mark.parametrize("shape", [(60, 40), (40, 30), (20, 40), (40, 59)])
@pytest.mark.fault("coarse-folder-shape")
def test_coarse_folder__a_given_mask_of_another_shape_is_named(photos, tmp_path, shape):
    write_mask(tmp_path / "given" / "0.png", np.ones(shape, np.uint8))
    with pytest.raises(DataError, match=r"0\.png must have the size of its photo .*0\.jpg.* 60 x 40"):
        coarse_folder([photos / "0.jpg"], tmp_path / "m", given_masks(tmp_path / "given"), Context())


def test_enhance_folder__takes_the_masks_of_coarse_folder_if_all_photos_lie_in_one_sub_folder(photos, tmp_path):
    (tmp_path / "above").mkdir()
    photos.rename(tmp_path / "above" / "only")
    coarse_folder([tmp_path / "above"], tmp_path / "m", BOX, Context())
    enhance_folder(tmp_path / "above", tmp_path / "m", tmp_path / "cut", BOX_AROUND, 0, Context())
    assert len(list((tmp_path / "cut" / "only").glob("*.png"))) == 3


@pytest.mark.fault("coarse-folder-shape")
def test_coarse_folder__a_given_mask_of_another_scale_is_resized(photos, tmp_path):
    write_mask(tmp_path / "given" / "2.PNG", np.ones((13, 27), np.uint8))  # 80 x 40 reduced to a third
    write_mask(tmp_path / "given" / "._2.png", np.ones((1, 1), np.uint8))
    coarse_folder([photos / "2.jpg"], tmp_path / "m", given_masks(tmp_path / "given"), Context())
    assert read_mask(tmp_path / "m" / "2.png").shape == (40, 80)


@pytest.mark.parametrize("config", [BOX_AROUND, AS_IT_IS])
@pytest.mark.fault("enhance-box-shape")
def test_enhance_folder__every_method_compares_sizes(photos, tmp_path, config):
    write_mask(tmp_path / "given" / "0.PNG", np.ones((60, 40), np.uint8))
    with pytest.raises(DataError, match=r"0\.PNG must have the size of its photo .*40 x 60 pixels.* 60 x 40"):
        enhance_folder(photos, tmp_path / "given", tmp_path / "m", config, 0, Context())


@pytest.mark.fault("stale-photo")
def test_coarse_folder__a_replaced_photo_is_refused_and_a_touched_one_is_not(tmp_path):
    path = tmp_path / "photos" / "0.bmp"
    path.parent.mkdir()
    Image.new("RGB", (20, 16), "red").save(path)
    coarse_folder([path], tmp_path / "m", BOX, Context())
    os.utime(path)
    coarse_folder([path], tmp_path / "m", BOX, Context())
    Image.new("RGB", (20, 16), "blue").save(path)
    with pytest.raises(DataError, match="masks made with other settings .photos 1 "):
        coarse_folder([path], tmp_path / "m", BOX, Context())


def test_coarse_folder__says_which_files_it_ignores_but_not_its_own(photos, tmp_path, capsys):
    (photos / "4.HEIC").touch()
    for _ in range(2):
        coarse_folder([photos], photos / "m", BOX, Context())
        said = " ".join(capsys.readouterr().err.split())
        assert said.startswith("1 file ignored because photos end in .jpg") and said.endswith(": 1 .heic")


def test_coarse_folder__never_hands_back_the_mask_of_another_photo(photos, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    Image.new("RGB", (90, 30)).save(other / "0.jpg")
    coarse_folder([photos / "0.jpg"], tmp_path / "m", BOX, Context())
    coarse_folder([photos / "0.jpg"], tmp_path / "m", BOX, Context())
    with pytest.raises(DataError, match="masks made with other settings .photos 1 "):
        coarse_folder([other / "0.jpg"], tmp_path / "m", BOX, Context())
    assert read_mask(tmp_path / "m" / "0.png").shape == (40, 60)


def test_coarse_folder__a_repeated_call_decodes_only_photos_without_a_mask(photos, tmp_path, monkeypatch):
    coarse_folder([photos], tmp_path / "m", BOX, Context())
    (tmp_path / "m" / "1.png").unlink()
    decoded = []
    monkeypatch.setattr(folders, "find_unreadable", lambda paths: decoded.extend(paths) or [])
    coarse_folder([photos], tmp_path / "m", BOX, Context())
    assert decoded == [photos / "1.jpg"]
    (photos / "0.jpg").write_text("text")
    with pytest.raises(DataError, match="masks made with other settings .photos 3 "):
        coarse_folder([photos], tmp_path / "m", BOX, Context())


def test_coarse_folder__scores_from_which_enhance_starts(photos, tmp_path):
    coarse_folder([photos], tmp_path / "m", CoarseConfig(method="saliency"), Context(), tmp_path / "soft")
    soft = read_soft(tmp_path / "soft" / "1.png")
    assert soft.shape == (40, 70) and np.ptp(soft) > 0.5
    enhance_folder(photos, tmp_path / "soft", tmp_path / "e", EnhanceConfig(start="probabilities"), 0, Context())
    assert read_mask(tmp_path / "e" / "1.png").shape == (40, 70)
    with pytest.raises(ConfigError, match="have no soft masks"):
        coarse_folder(
            [photos],
            tmp_path / "n",
            given_masks(photos),
            Context(),
            tmp_path / "s",
        )


def test_coarse_folder__a_wrong_student_leaves_no_trace(photos, tmp_path):
    with pytest.raises(DataError, match="There is no student"):
        coarse_folder(
            [photos],
            tmp_path / "m",
            NO_STUDENT,
            Context(),
        )
    assert not (tmp_path / "m").exists()


def test_coarse_folder__its_own_results_are_no_photos(photos):
    for _ in range(2):
        coarse_folder([photos], photos / "masks", BOX, Context())
    assert len(list((photos / "masks").rglob("*.png"))) == 3


def test_coarse_folder__white_objects_of_other_tools(photos, tmp_path):
    given = tmp_path / "given"
    for index in range(3):
        mask = np.zeros((40, 60 + 10 * index), np.uint8)
        mask[10:30, 20:40] = 255
        given.mkdir(exist_ok=True)
        Image.fromarray(mask).save(given / f"{index}.png")
    coarse_folder([photos], tmp_path / "m", given_masks(given), Context())
    assert read_mask(tmp_path / "m" / "1.png").sum() == 400
    enhance_folder(photos, given, tmp_path / "e", AS_IT_IS, 0, Context())
    assert np.unique(read_mask(tmp_path / "e" / "1.png"), return_counts=True)[1].tolist() == [2400, 400]


def test_enhance_folder__refuses_other_rough_masks_in_the_same_folder(photos, tmp_path):
    for index in range(3):
        write_mask(tmp_path / "m" / f"{index}.png", np.ones((40, 60 + 10 * index), np.uint8))
    enhance_folder(photos, tmp_path / "m", tmp_path / "e", AS_IT_IS, 0, Context())
    write_mask(tmp_path / "m" / "0.png", np.zeros((40, 60), np.uint8))
    with pytest.raises(DataError, match="masks made with other settings .masks from folder"):
        enhance_folder(photos, tmp_path / "m", tmp_path / "e", AS_IT_IS, 0, Context())


def test_enhance_folder__from_scores(photos, tmp_path, monkeypatch):
    image = np.full((40, 60, 3), (60, 90, 160), np.uint8)
    image[10:30, 15:45] = (230, 160, 20)
    Image.fromarray(image).save(photos / "0.png")
    (photos / "0.jpg").unlink()
    soft = np.zeros((20, 30), np.float32)
    soft[4:16, 6:24] = 0.6
    write_soft(tmp_path / "scores" / "0.png", soft)
    monkeypatch.setattr(grabcut, "CERTAIN_PROBABILITY", 0)
    config = EnhanceConfig(start="probabilities")
    enhance_folder(photos, tmp_path / "scores", tmp_path / "e", config, 0, Context())
    mask = read_mask(tmp_path / "e" / "0.png")
    assert (mask[10:30, 15:45] == 1).all() and mask.sum() == 20 * 30
    write_mask(tmp_path / "classes" / "0.png", np.ones((40, 60), np.uint8))
    with pytest.raises(DataError, match=r"0\.png must be a soft mask"):
        enhance_folder(photos, tmp_path / "classes", tmp_path / "f", config, 0, Context())


@pytest.mark.parametrize("method", ["grabcut", "crf"])
def test_enhance_folder__several_objects_in_a_photo(method, photos, tmp_path):
    for index in range(3):
        image = np.full((40, 60 + 10 * index, 3), (60, 90, 160), np.uint8)
        image[5:20, 5:20], image[10:30, 30:50] = (230, 160, 20), (20, 200, 30)
        Image.fromarray(image).save(photos / f"{index}.png")
        (photos / f"{index}.jpg").unlink()
        mask = np.zeros(image.shape[:2], np.uint8)
        mask[3:22, 3:22], mask[8:32, 28:52] = 4, 7
        write_mask(tmp_path / "m" / f"{index}.png", mask if index < 2 else np.zeros_like(mask))
    enhance_folder(photos, tmp_path / "m", tmp_path / "e", EnhanceConfig(method=method), 0, Context())
    expected = np.zeros((40, 70), np.uint8)
    expected[5:20, 5:20], expected[10:30, 30:50] = 4, 7
    assert (read_mask(tmp_path / "e" / "1.png") == expected).all()
    assert read_json(tmp_path / "e" / "notes.json") == {"2": "empty"}


def test_enhance_folder__a_mask_of_another_size_is_named(photos, tmp_path):
    for index in range(3):
        write_mask(tmp_path / "m" / f"{index}.png", np.ones((40, 60), np.uint8))
    with pytest.raises(DataError, match=r"1\.png must have the size of its photo .*1\.jpg, but has 60 x 40"):
        enhance_folder(photos, tmp_path / "m", tmp_path / "e", EnhanceConfig(), 0, Context())


def test_split_soft__likelier_than_not_in_the_photo_s_size():
    soft = np.array([[0.2, 0.8]], np.float32)
    rough, kept = split_soft(soft, 2, 4)[1]
    assert rough.tolist() == [[0, 0, 1, 1]] * 2 and kept is soft
    assert split_soft(np.array([[0, 1]], np.float32), 1, 2)[1][0].tolist() == [[0, 1]]


def test_split_soft__class_indices_are_refused():
    with pytest.raises(DataError, match="holds 255 and otherwise no value above 2, as masks of class indices do"):
        split_soft(np.array([[0, 1, 2, 255]], np.float32) / 255, 1, 4)


def test_split_classes__by_index():
    mask = np.array([[0, 3, 3, 9, 255]], np.uint8)
    assert {label: part.tolist() for label, (part, _) in split_classes(mask).items()} == {
        3: [[0, 1, 1, 0, 0]],
        9: [[0, 0, 0, 1, 0]],
    }
    assert split_classes(np.array([[0, 255]], np.uint8))[255][0].tolist() == [[0, 1]]


def test_merge_masks__the_smaller_object_lies_on_top():
    large, small = np.array([[1, 1, 1, 0]], np.uint8), np.array([[0, 1, 0, 0]], np.uint8)
    made = merge_masks({2: Enhanced(small, "grown"), 1: Enhanced(large, None)}, 1, 4)
    assert made.mask.tolist() == [[1, 2, 1, 0]] and made.note == "grown"
    nothing = merge_masks({}, 1, 4)
    assert nothing.note == "empty" and not nothing.mask.any()


def test_coarse_folder__auto_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ConfigError, match=r"coarse\.method = auto is only for fit"):
        coarse_folder([tmp_path], tmp_path / "masks", CoarseConfig(method="auto"), Context())
    assert not (tmp_path / "masks").exists()
