import json

import datasets
import pytest
from PIL import Image

from coarse2fine.data import open_dataset
from coarse2fine.errors import DataError


def draw(folder, *names):
    for index, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 5), (60 * index, 0, 0)).save(folder / name)


def labels_of(path):
    data = open_dataset(path)
    return {photo.path.name: [data.classes[label] for label in photo.labels] for photo in data.photos}


COCO = {
    "images": [{"id": number, "file_name": f"{number}.jpg", "width": 4, "height": 5} for number in (1, 2, 3)],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 7, "bbox": [0, 0, 1, 1]},
        {"id": 2, "image_id": 1, "category_id": 7, "segmentation": []},
        {"id": 3, "image_id": 2, "category_id": 7},
        {"id": 4, "image_id": 2, "category_id": 9},
    ],
    "categories": [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}],
}


@pytest.mark.parametrize("photos", ["", "images/", "../images/train2017/", "../train2017/", "../images/"])
def test_coco__labels_are_the_categories_of_the_annotations(tmp_path, photos):
    file = tmp_path / "annotations" / "instances_train2017.json"
    file.parent.mkdir()
    file.write_text(json.dumps(COCO))
    draw(file.parent, *(f"{photos}{number}.jpg" for number in (1, 2, 3)))
    assert labels_of(file) == {"1.jpg": ["cat"], "2.jpg": ["cat", "dog"], "3.jpg": []}


def test_coco__an_unknown_category_is_one_sentence(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(COCO | {"categories": [{"id": 7, "name": "cat"}]}))
    with pytest.raises(DataError, match="one has image_id 2 and category_id 9"):
        open_dataset(tmp_path / "a.json")
    (tmp_path / "a.json").write_text(json.dumps({"images": []}))
    with pytest.raises(DataError, match="must hold images, annotations and categories, as COCO has them"):
        open_dataset(tmp_path / "a.json")


def test_coco__a_name_that_is_too_long_for_a_file_is_skipped(tmp_path):
    long = {"id": 0, "file_name": "a" * 300 + ".jpg"}
    (tmp_path / "coco.json").write_text(json.dumps(COCO | {"images": [long, *COCO["images"]]}))
    draw(tmp_path, "1.jpg")
    data = open_dataset(tmp_path / "coco.json")
    assert [photo.path.name for photo in data.photos] == ["1.jpg"]
    assert "image 0: no such file" in [skipped.reason for skipped in data.skipped]


def test_coco__photos_stay_in_their_folder(tmp_path):
    images = [{"id": 1, "file_name": "../out.jpg"}, {"id": 2, "file_name": "2.jpg"}]
    draw(tmp_path, "out.jpg", "in/2.jpg")
    (tmp_path / "in" / "a.json").write_text(
        json.dumps(COCO | {"images": images, "annotations": COCO["annotations"][:3]})
    )
    data = open_dataset(tmp_path / "in" / "a.json")
    assert [photo.path.name for photo in data.photos] == ["2.jpg"] and "is outside of" in data.skipped[0].reason


def test_hugging_face__its_metadata_gives_the_labels_that_datasets_reads(tmp_path):
    draw(tmp_path, "train/1.png", "train/2.png", "test/3.png")
    rows = [{"file_name": "1.png", "label": "cat"}, {"file_name": "2.png", "label": "dog"}]
    (tmp_path / "train" / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "test" / "metadata.jsonl").write_text(json.dumps({"file_name": "3.png", "label": "cat"}) + "\n")
    read = datasets.load_dataset(
        "imagefolder", data_dir=str(tmp_path), cache_dir=str(tmp_path / "cache"), split="train"
    )
    assert labels_of(tmp_path / "train") == {"1.png": ["cat"], "2.png": ["dog"]}
    assert sorted(read["label"]) == ["cat", "dog"]


@pytest.mark.parametrize("others", [("validation", "test"), ("val",)])
def test_hugging_face__only_the_part_train_of_class_folders_is_read(tmp_path, others):
    draw(tmp_path, "train/cat/1.png", "train/dog/2.png", *(f"{other}/cat/3.png" for other in others))
    data = open_dataset(tmp_path)
    assert data.classes == ("background", "cat", "dog") and len(data.photos) == 2
    assert {one.path.name for one in data.skipped} == set(others)
    assert "only train of this data set trains" in data.skipped[0].reason


def test_open_dataset__class_folders_with_names_of_parts_or_captions_stay_classes(tmp_path):
    draw(tmp_path / "a", "train/1.png", "bus/2.png")
    draw(tmp_path / "b", "train/1.png", "test/2.png")
    draw(tmp_path / "c", "cat/1.png")
    (tmp_path / "c" / "metadata.csv").write_text("file_name,text\ncat/1.png,a cat with a label\n")
    assert open_dataset(tmp_path / "a").classes == ("background", "bus", "train")
    assert open_dataset(tmp_path / "b").classes == ("background", "test", "train")
    assert open_dataset(tmp_path / "c").classes == ("background", "cat")


def test_fiftyone__classification_folders_and_labels(tmp_path):
    draw(tmp_path / "tree", "cat/1.png", "_unlabeled/2.png")
    tree = open_dataset(tmp_path / "tree")
    assert tree.classes == ("background", "cat") and [one.path.name for one in tree.skipped] == ["2.png"]
    draw(tmp_path / "set", "data/1.jpg", "data/sub/2.png", "data/3.png")
    labels = {"classes": ["cat", "dog"], "labels": {"1": 0, "sub/2": 1, "3": None}}
    (tmp_path / "set" / "labels.json").write_text(json.dumps(labels))
    assert labels_of(tmp_path / "set" / "labels.json") == {"1.jpg": ["cat"], "2.png": ["dog"], "3.png": []}
    (tmp_path / "set" / "labels.json").write_text(json.dumps(labels | {"labels": {"1": 5}}))
    with pytest.raises(DataError, match="indices of its 2 classes, but one is higher"):
        open_dataset(tmp_path / "set" / "labels.json")


@pytest.mark.parametrize(
    "text, what", [("[1]", "line 1 has no file_name"), ("{", "Expecting"), ('{"label": "a"}', "line 1")]
)
def test_json_lines__damaged_lines_are_one_sentence(tmp_path, text, what):
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(DataError, match=what):
        open_dataset(tmp_path / "a.jsonl")


def test_csv__one_column_per_class(tmp_path):
    draw(tmp_path, "1.png", "2.png", "3.png")
    (tmp_path / "a.csv").write_text("filename,cat,dog\n1.png,1,0\n2.png,1.0,True\n3.png,,0\n")
    assert labels_of(tmp_path / "a.csv") == {"1.png": ["cat"], "2.png": ["cat", "dog"], "3.png": []}
    (tmp_path / "a.csv").write_text("filename,cat,age\n1.png,1,34\n")
    with pytest.raises(DataError, match="no column label, and its column age holds '34' in line 2"):
        open_dataset(tmp_path / "a.csv")
