import io
import os
import shutil

import numpy as np
import pytest
from PIL import Image
from rich.console import Console as RichConsole
from tests.conftest import write_image

from coarse2fine.errors import DataError
from coarse2fine.evaluation.class_names import read_class_names
from coarse2fine.evaluation.evaluate import evaluate_masks, evaluate_network, evaluate_round, evaluate_training_masks
from coarse2fine.evaluation.ground_truth import GroundTruth, open_ground_truth
from coarse2fine.evaluation.pairing import pair_by_name, pair_folders
from coarse2fine.evaluation.result import EvaluationResult
from coarse2fine.masks.png import mask_path, write_mask
from coarse2fine.runtime.files import write_json
from coarse2fine.types import FOREGROUND_CLASSES, IGNORE, Dataset, Photo

CLASSES = ("background", "cat", "dog")


def mask_of(rows) -> np.ndarray:
    return np.array(rows, np.uint8)


@pytest.fixture
def folders(tmp_path):
    write_mask(tmp_path / "out" / "a.png", mask_of([[0, 1], [2, 2]]))
    write_mask(tmp_path / "ground_truth" / "a.png", mask_of([[0, 1], [1, IGNORE]]))
    write_mask(tmp_path / "out" / "b.png", mask_of([[0, 0]]))
    write_mask(tmp_path / "ground_truth" / "b.png", mask_of([[0, 2]]))
    return tmp_path / "out", tmp_path / "ground_truth"


def test_evaluate_masks__one_matrix_over_the_split(folders):
    result = evaluate_masks(*map(str, folders), CLASSES, threads=2)
    assert result.matrix.tolist() == [[2, 0, 0], [0, 1, 1], [1, 0, 0]]
    assert result.photos == 2
    figures = result.as_dict()
    assert figures["iou"] == {"background": pytest.approx(2 / 3, abs=1e-5), "cat": 0.5, "dog": 0.0}
    assert figures["mean_iou"] == pytest.approx((2 / 3 + 0.5) / 3, abs=1e-5)
    assert figures["pixel_accuracy"] == 0.6
    assert result.as_table().row_count == 5


def test_evaluate_masks__names_the_file_that_does_not_fit(folders):
    out, ground_truth = folders
    write_mask(ground_truth / "b.png", mask_of([[0, 3]]))
    with pytest.raises(DataError, match=r"b\.png: With 3 classes the ground truth must hold class indices 0 to 2"):
        evaluate_masks(out, ground_truth, CLASSES, 1)
    write_mask(ground_truth / "b.png", mask_of([[0], [0]]))
    with pytest.raises(DataError, match=r"b\.png: Prediction and ground truth must have the same shape"):
        evaluate_masks(out, ground_truth, CLASSES, 1)


def test_evaluate_masks__a_missing_prediction_is_an_error(folders):
    out, ground_truth = folders
    (out / "b.png").unlink()
    with pytest.raises(DataError, match=r"1 of 2 have none; the first is b\.png"):
        evaluate_masks(out, ground_truth, CLASSES, 1)


def test_pair_by_name__by_relative_name(tmp_path):
    write_mask(tmp_path / "ground_truth" / "x" / "a.png", mask_of([[0]]))
    photos = [tmp_path / "photos" / "x" / "a.jpg", tmp_path / "photos" / "y" / "a.jpg"]
    assert pair_by_name(photos, tmp_path / "photos", tmp_path / "ground_truth") == [
        (photos[0], tmp_path / "ground_truth" / "x" / "a.png")
    ]
    with pytest.raises(DataError, match="must hold masks as PNG files"):
        pair_by_name(photos, tmp_path / "photos", tmp_path / "photos")


def test_pair_by_name__same_name_with_two_endings(tmp_path):
    photos = [tmp_path / "a.jpg", tmp_path / "a.png"]
    for photo in photos:
        write_mask(mask_path(tmp_path / "masks", photo.name), mask_of([[0]]))
    assert [photo for photo, _ in pair_by_name(photos, tmp_path, tmp_path / "masks")] == photos


