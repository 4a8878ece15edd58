"""Files that are written item by item, and exports of several files."""

import json

import datasets
import pytest

from coarse2fine.config import MaskExportConfig
from coarse2fine.export import export_masks, hugging_face, label_studio
from coarse2fine.export.streamed_files import open_json_lists, write_task_files


@pytest.mark.parametrize("count", [0, 1, 3])
def test_open_json_lists__valid_json_for_any_number_of_items(tmp_path, count):
    with open_json_lists(tmp_path / "a.json", {"info": {"x": "ü"}}, ("first", "second", "third")) as append:
        for number in range(count):
            append("first", {"id": number})
            append("second", [number, "\n"])
    read = json.loads((tmp_path / "a.json").read_text())
    assert read["info"] == {"x": "ü"} and read["third"] == []
    assert read["first"] == [{"id": number} for number in range(count)]
    assert read["second"] == [[number, "\n"] for number in range(count)]
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    "count, files", [(0, []), (2, ["tasks-1.json"]), (5, ["tasks-1.json", "tasks-2.json", "tasks-3.json"])]
)
def test_write_task_files__tasks_per_file(tmp_path, count, files):
    write_task_files(tmp_path, range(count), 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == files
    assert [one for name in files for one in json.loads((tmp_path / name).read_text())] == list(range(count))


def test_label_studio__several_files(predicted, masks, tmp_path, monkeypatch):
    monkeypatch.setattr(label_studio, "TASKS_PER_FILE", 3)
    export_masks(predicted, tmp_path / "out", "labelstudio")
    files = sorted((tmp_path / "out").glob("tasks-*.json"))
    names = [task["data"]["photo"] for file in files for task in json.loads(file.read_text())]
    assert len(files) == 3 and names == sorted(masks)


def test_hugging_face__several_files_and_groups(predicted, masks, tmp_path, monkeypatch):
    monkeypatch.setattr(hugging_face, "GROUP_ROWS", 2)
    monkeypatch.setattr(hugging_face, "FILE_BYTES", 1500)
    export_masks(predicted, tmp_path / "out", "huggingface", MaskExportConfig(val_share=0))
    assert len(list((tmp_path / "out" / "data").iterdir())) > 1
    read = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert read["photo"][:] == sorted(masks)
