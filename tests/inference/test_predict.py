import csv
import os
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from coarse2fine.config import PredictConfig
from coarse2fine.data import read_image
from coarse2fine.errors import DataError
from coarse2fine.evaluation.evaluate import evaluate_network
from coarse2fine.inference.predict import predict_photos
from coarse2fine.inference.result_files import PredictOptions
from coarse2fine.inference.torch_segmenter import TorchSegmenter
from coarse2fine.masks.png import read_mask, write_mask
from coarse2fine.runtime.files import read_json


@pytest.fixture
def segmenter(color_segmenter) -> TorchSegmenter:
    return color_segmenter()


@pytest.fixture
def photos(tmp_path):
    red = np.zeros((96, 128, 3), np.uint8)
    red[:, :64] = (250, 0, 0)
    for name in ("x/a.png", "x/a.webp", "y/b <i>.png"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(red if "a" in path.stem else np.zeros_like(red)).save(path)
    return tmp_path / "in"


def test_predict_photos__masks_overlays_probabilities_and_table(segmenter, photos, tmp_path):
    out = tmp_path / "out"
    assert predict_photos(segmenter, [photos], out, PredictOptions(batch_size=2, probabilities=True)) == []
    mask = read_mask(out / "masks" / "x" / "a.png.png")
    assert mask.shape == (96, 128) and (mask[:, :60] == 1).all() and (mask[:, 68:] == 0).all()
    with Image.open(out / "overlays" / "y" / "b <i>.jpg") as overlay:
        assert overlay.size == (128, 96)
    scores = np.load(out / "probabilities" / "x" / "a.webp.npz")["probabilities"]
    assert scores.shape == (2, 64, 64) and scores.dtype == np.float16
    with (out / "found.csv").open(encoding="utf-8", newline="") as file:
        rows = sorted(csv.reader(file))
    assert ["x/a.png", "Röte", "0.5000"] in rows and ["y/b <i>", "background", "1.0000"] in rows
    assert read_json(out / "classes.json") == ["background", "Röte"]
    assert read_json(out / "photos.json")["y/b <i>"] == str(photos / "y" / "b <i>.png")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_predict_photos__names_that_no_mask_can_have(segmenter, tmp_path):
    for name in ("a\udcff.png", f"{'x' * 251}.png", f"{'x' * 251}.jpg"):
        Image.new("RGB", (40, 30)).save(tmp_path / name)
    out = tmp_path / "out"
    assert predict_photos(segmenter, [tmp_path], out, PredictOptions(probabilities=True), None) == []
    listed = read_json(out / "photos.json")
    assert len(listed) == 3 and all(os.path.exists(path) for path in listed.values())  # noqa: PTH110
    for folder, ending in (("masks", "png"), ("overlays", "jpg"), ("probabilities", "npz")):
        assert {path.name for path in (out / folder).iterdir()} == {f"{name}.{ending}" for name in listed}


def test_predict_photos__a_bad_photo_is_skipped_and_returned(segmenter, photos, tmp_path):
    (photos / "x" / "bad.jpg").write_text("text")
    skipped = predict_photos(segmenter, str(photos), str(tmp_path / "out"), PredictOptions(overlays=False))
    assert [(item.path.name, item.reason.split(" (")[0]) for item in skipped] == [("bad.jpg", "not an image")]
    assert len(list((tmp_path / "out" / "masks").rglob("*.png"))) == 3
    assert not (tmp_path / "out" / "overlays").exists()


def test_predict_photos__only_bad_photos_is_an_error(segmenter, tmp_path):
    (tmp_path / "bad.jpg").write_text("text")
    with pytest.raises(DataError, match="None of the 1 photos can be read"):
        predict_photos(segmenter, [tmp_path / "bad.jpg"], tmp_path / "out")


@pytest.fixture
def color_edge(tmp_path):
    """A photo whose red ends at 50 of 128 pixels, where the network's 8 px are too coarse to tell."""
    red = np.zeros((96, 128, 3), np.uint8)
    red[:, :50] = (250, 0, 0)
    path = tmp_path / "in" / "edge.png"
    path.parent.mkdir()
    Image.fromarray(red).save(path)
    return path


def test_predict_photos__a_crf_moves_masks_to_the_edges_of_the_photo(segmenter, color_edge, tmp_path):
    coarse = replace(segmenter, size_px=32)
    sharp = coarse.with_settings(PredictConfig(crf=True))
    for name, one in (("c", coarse), ("s", sharp)):
        predict_photos(one, color_edge, tmp_path / name, PredictOptions(probabilities=True))
    truth = np.broadcast_to(np.arange(128) < 50, (96, 128))
    assert (read_mask(tmp_path / "s" / "masks" / "edge.png") == truth).all()
    assert (read_mask(tmp_path / "c" / "masks" / "edge.png") != truth).any()
    kept = [np.load(tmp_path / name / "probabilities" / "edge.npz")["probabilities"] for name in "cs"]
    assert (kept[0] == kept[1]).all() and kept[0].shape == (2, 32, 32)
    assert (sharp.predict(read_image(color_edge)) == truth).all()
    assert sharp.predict_probabilities(read_image(color_edge)).shape == (2, 96, 128)


def test_evaluate_network__with_and_without_a_crf(segmenter, color_edge, tmp_path):
    truth = np.zeros((96, 128), np.uint8)
    truth[:, :50] = 1
    write_mask(tmp_path / "truth" / "edge.png", truth)
    coarse = replace(segmenter, size_px=32)
    without, by_crf = (
        evaluate_network(replace(coarse, crf=coarse.crf.with_switch(on)), color_edge.parent, tmp_path / "truth", 1)
        for on in (False, True)
    )
    assert without.mean_iou < by_crf.mean_iou == 1


def test_predict_and_evaluate__a_crf_in_batches_like_one_by_one(segmenter, tmp_path, monkeypatch):
    for number, width in enumerate((128, 40, 96, 128, 64)):
        red = np.zeros((96 - 7 * number, width, 3), np.uint8)
        red[:, : 5 + 9 * number] = (250, 0, 0)
        path = tmp_path / "in" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(red).save(path)
        write_mask(tmp_path / "truth" / f"{number}.png", (red[..., 0] > 0).astype(np.uint8))
    coarse = replace(segmenter, size_px=32)
    sharp = coarse.with_settings(PredictConfig(crf=True))
    results = {}
    for name, one in (("network", coarse), ("alone", sharp), ("batches", sharp)):
        monkeypatch.setattr(TorchSegmenter, "crf_in_batches", name == "batches")
        predict_photos(one, [tmp_path / "in"], tmp_path / name, PredictOptions(batch_size=3, probabilities=True))
        masks = [read_mask(tmp_path / name / "masks" / f"{number}.png").tolist() for number in range(5)]
        figures = evaluate_network(one, tmp_path / "in", tmp_path / "truth", 2)
        results[name] = masks, (tmp_path / name / "found.csv").read_text(), figures.matrix.tolist()
        assert np.load(tmp_path / name / "probabilities" / "0.npz")["probabilities"].shape == (2, 32, 32)
    assert results["alone"] == results["batches"]
    assert all(one != other for one, other in zip(results["network"], results["alone"], strict=True))


def test_predict_photos__its_own_results_are_no_photos(segmenter, photos):
    for _ in range(2):
        predict_photos(segmenter, [photos], photos / "found")
    assert len(list((photos / "found" / "masks").rglob("*.png"))) == 3


def test_predict_photos__too_large_photos_are_skipped_and_large_overlays_reduced(segmenter, tmp_path):
    Image.new("RGB", (2000, 1000), (250, 0, 0)).save(tmp_path / "large.png")
    Image.new("RGB", (2100, 1000), (250, 0, 0)).save(tmp_path / "larger.png")
    skipped = predict_photos(segmenter, [tmp_path], tmp_path / "out", PredictOptions(max_megapixels=2.0))
    assert [item.path.name for item in skipped] == ["larger.png"] and "at most 2 are allowed" in skipped[0].reason
    assert read_mask(tmp_path / "out" / "masks" / "large.png").shape == (1000, 2000)
    with Image.open(tmp_path / "out" / "overlays" / "large.jpg") as overlay:
        assert overlay.size == (1600, 800)