def test_evaluate_training_masks__only_the_labeled_object_counts(tmp_path):
    photos = [Photo(tmp_path / "a.jpg", "cat/a", (1,)), Photo(tmp_path / "b.jpg", "cat/b", (1,))]
    write_mask(mask_path(tmp_path / "ground_truth", "cat/a"), mask_of([[1, 1, 2, IGNORE]]))
    write_mask(mask_path(tmp_path / "masks", "cat/a"), mask_of([[1, 0, 1, 1]]))
    folders = [tmp_path / "masks", tmp_path / "ground_truth"]  # as a mask, the ground truth has one pixel too many
    ious, count = evaluate_training_masks(photos, folders, tmp_path / "ground_truth", 1)
    assert (ious, count) == (pytest.approx([1 / 3, 2 / 3]), 1)
    ious, count = evaluate_training_masks(photos[1:], folders, tmp_path / "ground_truth", 1)
    assert np.isnan(ious).tolist() == [True, True] and count == 0


def test_evaluate_training_masks__mean_over_several_labels_and_no_negatives(tmp_path):
    photos = [Photo(tmp_path / "a.jpg", "a", (1, 2)), Photo(tmp_path / "n.jpg", "n", ())]
    write_mask(mask_path(tmp_path / "ground_truth", "a"), mask_of([[1, 1, 2, 0]]))
    write_mask(mask_path(tmp_path / "ground_truth", "n"), mask_of([[0, 0, 0, 0]]))
    write_mask(mask_path(tmp_path / "coarse", "a"), mask_of([[IGNORE, IGNORE, IGNORE, IGNORE]]))
    write_mask(mask_path(tmp_path / "refined", "a"), mask_of([[1, 2, 2, 0]]))
    folders = [tmp_path / "coarse", tmp_path / "refined"]
    ious, count = evaluate_training_masks(photos, folders, tmp_path / "ground_truth", 1)
    assert (ious, count) == (pytest.approx([3 / 4, 1 / 2]), 1)


def test_open_ground_truth__recognizes_both_kinds(tmp_path):
    photo = Photo(tmp_path / "a.jpg", "cat/a", (1,))
    dataset = Dataset(CLASSES, (photo,))
    write_mask(mask_path(tmp_path / "own", "cat/a"), mask_of([[1]]))
    write_mask(tmp_path / "val" / "masks" / "v.png", mask_of([[1]]))
    (tmp_path / "val" / "images").mkdir()
    Image.new("RGB", (1, 1)).save(tmp_path / "val" / "images" / "v.jpg")
    opened = open_ground_truth([tmp_path / "own", tmp_path / "val"], dataset)
    assert opened.masks == tmp_path / "own"
    assert opened.pairs == pair_folders(tmp_path / "val" / "images", tmp_path / "val" / "masks")
    assert opened.pairs.names == ("v",)
    with pytest.raises(DataError, match="must hold 'images' and 'masks', or masks named like the photos"):
        open_ground_truth([tmp_path], dataset)


