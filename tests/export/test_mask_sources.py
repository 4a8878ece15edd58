import json
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coarse2fine.cli import main
from coarse2fine.config import MaskExportConfig, PredictConfig
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.export import MASK_FORMATS, export_masks
from coarse2fine.inference.predict import predict_photos
from coarse2fine.inference.result_files import PredictOptions
from coarse2fine.inference.torch_segmenter import TorchSegmenter
from coarse2fine.masks.png import mask_path, read_mask, write_mask
from coarse2fine.runtime.files import read_json, write_json

SCORES = [("cat/a", 0.9), ("cat/b", 0.25), ("dog/a", 0.5), ("dog/c", 1.0)]


def rows_of(out: Path) -> dict[str, int]:
    """Count the rows with foreground of each photo."""
    folder = out / "SegmentationClass"
    return {
        path.relative_to(folder).with_suffix("").as_posix(): int((read_mask(path) > 0).any(axis=1).sum())
        for path in folder.rglob("*.png")
    }


def test_export_masks__last_round_without_left_out_photos(finished, tmp_path, capsys):
    assert export_masks(finished.root, tmp_path / "out", "voc", quiet=False) == 3
    assert rows_of(tmp_path / "out") == {"cat/a": 4, "cat/b": 5, "dog/a": 6}
    assert "1 of 4 photos are not exported, because they were left out of training" in capsys.readouterr().err


@pytest.mark.parametrize(
    "config, rows",
    [
        (MaskExportConfig(left_out=True), {"cat/a": 4, "cat/b": 5, "dog/a": 6, "dog/c": 7}),
        (MaskExportConfig(masks="refined"), {"cat/a": 3, "cat/b": 4, "dog/a": 5}),
        (MaskExportConfig(round=0), {"cat/a": 2, "cat/b": 3, "dog/a": 4, "dog/c": 5}),
        (MaskExportConfig(masks="coarse"), {"cat/a": 1, "cat/b": 2, "dog/a": 3, "dog/c": 4}),
    ],
)
def test_export_masks__of_any_round_and_stage(finished, tmp_path, config, rows):
    export_masks(finished.root, tmp_path / "out", "voc", config)
    assert rows_of(tmp_path / "out") == rows


def test_export_masks__round_0_without_photos_left_out_before_round_1(finished, tmp_path):
    write_json(finished.filter_file(0), {"cat/a": "foreground is empty", "cat/b": None, "dog/a": None, "dog/c": None})
    export_masks(finished.root, tmp_path / "out", "voc", MaskExportConfig(round=0))
    assert rows_of(tmp_path / "out") == {"cat/b": 3, "dog/a": 4, "dog/c": 5}


@pytest.mark.parametrize("kind", ["labelstudio", "cvat"])
def test_export_masks__formats_for_correction_include_left_out_photos(finished, tmp_path, kind):
    assert export_masks(finished.root, tmp_path / "out", kind) == 4
    assert export_masks(finished.root, tmp_path / "kept", kind, MaskExportConfig(left_out=False)) == 3


def test_export_masks__scores_in_every_format(finished, tmp_path, write_scores):
    def config(kind):
        return MaskExportConfig(min_quality=0.5, val_share=None if kind in ("labelstudio", "cvat") else 0)

    write_scores(finished.root, SCORES)
    for kind in ("coco", "coco-panoptic", "labelstudio", "cvat", "voc", "yolo"):
        assert export_masks(finished.root, tmp_path / kind, kind, config(kind)) in (2, 3)
    coco = json.loads((tmp_path / "coco" / "annotations" / "instances_train.json").read_text())
    assert [(one["file_name"], one["quality"]) for one in coco["images"]] == [("cat/a.png", 0.9), ("dog/a.png", 0.5)]
    assert [one["score"] for one in coco["annotations"]] == [0.9, 0.5]
    panoptic = json.loads((tmp_path / "coco-panoptic" / "annotations" / "panoptic_train.json").read_text())
    assert panoptic["annotations"][0]["segments_info"][0]["score"] == 0.9
    tasks = json.loads((tmp_path / "labelstudio" / "tasks-1.json").read_text())
    assert [task["predictions"][0]["score"] for task in tasks] == [0.9, 0.5, 1.0]
    assert tasks[2]["data"] == {
        "image": "/data/local-files/?d=labelstudio/images/dog/c.png",
        "photo": "dog/c",
        "class": "dog",
        "quality": 1.0,
    }
    xml = (tmp_path / "cvat" / "annotations.xml").read_text(encoding="utf-8")
    assert '<attribute name="quality">0.9</attribute>' in xml
    assert json.loads((tmp_path / "cvat" / "labels.json").read_text())[0]["attributes"][0]["name"] == "quality"
    for kind in ("voc", "yolo"):
        joint = "/" if kind == "voc" else "_"
        rows = f"photo,class,score\ncat{joint}a,cat,0.9\ndog{joint}a,dog,0.5\n"
        assert (tmp_path / kind / "quality.csv").read_text() == rows


