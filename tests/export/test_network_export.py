import shutil

import numpy as np
import pytest

from coarse2fine.cli import main
from coarse2fine.config import FitConfig, dump_config
from coarse2fine.inference.load import load_model
from coarse2fine.masks.png import write_mask
from coarse2fine.runtime.files import size_and_time, write_json, write_text


@pytest.fixture
def ground_truth(clouds, cloud_folder, tmp_path):
    (cloud_folder / "broken.jpg").unlink()
    for index, image in enumerate(clouds):
        write_mask(tmp_path / "val" / "masks" / f"{index} ü.png", (image[..., 0] > 128).astype(np.uint8))
    shutil.copytree(cloud_folder, tmp_path / "val" / "images")
    return tmp_path / "val"


@pytest.mark.usefixtures("converted_before")
def test_export__onnx(small_run, clouds, tmp_path, capsys):
    main(["export", str(small_run), "--format", "onnx", "--out", str(tmp_path / "new" / "a b.onnx")])
    assert "probabilities differ by at most" in capsys.readouterr().out
    assert "| 1 | Röte |" in (tmp_path / "new" / "a b.onnx.md").read_text()  # the model card
    made, own = load_model(tmp_path / "new" / "a b.onnx", "cpu", 1), load_model(small_run, "cpu", 1)
    assert (made.predict(clouds[0]) == own.predict(clouds[0])).all()


@pytest.mark.slow
@pytest.mark.usefixtures("converted_before")
def test_export__int8_measures_its_loss_on_the_runs_own_photos(small_run, cloud_folder, ground_truth, tmp_path, capsys):
    shutil.copytree(small_run, tmp_path / "run")
    photos = sorted(shutil.copytree(cloud_folder, tmp_path / "data" / "blue").iterdir())
    usable = {f"blue/{path.stem}": size_and_time(path) for path in photos} | {"blue/gone": "1 1"}
    record = {"data": str(tmp_path / "data"), "classes": ["background", "blue"], "usable": usable, "skipped": {}}
    write_json(tmp_path / "run" / "photos.json", record)
    write_text(tmp_path / "run" / "config.toml", dump_config(FitConfig(rounds=1)))
    arguments = [
        tmp_path / "run",
        "--format",
        "onnx",
        "--out",
        tmp_path / "s.onnx",
        "--int8",
        "--ground-truth",
        ground_truth,
    ]
    main(["export", *map(str, arguments)])
    shown = capsys.readouterr().out
    assert "float32: mIoU 0." in shown and "int8: mIoU 0." in shown and "on 5 photos" in shown
    assert load_model(tmp_path / "s.onnx", "cpu", 1).classes == ("background", "Röte", "blue")
    assert "mIoU of the int8 network on other ground truth: 0." in (tmp_path / "s.onnx.md").read_text()


def test_export__int8_without_photos_says_what_to_give(small_run, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["export", str(small_run), "--format", "onnx", "--out", str(tmp_path / "s.onnx"), "--int8"])
    assert caught.value.code == 2 and not (tmp_path / "s.onnx").exists()
    assert "Give other photos: --calibrate PHOTOS" in capsys.readouterr().err


def test_export__int8_needs_ground_truth_with_photos(small_run, tmp_path, capsys):
    out = ["--format", "onnx", "--out", str(tmp_path / "s.onnx"), "--int8"]
    with pytest.raises(SystemExit) as caught:
        main(["export", str(small_run), *out, "--ground-truth", str(tmp_path)])
    assert caught.value.code == 2 and not (tmp_path / "s.onnx").exists()
    assert "a folder with 'images' and 'masks' in it, or a public data set" in " ".join(capsys.readouterr().err.split())