def test_open_ground_truth__fingerprint_of_content_not_of_places(tmp_path):
    dataset = Dataset(CLASSES, (Photo(tmp_path / "a.jpg", "cat/a", (1,)),))
    paths = [tmp_path / "own", tmp_path / "val"]
    files = [mask_path(paths[0], "cat/a"), paths[1] / "masks" / "v.png", paths[1] / "images" / "v.bmp"]
    write_mask(files[0], mask_of([[1, 0]]))
    write_mask(files[1], mask_of([[1, 0]]))
    files[2].parent.mkdir()
    Image.new("RGB", (2, 1)).save(files[2])
    before = open_ground_truth(paths, dataset).fingerprint
    moved = [shutil.copytree(path, tmp_path / "moved" / path.name) for path in paths]
    assert open_ground_truth(moved, dataset).fingerprint == before
    for file, change in [
        (files[0], lambda: write_mask(files[0], mask_of([[0, 1]]))),
        (files[1], lambda: write_mask(files[1], mask_of([[0, 1]]))),
        (files[2], lambda: Image.new("RGB", (2, 1), "red").save(files[2])),
    ]:
        content, status = file.read_bytes(), file.stat()
        change()
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert file.stat().st_size == status.st_size
        assert open_ground_truth(paths, dataset).fingerprint != before
        file.write_bytes(content)  # at another time, with the same content
        assert open_ground_truth(paths, dataset).fingerprint == before


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.fault("mask-size")
def test_open_ground_truth__a_mask_of_another_size_than_its_photo(tmp_path, own):
    photo = tmp_path / "photos" / "cat" / "a.jpg"
    write_image(photo, np.zeros((10, 16, 3), np.uint8))
    write_image(tmp_path / "val" / "images" / "a.jpg", np.zeros((10, 16, 3), np.uint8))
    write_mask(tmp_path / "own" / "cat" / "a.png", np.ones((10, 8), np.uint8))
    write_mask(tmp_path / "val" / "masks" / "a.png", np.ones((10, 8), np.uint8))
    with pytest.raises(DataError, match=r"a\.png must have the size of its photo .*8 x 10 pixels.*16 x 10"):
        open_ground_truth([tmp_path / ("own" if own else "val")], Dataset(CLASSES, (Photo(photo, "cat/a", (1,)),)))


@pytest.mark.fault("mask-size")
def test_evaluate_network__a_mask_of_another_size_than_its_photo(color_segmenter, tmp_path):
    write_image(tmp_path / "photos" / "a.png", np.zeros((10, 16, 3), np.uint8))
    write_mask(tmp_path / "masks" / "a.png", np.ones((10, 8), np.uint8))
    with pytest.raises(DataError, match=r"a\.png must have the size of its photo .*8 x 10 pixels.*16 x 10"):
        evaluate_network(color_segmenter(), tmp_path / "photos", tmp_path / "masks", 1)


def test_evaluate_network__a_photo_that_exif_turns(color_segmenter, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (16, 10), "red").save(tmp_path / "photos" / "a.jpg", exif=exif)
    write_mask(tmp_path / "masks" / "a.png", np.ones((16, 10), np.uint8))
    assert evaluate_network(color_segmenter(), tmp_path / "photos", tmp_path / "masks", 1).as_dict()["mean_iou"] == 1
    write_mask(tmp_path / "masks" / "a.png", np.ones((10, 16), np.uint8))
    with pytest.raises(DataError, match=r"a\.png must have the size of its photo .*after the EXIF flag of the photo"):
        evaluate_network(color_segmenter(), tmp_path / "photos", tmp_path / "masks", 1)


def test_open_ground_truth__white_objects_of_several_classes(tmp_path):
    write_image(tmp_path / "val" / "images" / "a.jpg", np.zeros((10, 16, 3), np.uint8))
    write_mask(tmp_path / "val" / "masks" / "a.png", np.full((10, 16), 255, np.uint8))
    photos = (Photo(tmp_path / "a.jpg", "cat/a", (1,)),)
    with pytest.raises(DataError, match=r"no class occurs in .*a\.png .* only 0 and 255, .* 1 to 2 \(cat, dog\)"):
        open_ground_truth([tmp_path / "val"], Dataset(CLASSES, photos))
    assert open_ground_truth([tmp_path / "val"], Dataset(CLASSES[:2], photos)).pairs


WHITE, ONE = mask_of([[0, 255, 255]]), mask_of([[0, 0, 1]])