def test_export_masks__without_scores_no_table_and_no_choice(finished, tmp_path, write_scores):
    export_masks(finished.root, tmp_path / "out", "voc")
    assert not (tmp_path / "out" / "quality.csv").exists()
    with pytest.raises(ConfigError, match=r"--min-quality needs quality scores, but .*quality\.csv is missing"):
        export_masks(finished.root, tmp_path / "other", "voc", MaskExportConfig(min_quality=0.1))
    write_scores(finished.root, SCORES)
    with pytest.raises(DataError, match=r"3 of 3 photos have no quality score of at least 0\.95"):
        export_masks(finished.root, tmp_path / "other", "voc", MaskExportConfig(min_quality=0.95))
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    "text", ["photo,class\na,b\n", "photo,score\na,much\n", "photo,score\na,1.5\n", "photo,score\na\n"]
)
def test_export_masks__a_damaged_table_of_scores(finished, tmp_path, text):
    (finished.root / "quality.csv").write_text(text)
    with pytest.raises(DataError, match=r"quality\.csv"):
        export_masks(finished.root, tmp_path / "out", "voc")
    assert not (tmp_path / "out").exists()


def test_export_masks__a_score_above_1(finished, tmp_path, write_scores):
    write_scores(finished.root, [("cat/a", 1.5)])
    with pytest.raises(DataError, match=r"the columns photo and score, from 0 to 1, but is not \(found 1\.5\)"):
        export_masks(finished.root, tmp_path / "out", "voc")


def test_export_masks__the_lowest_of_several_scores(finished, tmp_path, write_scores):
    write_scores(finished.root, [("cat/a", 0.5), ("cat/a", 0.25), ("cat/a", 1)])
    export_masks(finished.root, tmp_path / "out", "voc")
    assert (tmp_path / "out" / "quality.csv").read_text() == "photo,class,score\ncat/a,cat,0.25\n"


