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
from coarse2fine.masks.png import mask_path, write_mask

CLASSES = ["background", "cat & <b>dog</b>", "žaba 蛙"]  # the first of 255


def without_ignored(mask: np.ndarray) -> np.ndarray:
    return np.where(mask == 255, 0, mask)


def hex_color(label: int) -> str:
    return "#" + bytes(color_table()[label]).hex()


def test_voc__read_by_torchvision(predicted, masks, tmp_path):
    out = tmp_path / "VOCdevkit" / "VOC2012"
    assert export_masks(predicted, out, "voc") == len(masks)
    read = VOCSegmentation(str(tmp_path), year="2012", image_set="trainval")
    names, train, val = (
        (out / "ImageSets" / "Segmentation" / f"{one}.txt").read_text(encoding="utf-8").splitlines()
        for one in ("trainval", "train", "val")
    )
    assert sorted(names) == sorted(masks) == sorted(train + val) and len(val) == 1
    for name, (image, mask) in zip(names, read, strict=True):
        assert np.array_equal(np.asarray(mask), masks[name])
        assert image.size == mask.size and mask.getpalette()[: 3 * 255] == color_table()[:255].ravel().tolist()
    labels = (out / "labelmap.txt").read_text(encoding="utf-8").splitlines()
    assert labels[2] == "cat & <b>dog</b>:128,0,0::" and len(labels) == 256


@pytest.mark.parametrize("polygons", [False, True])
@pytest.mark.parametrize("instances", ["class", "part"])
def test_coco__read_by_pycocotools(predicted, masks, tmp_path, polygons, instances):
    config = MaskExportConfig(polygons=polygons, instances=instances, val_share=0.4)
    export_masks(predicted, tmp_path / "out", "coco", config)
    parts = {one: COCO(str(tmp_path / "out" / "annotations" / f"instances_{one}.json")) for one in ("train", "val")}
    images = [(image, split) for split, part in parts.items() for image in part.dataset["images"]]
    assert sorted(image["file_name"] for image, _ in images) == sorted(f"{name}.jpg" for name in masks)
    assert len(parts["val"].dataset["images"]) == 3
    for image, split in images:
        coco = parts[split]
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
        assert (tmp_path / "out" / "images" / split / image["file_name"]).stat().st_size > 0
    names = [one["name"] for one in coco.loadCats(coco.getCatIds())]
    assert names[:2] == CLASSES[1:] and coco.dataset["categories"][1]["color"] == [0, 128, 0]


def test_coco__a_reader_of_detections_finds_the_masks(predicted, masks, tmp_path):
    export_masks(predicted, tmp_path / "out", "coco", MaskExportConfig(val_share=0))
    assert not (tmp_path / "out" / "annotations" / "instances_val.json").exists()
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


@pytest.mark.parametrize("split, count", [("train", 6), ("val", 2)])
def test_panoptic__read_as_the_format_is_documented(predicted, masks, tmp_path, split, count):
    export_masks(predicted, tmp_path / "out", "coco-panoptic", MaskExportConfig(instances="part", val_share=0.25))
    file = json.loads((tmp_path / "out" / "annotations" / f"panoptic_{split}.json").read_text())
    images = {image["id"]: image for image in file["images"]}
    assert len(file["annotations"]) == count and file["categories"][-1]["isthing"] == 0
    background = file["categories"][-1]["id"]
    for one in file["annotations"]:
        with Image.open(tmp_path / "out" / "annotations" / f"panoptic_{split}" / one["file_name"]) as picture:
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


def test_yolo__read_by_supervision(predicted, masks, tmp_path):
    out = tmp_path / "out"
    export_masks(predicted, out, "yolo", MaskExportConfig(val_share=0.25))
    described = yaml.safe_load((out / "data.yaml").read_text(encoding="utf-8"))
    assert described["names"][0] == CLASSES[1] and described["names"][1] == CLASSES[2]
    expected = {name.replace("/", "_"): without_ignored(mask) for name, mask in masks.items()}
    counts = {}
    for split in ("train", "val"):
        assert described[split] == f"images/{split}"
        read = supervision.DetectionDataset.from_yolo(
            str(out / "images" / split), str(out / "labels" / split), str(out / "data.yaml"), force_masks=True
        )
        for path, _, found in read:
            mask = expected.pop(Path(path).stem)
            seen = np.zeros_like(mask)
            for label, part in zip(found.class_id, found.mask if found.mask is not None else [], strict=True):
                seen[part] = label + 1
            assert np.array_equal(seen, mask)
        counts[split] = len(read)
    assert counts == {"train": 6, "val": 2} and not expected