@pytest.mark.parametrize("classes", [None, ("background", "cat"), FOREGROUND_CLASSES])
@pytest.mark.parametrize("predicted, actual", [(ONE, WHITE), (WHITE, ONE)])
@pytest.mark.fault("truth-0-255")
def test_evaluate_masks__white_is_the_only_class(tmp_path, classes, predicted, actual):
    write_mask(tmp_path / "out" / "a.png", predicted)
    write_mask(tmp_path / "ground_truth" / "a.png", actual)
    assert (
        list(evaluate_masks(tmp_path / "out", tmp_path / "ground_truth", classes).as_dict()["iou"].values())
        == [0.5] * 2
    )


def test_evaluate_masks__white_objects_of_several_classes(tmp_path):
    write_mask(tmp_path / "out" / "a.png", ONE)
    write_mask(tmp_path / "ground_truth" / "a.png", WHITE)
    with pytest.raises(DataError, match=r"no class occurs in .*ground_truth"):
        evaluate_masks(tmp_path / "out", tmp_path / "ground_truth", CLASSES)


@pytest.mark.fault("mask-upper-case")
def test_evaluate_masks__endings_in_upper_case_count_and_hidden_files_do_not(tmp_path):
    for folder in ("out", "ground_truth"):
        write_mask(tmp_path / folder / "a.png", ONE)
        write_mask(tmp_path / folder / "b.PNG", ONE)
        (tmp_path / folder / "._a.png").write_bytes(b"\0\5\x16\7Mac OS X")
    assert evaluate_masks(tmp_path / "out", tmp_path / "ground_truth").photos == 2


@pytest.mark.fault("truth-0-255")
def test_evaluate_training_masks__white_is_the_class_of_the_photo(tmp_path):
    photos = [Photo(tmp_path / "a.jpg", "dog/a", (2,)), Photo(tmp_path / "b.jpg", "dog/b", (1, 2))]
    for photo in photos:
        write_mask(mask_path(tmp_path / "ground_truth", photo.name), WHITE)
        write_mask(mask_path(tmp_path / "masks", photo.name), 2 * ONE)
    ious, count = evaluate_training_masks(photos, [tmp_path / "masks"], tmp_path / "ground_truth", 1)
    assert (ious, count) == ([0.5], 1)


def test_open_ground_truth__rejects_classes_that_are_not_in_the_data_set(tmp_path):
    write_mask(tmp_path / "val" / "masks" / "v.png", mask_of([[7]]))
    (tmp_path / "val" / "images").mkdir()
    Image.new("RGB", (1, 1)).save(tmp_path / "val" / "images" / "v.jpg")
    dataset = Dataset(CLASSES, (Photo(tmp_path / "a.jpg", "cat/a", (1,)),))
    with pytest.raises(DataError, match=r"v\.png holds class index 7, but the data set has the classes 0 to 2"):
        open_ground_truth([tmp_path / "val"], dataset)


def test_evaluate_round__without_ground_truth_no_metrics(tmp_path):
    photo = Photo(tmp_path / "a.jpg", "cat/a", (1,))
    for folder in ("ground_truth", "coarse"):
        write_mask(mask_path(tmp_path / folder, "cat/a"), mask_of([[1, 0]]))
    assert evaluate_round(GroundTruth(), [photo], {"coarse": tmp_path / "coarse"}, None, 1) == {}
    figures = evaluate_round(
        GroundTruth(masks=tmp_path / "ground_truth"), [photo], {"coarse": tmp_path / "coarse"}, None, 1
    )
    assert figures == {"training_masks_iou": {"coarse": 1.0}, "training_masks_measured": 1}


def test_read_class_names__from_text_json_or_the_masks(tmp_path, folders):
    (tmp_path / "names.txt").write_text("background\nHund\n\nKatze 2\n", encoding="utf-8")
    assert read_class_names(tmp_path / "names.txt", *folders) == ("background", "Hund", "Katze 2")
    assert read_class_names(None, *folders) == ("background", "1", "2")
    write_json(folders[0] / "classes.json", list(CLASSES))
    assert read_class_names(None, *folders) == CLASSES
    with pytest.raises(DataError, match=r"class names .*gone\.txt cannot be read"):
        read_class_names(tmp_path / "gone.txt", *folders)