def test_export_masks__refuses_settings_and_sources_that_do_not_fit(finished, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(DataError, match="must be a run folder of fit or a folder that predict wrote"):
        export_masks(tmp_path / "data", out, "voc")
    with pytest.raises(ConfigError, match="--round must be from 0 to 1, the last round of .*; found 2"):
        export_masks(finished.root, out, "voc", MaskExportConfig(round=2))
    with pytest.raises(ConfigError, match="Round 0 has no refined masks"):
        export_masks(finished.root, out, "voc", MaskExportConfig(round=0, masks="refined"))
    with pytest.raises(ConfigError, match="must lie outside the folder of the photos"):
        export_masks(finished.root, tmp_path / "data" / "out", "voc")
    with pytest.raises(ConfigError, match="choose --images copy or none"):
        export_masks(finished.root, out, "huggingface", MaskExportConfig(images="link"))
    with pytest.raises(ConfigError, match="voc has no choice between polygons and run lengths"):
        export_masks(finished.root, out, "voc", MaskExportConfig(polygons=True))
    with pytest.raises(ConfigError, match="stores classes, not instances"):
        export_masks(finished.root, out, "voc", MaskExportConfig(instances="part"))
    with pytest.raises(ConfigError, match="cvat stores no addresses of photos"):
        export_masks(finished.root, out, "cvat", MaskExportConfig(image_prefix="x"))
    with pytest.raises(ConfigError, match="must be one of voc, coco, .* found 'pascal'"):
        export_masks(finished.root, out, "pascal")
    (finished.enhanced(1) / "done.json").unlink()
    with pytest.raises(DataError, match=r"round-1/enhanced is not finished. Run fit until it ends"):
        export_masks(finished.root, out, "voc")
    (tmp_path / "data" / "cat" / "a.png").unlink()
    with pytest.raises(DataError, match="only 3 of 4 are unchanged"):
        export_masks(finished.root, out, "voc", MaskExportConfig(round=0))
    (tmp_path / "data").rename(tmp_path / "moved")
    with pytest.raises(DataError, match="that path does not exist"):
        export_masks(finished.root, out, "voc", MaskExportConfig(round=0))
    assert not out.exists() and not list(tmp_path.glob(".*"))


def test_export_masks__folder_of_predict(color_segmenter, tmp_path):
    for name, column in (("x/a", 64), ("b", 32)):
        image = np.zeros((96, 128, 3), np.uint8)
        image[:, :column] = (250, 0, 0)
        path = tmp_path / "in" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    (tmp_path / "in" / "bad.jpg").write_text("text")
    network = color_segmenter()
    predict_photos(network, [tmp_path / "in"], tmp_path / "found", PredictOptions(batch_size=2))
    assert export_masks(tmp_path / "found", tmp_path / "coco", "coco") == 2
    assert export_masks(tmp_path / "found", tmp_path / "voc", "voc") == 2
    assert (read_mask(tmp_path / "voc" / "SegmentationClass" / "x" / "a.png") == 1)[:, :60].all()
    coco = json.loads((tmp_path / "coco" / "annotations" / "instances_train.json").read_text())
    assert [one["name"] for one in coco["categories"]] == ["Röte"]
    with pytest.raises(ConfigError, match="no rounds and no filter"):
        export_masks(tmp_path / "found", tmp_path / "other", "coco", MaskExportConfig(round=1))
    (tmp_path / "found" / "photos.json").unlink()
    with pytest.raises(DataError, match="Run predict again"):
        export_masks(tmp_path / "found", tmp_path / "other", "coco")


def test_export_masks__predictions_of_a_network(color_segmenter, tmp_path, monkeypatch):
    red = np.zeros((96, 128, 3), np.uint8)
    red[:, :64] = (250, 0, 0)
    (tmp_path / "in").mkdir()
    Image.fromarray(red).save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "bad.jpg").write_text("text")
    network = color_segmenter()
    network.save(tmp_path / "run" / "model")
    monkeypatch.setattr(TorchSegmenter, "load", lambda *_: network)
    assert export_masks(tmp_path / "run", tmp_path / "voc", "voc", photos=[tmp_path / "in"]) == 1
    mask = read_mask(tmp_path / "voc" / "SegmentationClass" / "a.png")
    assert (mask[:, :60] == 1).all() and (mask[:, 68:] == 0).all()
    network = network.with_settings(PredictConfig(size_px=32, crf=True))
    monkeypatch.setattr(TorchSegmenter, "crf_in_batches", True)
    assert export_masks(tmp_path / "run", tmp_path / "drawn", "voc", photos=[tmp_path / "in"]) == 1
    drawn = read_mask(tmp_path / "drawn" / "SegmentationClass" / "a.png")
    assert (drawn[:, :64] == 1).all() and (drawn[:, 64:] == 0).all()
    with pytest.raises(ConfigError, match="New predictions have no quality scores"):
        export_masks(tmp_path, tmp_path / "o", "voc", MaskExportConfig(min_quality=0.5), photos=[tmp_path / "in"])
    with pytest.raises(DataError, match="None of the 1 photos can be read"):
        export_masks(tmp_path / "run", tmp_path / "o", "voc", photos=[tmp_path / "in" / "bad.jpg"])


@pytest.mark.parametrize("kind", MASK_FORMATS)
@pytest.mark.parametrize("name", ["../../victim", "/victim"])
def test_export_masks__a_name_that_leads_outside_is_refused(predicted, tmp_path, kind, name):
    (tmp_path / "victim.jpg").write_text("victim")
    listed = read_json(predicted / "photos.json")
    write_json(predicted / "photos.json", {name: listed["x/row"]})
    with pytest.raises(DataError, match=r"photos\.json.*A name must be a relative path inside its folder"):
        export_masks(predicted, tmp_path / "out" / "deep", kind, photos=[tmp_path])
    assert (tmp_path / "victim.jpg").read_text() == "victim" and not (tmp_path / "out").exists()


