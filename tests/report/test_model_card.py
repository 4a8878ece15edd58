import os
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from coarse2fine.errors import DataError
from coarse2fine.masks.png import write_mask
from coarse2fine.report.model_card import make_model_card
from coarse2fine.runtime.files import write_json, write_text


@pytest.fixture
def run(draw_run, small_segmenter) -> Path:
    """A finished run of two rounds with 12 photos of Röte and 2 of blue, measured on 7 other photos."""
    drawn, dataset = draw_run({"Röte": [f"Röte/{n}" for n in range(12)], "blue": ["blue/0", "blue/1"]})
    small_segmenter.save(drawn.model)
    usable = {photo.name: "1 1" for photo in dataset.photos}
    record = {
        "data": "/secret/photos",
        "classes": list(dataset.classes),
        "usable": usable,
        "skipped": {"/secret/x": "no"},
    }
    write_json(drawn.photos, record)
    write_text(
        drawn.root / "quality-classes.csv", "class,photos,mean_score,score_std\r\nRöte,12,.5,.1\r\nblue,2,.5,.1\r\n"
    )
    metrics = {
        "photos": 7,
        "mean_iou": 0.63,
        "pixel_accuracy": 0.9,
        "iou": {"background": 0.9, "Röte": 0.5, "blue": 0.25},
    }
    write_json(drawn.metrics(2), {"round": 2, "left_out": 1, "evaluation": metrics})
    return drawn.root


def read_metadata(card: str) -> dict:
    return yaml.safe_load(card.split("---\n")[1])


def section(card: str, title: str) -> str:
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", card, re.M | re.S)[1]


def test_make_model_card__tells_data_classes_figures_and_limits(run):
    card = make_model_card(run, "cc-by-4.0", "me/pets")
    assert "| 1 | Röte | 12 | 0.500 |\n| 2 | blue | 2 | 0.250 |\n" in section(card, "Classes")
    assert "14 photos with labels" in section(card, "Training data") and "1 more files" in section(
        card, "Training data"
    )
    assert "mIoU **0.630** on 7 photos" in section(card, "Figures") and "| 2 | – | 0.630 |" in section(card, "Figures")
    limits = section(card, "Limits")
    assert (
        "finds badly (IoU below 0.3): blue (0.25)." in limits and "fewer than 10 training photos: blue (2)." in limits
    )
    assert 'from_pretrained("me/pets")' in card and "`cc-by-4.0`" in section(card, "License")


def test_make_model_card__metadata_is_that_of_the_hub(run):
    found = read_metadata(make_model_card(run, "cc-by-4.0", "me/pets"))
    assert found["license"] == "cc-by-4.0" and found["library_name"] == "coarse2fine"
    assert found["pipeline_tag"] == "image-segmentation" and "weakly-supervised" in found["tags"]
    (result,) = found["model-index"][0]["results"]
    assert found["model-index"][0]["name"] == "pets" and result["metrics"][0]["value"] == 0.63


def test_make_model_card__has_no_path_of_the_machine(run, tmp_path):
    card = make_model_card(run)
    assert "/secret" not in card and str(tmp_path) not in card
    assert "license: unknown" in card and "has not named a license" in card


def test_make_model_card__without_figures_says_so(run):
    write_json(run / "round-2" / "metrics.json", {"round": 2, "left_out": 1})
    card = make_model_card(run)
    assert "Not measured on photos with ground truth" in card and "model-index" not in read_metadata(card)
    write_json(run / "evaluation" / "metrics.json", {"photos": 9, "mean_iou": 0.5, "iou": {"Röte": 0.4, "blue": None}})
    assert "mIoU **0.500** on 9 photos" in make_model_card(run)
    (run / "evaluation" / "metrics.json").write_text('{"photos": -1}')
    with pytest.raises(DataError, match=r"metrics\.json must hold what coarse2fine wrote"):
        make_model_card(run)


def test_make_model_card__older_figures_of_another_network_do_not_count(run):
    write_json(run / "round-2" / "metrics.json", {"round": 2, "left_out": 1})
    write_json(run / "evaluation" / "metrics.json", {"photos": 9, "mean_iou": 0.5, "iou": {"Röte": 0.4}})
    os.utime(run / "model" / "model.toml", (2e9, 2e9))
    assert "Not measured" in make_model_card(run)


def test_make_model_card__names_corrected_masks_and_negatives(run):
    write_mask(run / "corrected" / "Röte" / "1.png", np.zeros((4, 4), np.uint8))
    text = (run / "photos.json").read_text()
    (run / "photos.json").write_text(text.replace('"classes"', '"negatives": "/secret/none", "classes"'))
    card = make_model_card(run)
    assert "except 1 that people corrected" in card and "show none of the classes" in card and "/secret" not in card


def test_make_model_card__of_a_network_without_its_run_admits_it(small_run):
    card = make_model_card(small_run / "model", file="pets.onnx", other_figures={"mIoU of int8": 0.25})
    assert "Not known: this card was written from the finished network alone" in card
    assert "onnx" in read_metadata(card)["tags"] and 'Segmenter.load("pets.onnx")' in card
    assert "mIoU of int8: 0.2500" in section(card, "Figures") and "test_efficientnet" in card


def test_make_model_card__without_a_network(tmp_path):
    with pytest.raises(DataError, match="contains no finished network"):
        make_model_card(tmp_path)