@pytest.mark.parametrize(
    "name, text",
    [("c.txt", "\ufeffsep=;\n\nbackground;\ncafe\u0301 \n"), ("c.json", '\ufeff["background", "caf\u00e9\u200b"]')],
)
@pytest.mark.fault("bom")
def test_read_class_names__as_other_programs_write_them(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_class_names(tmp_path / name, tmp_path, tmp_path) == ("background", "caf\u00e9")


@pytest.mark.parametrize(
    "name, text, encoding, message",
    [
        ("c.txt", "background\ncat", "utf-16", "cannot be read .* UTF-8 text file with one name per line"),
        ("c.txt", "background\nb\u00e9b\u00e9", "latin-1", "cannot be read .* UTF-8 text file with one name per line"),
        ("c.txt", "background\ncat\ncat\u200b", "utf-8", "distinct, background first, but 'cat' occurs twice"),
        ("c.txt", "\n", "utf-8", "but there is none"),
        ("c.json", '{"1": "cat"}', "utf-8", "must be a UTF-8 text file .* or a JSON list"),
        ("c.json", '"cat"', "utf-8", "must be a UTF-8 text file .* or a JSON list"),
    ],
)
def test_read_class_names__refuses_other_files(tmp_path, name, text, encoding, message):
    (tmp_path / name).write_text(text, encoding=encoding)
    with pytest.raises(DataError, match=message):
        read_class_names(tmp_path / name, tmp_path, tmp_path)


def test_evaluation_result__class_names_are_not_markup():
    table = EvaluationResult(("background", "cat [wild]", "[/b]"), np.eye(3, dtype=np.int64), 1).as_table()
    shown = io.StringIO()
    RichConsole(file=shown, width=80).print(table)
    assert "cat [wild]" in shown.getvalue() and "[/b]" in shown.getvalue()


def test_open_ground_truth__an_unreadable_photo_is_an_error(tmp_path):
    (tmp_path / "val" / "images").mkdir(parents=True)
    (tmp_path / "val" / "images" / "a.jpg").write_text("text")
    write_mask(tmp_path / "val" / "masks" / "a.png", np.ones((20, 30), np.uint8))
    dataset = Dataset(("background", "cat"), (Photo(tmp_path / "b.jpg", "cat/b", (1,)),), ())
    with pytest.raises(DataError, match=r"must be readable, but .*a\.jpg is not .not an image"):
        open_ground_truth([tmp_path / "val"], dataset)


@pytest.mark.parametrize(("actual", "expected"), [([[0, 2], [3, IGNORE]], 0.5), ([[0, IGNORE], [IGNORE, 0]], 1.0)])
def test_evaluate_training_masks__any_object_is_foreground(tmp_path, actual, expected):
    photos = [Photo(tmp_path / "a.jpg", "a", (1,))]
    write_mask(tmp_path / "out" / "a.png", mask_of([[0, 1], [expected != 0.5, 0]]))
    write_mask(tmp_path / "ground_truth" / "a.png", mask_of(actual))
    found = evaluate_training_masks(photos, [tmp_path / "out"], tmp_path / "ground_truth", 1, any_class=True)
    assert found == ([expected], 1)


def test_evaluate_masks__foreground_against_any_classes(tmp_path):
    write_mask(tmp_path / "out" / "a.png", mask_of([[0, 1], [1, 1]]))
    write_mask(tmp_path / "ground_truth" / "a.png", mask_of([[0, 5], [IGNORE, 0]]))
    result = evaluate_masks(tmp_path / "out", tmp_path / "ground_truth", FOREGROUND_CLASSES, 1)
    assert result.matrix.tolist() == [[1, 1], [0, 1]]
    assert result.photo_iou == 0.5