@pytest.mark.parametrize("link", ["masks", "masks/x", "masks/x/row.png"])
def test_export_masks__a_link_in_a_folder_of_predictions_is_refused(predicted, tmp_path, link):
    (predicted / link).rename(tmp_path / "elsewhere")
    (predicted / link).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=f"{link} must not be a link"):
        export_masks(predicted, tmp_path / "out", "voc")
    assert not (tmp_path / "out").exists()


def test_export_masks__a_link_in_a_run_is_refused_but_not_to_a_run(finished, tmp_path):
    (tmp_path / "link").symlink_to(finished.root)
    assert export_masks(tmp_path / "link", tmp_path / "out", "voc") == 3
    finished.enhanced(1).rename(tmp_path / "elsewhere")
    finished.enhanced(1).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="enhanced must not be a link"):
        export_masks(finished.root, tmp_path / "other", "voc")


def test_export_masks__a_photo_that_predict_has_not_seen_needs_its_folder(predicted, tmp_path):
    private = tmp_path / "private" / "me.jpg"
    private.parent.mkdir()
    shutil.copyfile(tmp_path / "in" / "x" / "row.jpg", private)
    write_json(predicted / "photos.json", {"x/row": str(private)})
    for prepare in (lambda: None, (predicted / "origin.json").unlink):
        prepare()
        with pytest.raises(DataError, match=r"private/me\.jpg, which was not recognized.*add --photos"):
            export_masks(predicted, tmp_path / "out", "voc")
    link = predicted / "me.jpg"
    link.symlink_to(private)
    write_json(predicted / "photos.json", {"x/row": str(link)})
    with pytest.raises(DataError, match="which was not recognized"):
        export_masks(predicted, tmp_path / "out", "voc", photos=[tmp_path / "in"])
    assert not (tmp_path / "out").exists()
    assert export_masks(predicted, tmp_path / "out", "voc", photos=[private.parent]) == 1
    assert export_masks(predicted, tmp_path / "one", "voc", photos=[str(private.parent / "*.jpg")]) == 1


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/", "/tmp", "/0.jpg", "{tmp}/0.txt", "{tmp}/1.jpg", "{tmp}/folder/0.jpg"]
)
def test_export_masks__no_folder_is_proposed_for_a_path_that_is_no_photo(predicted, tmp_path, path):
    for name in ("0.txt", "1.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "folder" / "0.jpg").mkdir(parents=True)
    write_json(predicted / "photos.json", {"0": path.format(tmp=tmp_path)})
    write_mask(predicted / "masks" / "0.png", np.ones((2, 2), np.uint8))
    with pytest.raises(
        DataError, match="add --photos with (the folder of your photos|its folder); or run predict again"
    ):
        export_masks(predicted, tmp_path / "out", "voc")


def test_export_masks__a_root_is_not_proposed(predicted, tmp_path):
    photo = tmp_path / "in" / "x" / "row.jpg"
    name = photo.relative_to(photo.anchor).with_suffix("").as_posix()
    write_mask(mask_path(predicted / "masks", name), np.ones((1, 7), np.uint8))
    write_json(predicted / "photos.json", {name: str(photo)})
    with pytest.raises(DataError, match="add --photos with the folder of your photos"):
        export_masks(predicted, tmp_path / "out", "voc")


def test_export_masks__the_folder_of_a_photo_that_was_changed_is_proposed(predicted, tmp_path):
    (tmp_path / "in" / "x" / "row.jpg").write_bytes((tmp_path / "in" / "x" / "column.jpg").read_bytes())
    with pytest.raises(DataError, match=rf"add --photos {tmp_path / 'in'}; or run predict again"):
        export_masks(predicted, tmp_path / "out", "voc")


@pytest.mark.parametrize(
    "classes, message",
    [
        ([], "Tuple should have at least 2 items"),
        (["background"], "Tuple should have at least 2 items"),
        (["background", *(f"class {index}" for index in range(1, 1000))], "Tuple should have at most 255 items"),
        (["background", "cat", "cat"], "must start with 'background' and have distinct names"),
        (["cat", "dog"], "must start with 'background' and have distinct names"),
        (["background", ""], "at 1: String should have at least 1 character"),
        (["background", "x" * 256], "at 1: String should have at most 255 characters"),
        (["background", "\ud800"], "at 1: Input should be a valid string"),
    ],
)
@pytest.mark.parametrize("kind", ["voc", "cvat"])
def test_export_masks__class_names_that_predict_does_not_write(predicted, tmp_path, kind, classes, message):
    (predicted / "classes.json").write_text(json.dumps(classes))
    with pytest.raises(DataError, match=rf"classes\.json must hold the names of 2 to 255 classes.*, but.*{message}"):
        export_masks(predicted, tmp_path / "out", kind)
    assert not (tmp_path / "out").exists()


def test_export_masks__predictions_and_photos_that_moved(predicted, masks, tmp_path):
    (tmp_path / "moved").mkdir()
    for name in ("in", "found"):
        (tmp_path / name).rename(tmp_path / "moved" / name)
    assert export_masks(tmp_path / "moved" / "found", tmp_path / "out", "voc") == len(masks)
    (tmp_path / "moved" / "in").rename(tmp_path / "photos")
    with pytest.raises(DataError, match="does not exist. If it was moved, add --photos"):
        export_masks(tmp_path / "moved" / "found", tmp_path / "other", "voc")
    assert export_masks(tmp_path / "moved" / "found", tmp_path / "o", "voc", photos=[tmp_path / "photos"]) == len(masks)


@pytest.mark.parametrize("name", ["photos.json", "classes.json", "origin.json"])
@pytest.mark.parametrize("text", ["[[1, 2]]", "3", "null", '{"photos": 1}', "[" * 100_000, "{"])
def test_export_masks__json_of_the_wrong_kind(predicted, tmp_path, name, text):
    (predicted / name).write_text(text)
    with pytest.raises(DataError, match=name):
        export_masks(predicted, tmp_path / "out", "voc")


def test_export_masks__a_huge_mask_is_not_decoded(finished, tmp_path, claim_huge):
    claim_huge(finished.enhanced(1) / "cat" / "b.png")
    tracemalloc.start()
    with pytest.raises(DataError, match="12 x 10 pixels, but has 40000 x 40000"):
        export_masks(finished.root, tmp_path / "out", "coco")
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_export_masks__a_mask_that_does_not_fit(finished, tmp_path):
    for mask, message in (
        (np.ones((10, 11), np.uint8), "size of its photo, 12 x 10 pixels, but has 11 x 10"),
        (np.full((10, 12), 3, np.uint8), "must hold class indices from 0 to 2, but holds 3"),
    ):
        write_mask(finished.enhanced(1) / "cat" / "b.png", mask)
        with pytest.raises(DataError, match=message):
            export_masks(finished.root, tmp_path / "out", "coco")
        assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".*"))


