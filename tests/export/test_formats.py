"""Each format is read back by a reader of its own ecosystem, which must return the same mask pixel for pixel."""

import json
from pathlib import Path
from xml.etree import ElementTree

import datasets
import numpy as np
import pytest
import supervision
import yaml
from cvat_sdk.masks import decode_mask
from label_studio_converter.brush import decode_from_annotation
from PIL import Image
from pycocotools.coco import COCO
from torchvision.datasets import VOCSegmentation

from coarse2fine.config import MaskExportConfig
from coarse2fine.corrections.photo_names import PHOTO_KEY
from coarse2fine.export import MASK_FORMATS, export_masks
from coarse2fine.masks.palette import color_table

CLASSES = ["background", "cat & <b>dog</b>", "žaba 蛙"]  # the first of 255


def without_ignored(mask: np.ndarray) -> np.ndarray:
    return np.where(mask == 255, 0, mask)


def hex_color(label: int) -> str:
    return "#" + bytes(color_table()[label]).hex()


def test_voc__read_by_torchvision(predicted, masks, tmp_path):
    out = tmp_path / "VOCdevkit" / "VOC2012"
    assert export_masks(predicted, out, "voc") == len(masks)
    read = VOCSegmentation(str(tmp_path), year="2012", image_set="train")
    names = (out / "ImageSets" / "Segmentation" / "train.txt").read_text(encoding="utf-8").splitlines()
    assert sorted(names) == sorted(masks)
    for name, (image, mask) in zip(names, read, strict=True):
        assert np.array_equal(np.asarray(mask), masks[name])
        assert image.size == mask.size and mask.getpalette()[: 3 * 255] == color_table()[:255].ravel().tolist()
    labels = (out / "labelmap.txt").read_text(encoding="utf-8").splitlines()
    assert labels[2] == "cat & <b>dog</b>:128,0,0::" and len(labels) == 256


