import csv

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as run_lengths
from pycocotools.coco import COCO

from coarse2fine.config import MaskExportConfig
from coarse2fine.export import export_masks
from coarse2fine.inference.found_objects import cut_out, list_objects
from coarse2fine.inference.predict import predict_photos
from coarse2fine.inference.result_files import PredictOptions
from coarse2fine.inference.segmenter import decide_classes


def test_list_objects__two_parts_and_a_hole():
    mask = np.zeros((8, 10), np.uint8)
    mask[0:5, 0:5], mask[2, 2], mask[6:8, 7:10] = 1, 0, 1
    mask[6, 0] = 2
    probabilities = np.full((3, 8, 10), 0.25, np.float32)
    probabilities[1, :, 5:] = 0.75
    first, second, third = list_objects(mask, probabilities)
    assert (first.label, first.score, first.box, first.area) == (1, 0.25, (0, 0, 5, 5), 24)
    assert (second.label, second.score, second.box, second.area) == (1, 0.75, (6, 7, 8, 10), 6)
    assert (third.label, third.area, third.polygon) == (2, 1, [0, 6, 0, 7, 1, 7, 1, 6])
    assert second.columns() == ("0.7500", 7, 6, 3, 2, 6, "7 6 7 8 10 8 10 6")
    filled = sum(run_lengths.decode(run_lengths.frPyObjects([one.polygon], 8, 10))[..., 0] for one in (first, second))
    assert np.array_equal(filled, mask == 1)
    assert list_objects(np.zeros((3, 3), np.uint8), probabilities) == []


@pytest.mark.parametrize("foreground_first", [True, False])
def test_cut_out__opacity_is_half_exactly_at_the_edge_of_the_mask(foreground_first):
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([0.3, 0.3, 0.3], (6, 7)).astype(np.float32).transpose(2, 0, 1)
    image = rng.integers(0, 256, (30, 41, 3), np.uint8)
    found = cut_out(image, probabilities, foreground_first)
    assert np.array_equal(found[..., :3], image)
    mask = decide_classes(probabilities, 30, 41, foreground_first)
    assert np.array_equal(found[..., 3] > 127, mask > 0)
    assert {0, 255} < {*found[..., 3].ravel().tolist()}


@pytest.fixture
def photo(tmp_path):
    image = np.zeros((96, 128, 3), np.uint8)
    image[8:40, 8:48] = image[60:90, 80:120] = (250, 0, 0)
    (tmp_path / "in").mkdir()
    Image.fromarray(image).save(tmp_path / "in" / "a.png")
    return tmp_path / "in" / "a.png"


def test_predict_photos__cutouts_and_objects_are_those_of_the_mask(color_segmenter, photo, tmp_path):
    out = tmp_path / "out"
    predict_photos(color_segmenter(), photo, out, PredictOptions(cutouts=True, instances=True, overlays=False))
    with Image.open(out / "masks" / "a.png") as stored, Image.open(out / "cutouts" / "a.png") as cut:
        mask, rgba = np.asarray(stored), np.asarray(cut)
        assert cut.mode == "RGBA"
    assert np.array_equal(rgba[..., 3] > 127, mask == 1) and np.array_equal(
        rgba[..., :3], np.asarray(Image.open(photo))
    )
    with (out / "objects.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["photo"], row["class"]) for row in rows] == [("a", "Röte")] * 2
    assert sum(int(row["area"]) for row in rows) == (mask == 1).sum()
    assert all(0.5 < float(row["score"]) <= 1 for row in rows)

    export_masks(out, tmp_path / "coco", "coco", MaskExportConfig(instances="part", val_share=0))
    coco = COCO(str(tmp_path / "coco" / "annotations" / "instances_train.json"))
    boxes = [[int(row[name]) for name in ("x", "y", "width", "height")] for row in rows]
    assert [one["bbox"] for one in coco.loadAnns(coco.getAnnIds())] == boxes


def test_predict_photos__no_further_files_without_the_options(color_segmenter, photo, tmp_path):
    predict_photos(color_segmenter(), photo, tmp_path / "out")
    assert not (tmp_path / "out" / "cutouts").exists() and not (tmp_path / "out" / "objects.csv").exists()