def test_command__exports_and_reports_errors(finished, tmp_path, capsys):
    def call(*arguments: object) -> int:
        with pytest.raises(SystemExit) as caught:
            main(["export", *map(str, arguments)])
        return int(caught.value.code or 0)

    main(["export", str(finished.root), "--format", "coco", "--out", str(tmp_path / "out"), "--images", "none"])
    shown = capsys.readouterr()
    assert "3 photos: " in shown.out and "they were left out of training" in shown.err
    assert call(finished.root, "--format", "coco", "--out", tmp_path / "out") == 2
    assert "must be a new or empty folder" in capsys.readouterr().err
    assert call(finished.root, "--format", "coco", "--out", tmp_path / "o", "--min-quality", "0.5") == 2
    assert "--min-quality needs quality scores, but" in capsys.readouterr().err
    assert call(finished.root, "--format", "coco", "--out", tmp_path / "o", "--min-quality", "2") == 2
    assert "min_quality must be less than or equal to 1" in capsys.readouterr().err
    assert call(finished.root, "--format", "pascal", "--out", tmp_path / "o") == 2


@pytest.mark.slow
def test_command__existing_masks_need_no_torch(finished, tmp_path):
    code = (
        "import sys\nfrom coarse2fine.cli import main\nrun, out, *kinds = sys.argv[1:]\nfor kind in kinds:\n"
        "    main(['export', run, '--format', kind, '--out', f'{out}/{kind}', '--quiet'])\n"
        "    print(kind, sorted({'torch', 'lightning', 'timm'} & set(sys.modules)))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code, str(finished.root), str(tmp_path), *MASK_FORMATS],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.splitlines() == [f"{kind} []" for kind in MASK_FORMATS]