@pytest.mark.parametrize("kind", ["ultralytics", "lightly"])
def test_image_mask_folders__photos_and_gray_masks_in_folders_of_train_and_val(predicted, masks, tmp_path, kind):
    out = tmp_path / "out"
    export_masks(predicted, out, kind, MaskExportConfig(val_share=0.25))
    read = {}
    for split, count in (("train", 6), ("val", 2)):
        photos = {path.stem: path for path in (out / "images" / split).iterdir()}
        files = {path.stem: path for path in (out / "masks" / split).iterdir()}
        assert photos.keys() == files.keys() and len(files) == count
        for name, path in files.items():
            with Image.open(path) as picture, Image.open(photos[name]) as photo:
                assert picture.mode == "L" and picture.size == photo.size
                read[name] = np.asarray(picture)
    assert read.keys() == {name.replace("/", "_") for name in masks}
    assert all(np.array_equal(read[name.replace("/", "_")], mask) for name, mask in masks.items())


def test_ultralytics__its_loader_gives_the_masks(predicted, masks, tmp_path):
    pytest.importorskip("ultralytics", reason="ultralytics (AGPL-3.0) is no dependency: pip install ultralytics")
    from ultralytics.cfg import get_cfg
    from ultralytics.data.build import build_yolo_dataset
    from ultralytics.data.utils import check_det_dataset

    for name, mask in masks.items():  # it refuses photos with a side of less than 10 pixels
        masks[name] = np.pad(mask, 10)
        write_mask(mask_path(predicted / "masks", name), masks[name])
        Image.fromarray(np.zeros((*masks[name].shape, 3), np.uint8)).save(tmp_path / "in" / f"{name}.jpg")
    export_masks(predicted, tmp_path / "out", "ultralytics", MaskExportConfig(val_share=0.25), [tmp_path / "in"])
    data = check_det_dataset(str(tmp_path / "out" / "data.yaml"))
    assert data["nc"] == 255 and [data["names"][index] for index in range(3)] == CLASSES
    expected = {name.replace("/", "_"): mask for name, mask in masks.items()}
    for split in ("train", "val"):
        config = get_cfg(overrides={"task": "semantic", "imgsz": 64})
        read = build_yolo_dataset(config, data[split], 1, data, mode="val")
        for index, label in enumerate(read.labels):
            name = Path(label["im_file"]).stem
            assert np.array_equal(read.load_mask(index), expected.pop(name))
        assert len(read.labels) == {"train": 6, "val": 2}[split]


def test_lightly__its_loader_gives_the_masks(predicted, masks, tmp_path):
    pytest.importorskip("lightly_train", reason="lightly-train is no dependency: pip install lightly-train")
    from lightly_train._data.file_helpers import open_mask_numpy
    from lightly_train._data.mask_semantic_segmentation_dataset import (
        MaskSemanticSegmentationDataArgs,
        MaskSemanticSegmentationDataset,
    )

    out = tmp_path / "out"
    export_masks(predicted, out, "lightly", MaskExportConfig(val_share=0.25))
    arguments = MaskSemanticSegmentationDataArgs(**yaml.safe_load((out / "data.yaml").read_text(encoding="utf-8")))
    arguments.resolve_data_paths(out)
    assert arguments.num_included_classes == 255 and arguments.included_classes[1] == CLASSES[1]
    expected = {name.replace("/", "_"): mask for name, mask in masks.items()}
    for part in (arguments.get_train_args(), arguments.get_val_args()):
        rows = list(part.list_image_info())
        read = MaskSemanticSegmentationDataset(part, rows)
        for row in rows:
            classes = read.map_mask_labels_to_class_ids(open_mask_numpy(Path(row["mask_filepaths"])))
            assert np.array_equal(classes, expected.pop(Path(row["mask_filepaths"]).stem))
    assert not expected


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
    export_masks(predicted, tmp_path / "out", "huggingface", MaskExportConfig(val_share=0.25))
    parts = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {name: len(part) for name, part in parts.items()} == {"train": 6, "validation": 2}
    read = datasets.concatenate_datasets(list(parts.values()))
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
    export_masks(predicted, tmp_path / "out", "huggingface", MaskExportConfig(images="none", val_share=0))
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