@pytest.mark.parametrize("polygons", [False, True])
@pytest.mark.parametrize("instances", ["class", "part"])
def test_coco__read_by_pycocotools(predicted, masks, tmp_path, polygons, instances):
    config = MaskExportConfig(polygons=polygons, instances=instances)
    export_masks(predicted, tmp_path / "out", "coco", config)
    coco = COCO(str(tmp_path / "out" / "annotations" / "instances_train.json"))
    assert {image["file_name"] for image in coco.dataset["images"]} == {f"{name}.jpg" for name in masks}
    for image in coco.dataset["images"]:
        expected = without_ignored(masks[image["file_name"].removesuffix(".jpg")])
        found, times = np.zeros_like(expected), np.zeros(expected.shape, int)
        annotations = coco.loadAnns(coco.getAnnIds(image["id"]))
        for one in annotations:
            part = coco.annToMask(one)
            assert part.sum() == one["area"] > 0
            rows, columns = np.nonzero(part)
            assert one["bbox"] == [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            found[part > 0] = one["category_id"]
            times += part
        assert np.array_equal(found, expected) and times.max(initial=0) <= 1
        if instances == "class":
            assert len(annotations) == len(set(np.unique(expected)) - {0})
        assert (tmp_path / "out" / "images" / "train" / image["file_name"]).stat().st_size > 0
    names = [one["name"] for one in coco.loadCats(coco.getCatIds())]
    assert names[:2] == CLASSES[1:] and coco.dataset["categories"][1]["color"] == [0, 128, 0]


def test_coco__a_reader_of_detections_finds_the_masks(predicted, masks, tmp_path):
    export_masks(predicted, tmp_path / "out", "coco")
    read = supervision.DetectionDataset.from_coco(
        str(tmp_path / "out" / "images" / "train"),
        str(tmp_path / "out" / "annotations" / "instances_train.json"),
        force_masks=True,
    )
    shown = {path: found for path, _, found in read}
    ring = next(found for path, found in shown.items() if "ring" in path)
    expected = next(mask for name, mask in masks.items() if "ring" in name)
    assert len(shown) == len(masks)
    by_class = {int(label): mask for label, mask in zip(ring.class_id, ring.mask, strict=True)}
    assert np.array_equal(by_class[0], expected == 1)


def test_panoptic__read_as_the_format_is_documented(predicted, masks, tmp_path):
    export_masks(predicted, tmp_path / "out", "coco-panoptic", MaskExportConfig(instances="part"))
    file = json.loads((tmp_path / "out" / "annotations" / "panoptic_train.json").read_text())
    images = {image["id"]: image for image in file["images"]}
    assert len(file["annotations"]) == len(masks) and file["categories"][-1]["isthing"] == 0
    background = file["categories"][-1]["id"]
    for one in file["annotations"]:
        with Image.open(tmp_path / "out" / "annotations" / "panoptic_train" / one["file_name"]) as picture:
            red, green, blue = np.moveaxis(np.asarray(picture).astype(int), -1, 0)
        ids = red + 256 * green + 256 * 256 * blue  # panopticapi.utils.rgb2id
        found = np.full(ids.shape, 255, np.uint8)
        for segment in one["segments_info"]:
            assert (ids == segment["id"]).sum() == segment["area"]
            found[ids == segment["id"]] = segment["category_id"] % background
        assert np.array_equal(found, masks[one["file_name"].removesuffix(".png")])
        assert images[one["image_id"]]["file_name"] == one["file_name"].replace(".png", ".jpg")


def test_panoptic__more_parts_than_a_byte_counts(tmp_path, predicted, masks):
    export_masks(predicted, tmp_path / "out", "coco-panoptic", MaskExportConfig(instances="part"))
    file = json.loads((tmp_path / "out" / "annotations" / "panoptic_train.json").read_text())
    assert max(segment["id"] for one in file["annotations"] for segment in one["segments_info"]) > 256


@pytest.mark.parametrize("folder", ["x", "y"])
def test_yolo__read_by_supervision(predicted, masks, tmp_path, folder):
    out = tmp_path / "out"
    export_masks(predicted, out, "yolo")
    described = yaml.safe_load((out / "data.yaml").read_text(encoding="utf-8"))
    assert described["names"][0] == CLASSES[1] and described["names"][1] == CLASSES[2]
    assert (out / described["train"] / "x").is_dir()
    read = supervision.DetectionDataset.from_yolo(
        str(out / "images" / "train" / folder),
        str(out / "labels" / "train" / folder),
        str(out / "data.yaml"),
        force_masks=True,
    )
    count = 0
    for path, _, found in read:
        expected = without_ignored(masks[f"{folder}/{Path(path).stem}"])
        seen = np.zeros_like(expected)
        for label, mask in zip(found.class_id, found.mask if found.mask is not None else [], strict=True):
            seen[mask] = label + 1
        assert np.array_equal(seen, expected)
        count += 1
    assert count == sum(name.startswith(folder) for name in masks)


def test_yolo__every_line_has_corners_enough_to_be_no_box(predicted, tmp_path):
    export_masks(predicted, tmp_path / "out", "yolo")
    lines = [line for file in (tmp_path / "out" / "labels").rglob("*.txt") for line in file.read_text().splitlines()]
    assert lines and all(len(line.split()) >= 7 for line in lines)
    assert all(0 <= float(share) < 1 for line in lines for share in line.split()[1:])


@pytest.mark.parametrize("instances", ["class", "part"])
def test_label_studio__read_by_its_brush_codec(predicted, masks, tmp_path, instances):
    out = tmp_path / "out"
    export_masks(predicted, out, "labelstudio", MaskExportConfig(instances=instances))
    labels = [label.attrib for label in ElementTree.parse(out / "label_config.xml").iter("Label")]
    index = {label["value"]: number for number, label in enumerate(labels[:-1], start=1)} | {"ignore": 255}
    assert labels[0] == {"value": CLASSES[1], "background": hex_color(1)} and labels[-1]["value"] == "ignore"
    tasks = json.loads((out / "tasks-1.json").read_text())
    assert len(tasks) == len(masks)
    for task in tasks:
        expected = masks[task["data"][PHOTO_KEY]]
        found = np.zeros_like(expected)
        for region in task["predictions"][0]["result"]:
            assert (region["from_name"], region["to_name"], region["type"]) == ("mask", "photo", "brushlabels")
            layers = decode_from_annotation("mask", [region | region["value"]])
            (layer,) = layers.values()
            assert set(np.unique(layer)) <= {0, 255}
            found[layer > 0] = index[region["value"]["brushlabels"][0]]
        assert np.array_equal(found, expected)


def test_label_studio__addresses_are_quoted_and_begin_as_asked(predicted, masks, tmp_path):
    export_masks(predicted, tmp_path / "out", "labelstudio")
    tasks = json.loads((tmp_path / "out" / "tasks-1.json").read_text())
    addresses = {task["data"][PHOTO_KEY]: task["data"]["image"] for task in tasks}
    assert addresses["x/noise #1?"] == "/data/local-files/?d=out/images/x/noise%20%231%3F.jpg"
    export_masks(predicted, tmp_path / "other", "labelstudio", MaskExportConfig(image_prefix="s3://b/", images="none"))
    tasks = json.loads((tmp_path / "other" / "tasks-1.json").read_text())
    assert {task["data"]["image"] for task in tasks} >= {"s3://b/x/row.jpg"}
    assert not (tmp_path / "other" / "images").exists()


def test_cvat__read_by_its_sdk(predicted, masks, tmp_path):
    export_masks(predicted, tmp_path / "out", "cvat")
    labels = json.loads((tmp_path / "out" / "labels.json").read_text())
    index = {label["name"]: number for number, label in enumerate(labels[:-1], start=1)} | {"ignore": 255}
    assert labels[0] == {"name": CLASSES[1], "color": hex_color(1), "type": "mask", "attributes": []}
    images = list(ElementTree.parse(tmp_path / "out" / "annotations.xml").iter("image"))
    assert len(images) == len(masks)
    for image in images:
        expected = masks[image.attrib["name"].removesuffix(".jpg")]
        height, width = int(image.attrib["height"]), int(image.attrib["width"])
        assert (height, width) == expected.shape
        found = np.zeros_like(expected)
        for one in image.iter("mask"):
            left, top, wide, high = (int(one.attrib[name]) for name in ("left", "top", "width", "height"))
            counts = [int(count) for count in one.attrib["rle"].split(",")]
            box = [left, top, left + wide - 1, top + high - 1]  # as CVAT makes its points of the attributes
            found[decode_mask([*counts, *box], image_width=width, image_height=height)] = index[one.attrib["label"]]
        assert np.array_equal(found, expected)


def test_hugging_face__read_by_datasets(predicted, masks, tmp_path, monkeypatch):
    export_masks(predicted, tmp_path / "out", "huggingface")
    read = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert read.column_names == ["image", "mask", "photo", "label", "classes"]
    assert read.features["label"].names[:3] == CLASSES
    assert len(read) == len(masks)
    for row in read:
        mask = masks[row["photo"]]
        assert np.array_equal(np.asarray(row["mask"]), mask) and row["mask"].mode == "P"
        assert row["image"].size == mask.shape[::-1]
        assert len(row["classes"]) == len(set(np.unique(mask)) - {0, 255})


def test_hugging_face__scores_and_no_photos(predicted, tmp_path, write_scores):
    write_scores(predicted, [("x/row", 0.25)])
    export_masks(predicted, tmp_path / "out", "huggingface", MaskExportConfig(images="none"))
    read = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert "image" not in read.column_names
    assert {row["photo"]: row["quality"] for row in read}["x/row"] == 0.25
    assert {row["photo"]: row["quality"] for row in read}["x/column"] is None


@pytest.mark.parametrize("kind", MASK_FORMATS)
def test_every_format__same_masks_give_the_same_bytes(predicted, tmp_path, kind):
    trees = []
    for parent in ("a", "b"):
        out = tmp_path / parent / "out"
        export_masks(predicted, out, kind)
        trees.append({str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()})
    assert trees[0] == trees[1] and trees[0]
