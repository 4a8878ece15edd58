"""``--json``, ``info`` and ``doctor``."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coarse2fine.cli import main
from coarse2fine.data.synthetic import draw_dataset
from coarse2fine.masks.png import write_mask
from coarse2fine.networks import hub
from coarse2fine.report import facts
from coarse2fine.runtime import environment, extras


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "photos" / "a.png"
    path.parent.mkdir()
    Image.fromarray(np.full((40, 60, 3), 128, np.uint8)).save(path)
    return path


def call(capsys, *arguments: object) -> tuple[dict, str]:
    """Run a command with --json; return the object on standard output, and standard error."""
    main([*map(str, arguments), "--json"])
    shown = capsys.readouterr()
    assert shown.out.count("\n") == 1
    return json.loads(shown.out), shown.err


def test_json__coarse_and_evaluate(photo, tmp_path, capsys):
    found, log = call(capsys, "coarse", photo.parent, "--out", tmp_path / "c", "--method", "box")
    assert found == {"masks": str(tmp_path / "c")}
    assert "coarse masks: 1/1 photos" in log
    write_mask(tmp_path / "truth" / "a.png", np.ones((40, 60), np.uint8))
    found, log = call(capsys, "evaluate", tmp_path / "c", tmp_path / "truth")
    assert found["photos"] == 1 and found["iou"]["1"] == pytest.approx(0.64, abs=0.05)
    assert found["file"] == str(tmp_path / "c" / "metrics.json") and "pixel accuracy" in log


def test_json__predict(small_run, photo, tmp_path, capsys):
    (photo.parent / "broken.jpg").write_text("no photo")
    found, log = call(capsys, "predict", small_run, photo.parent, "--out", tmp_path / "o", "--device", "cpu")
    assert found["photos"] == 1 and list(found["skipped"]) == [str(photo.parent / "broken.jpg")]
    assert found["masks"] == str(tmp_path / "o" / "masks") and "predicting" in log


def test_json__an_error_prints_no_object(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["evaluate", str(tmp_path), str(tmp_path), "--json"])
    shown = capsys.readouterr()
    assert caught.value.code == 2 and shown.out == "" and shown.err.startswith("coarse2fine: ")


def test_json__is_valid_if_a_library_prints(tmp_path):
    """What a command prints by any other way than the console goes to standard error, too."""
    code = "import sys\nfrom coarse2fine.cli.parser import Json, parse_and_call\n"
    code += "def work(json: Json = False) -> dict:\n    print('noise')\n    return {'a': 1}\n"
    code += "parse_and_call(work, ['--json'], 'work')"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(shown.stdout) == {"a": 1} and shown.stderr == "noise\n"


@pytest.mark.slow
def test_json__fit_prints_what_info_prints(short_run, tmp_path, capsys):
    data, run = tmp_path / "data", tmp_path / "run"
    draw_dataset(data, train_per_class=2, val_photos=2, size_px=48)
    (tmp_path / "short.toml").write_text(short_run)
    options = ["--config", tmp_path / "short.toml", "--rounds", 1, "--enhance.method", "none", "--device", "cpu"]
    options += ["--threads", 1, "--ground-truth", data / "val"]
    found, log = call(capsys, "fit", data / "train", "--out", run, *options)
    assert found["finished"] and found["photos"] == 12 and len(found["classes"]) == 7
    assert [row["round"] for row in found["figures"]] == [0, 1] and 0 <= found["figures"][1]["value"] <= 1
    assert found["network"]["encoder"] == "test_resnet" and found["versions"]["torch"] == version("torch")
    assert "on cpu with 1 cores" in log
    assert call(capsys, "info", run)[0] == found


def test_info__a_network_in_a_folder(small_run, capsys):
    found, log = call(capsys, "info", small_run)
    assert log == ""
    assert found["classes"] == ["background", "Röte", "blue"] and found["size_px"] == 64
    assert found["encoder"] == "test_efficientnet" and found["scales"] == [1.0, 0.5]
    weights = small_run / "model" / "weights.safetensors"
    assert found["bytes"] == weights.stat().st_size and 0 < found["weights"] < found["bytes"]
    main(["info", str(small_run)])
    assert "background, Röte, blue" in capsys.readouterr().out


def test_info__a_network_with_damaged_weights_is_one_sentence(small_run, tmp_path, capsys):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.toml").write_bytes((small_run / "model" / "model.toml").read_bytes())
    (folder / "weights.safetensors").write_bytes(b"broken")
    with pytest.raises(SystemExit) as caught:
        main(["info", str(folder)])
    assert caught.value.code == 2 and "must be a readable safetensors file" in capsys.readouterr().err


def test_info__an_exported_network(small_onnx, capsys):
    found, _ = call(capsys, "info", small_onnx)
    assert found["classes"] == ["background", "Röte", "blue"] and found["size_px"] == 64 and not found["int8"]
    assert found["versions"] == {"coarse2fine": version("coarse2fine")}


def test_info__what_is_no_run(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["info", str(tmp_path)])
    assert caught.value.code == 2 and "contains no finished network" in capsys.readouterr().err


def test_describe_run__an_unfinished_run(tmp_path):
    run = facts.Run(tmp_path / "run")
    run.root.mkdir()
    run.config.write_text(
        'rounds = 2\n[coarse]\nmethod = "box"\n[enhance]\nmethod = "none"\n[network]\nname = "fpn"\nencoder = "e"\n'
    )
    facts_of_photos = {"data": "/d", "classes": ["background", "cat"], "max_megapixels": 200.0}
    run.photos.write_text(json.dumps(facts_of_photos | {"usable": {"cat/1": "5 6"}, "skipped": {"/d/x": "empty"}}))
    metrics = {"round": 0, "left_out": 1, "training_masks_iou": {"coarse": 0.5, "enhanced": 0.75}}
    run.metrics(0).write_text(json.dumps(metrics))
    found = facts.describe_run(run)
    assert found["photos"] == 1 and found["skipped"] == 1 and found["rounds"] == 2 and found["coarse_method"] == "box"
    assert found["figures"] == [{"round": 0, "left_out": 1, "masks_iou": {"coarse": 0.5, "enhanced": 0.75}}]
    assert found["finished"] is False and found["network"] is None and found["report"] is None


def test_doctor__names_versions_devices_and_extras(capsys, monkeypatch):
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_, **__: None)
    found, _ = call(capsys, "doctor")
    assert found["versions"]["torch"] == version("torch") and found["cores"] >= 1
    assert (found["device"] in ("cpu", "cuda") and found["memory_bytes"] is None) or found["memory_bytes"] > 1e8
    assert set(found["extras"]) == set(extras.EXTRAS) and found["missing"] == []
    assert found["encoder_weights"] == {"encoder": "mobilenetv2_100", "downloaded": False}


class Installed:
    requires = (
        "numpy>=1.26",
        "no-such-package>=3",
        "numpy>=99; extra == 'onnx'",
        "onnx>=1.21; python_version < '3' and extra == 'onnx'",
    )

    def read_text(self, _name: str) -> None:
        return None


def test_doctor__says_what_is_missing_and_how_to_install_it(monkeypatch, capsys):
    monkeypatch.setattr(extras, "distribution", lambda _name: Installed())
    assert extras.find_missing() == ["no-such-package>=3"]
    assert extras.find_missing("onnx") == [f"numpy>=99 (found {np.__version__})"]
    assert extras.find_missing("app") == []
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_, **__: "/cache/model.safetensors")
    main(["doctor"])
    shown = capsys.readouterr()
    assert "ImageNet weights of mobilenetv2_100, the encoder of fit: downloaded" in shown.out
    line = next(line for line in shown.out.splitlines() if line.startswith("extra onnx"))
    assert line.endswith(f"missing: numpy>=99 (found {np.__version__}). pip install 'coarse2fine[onnx]'")
    assert "needed by every command, but not installed or too old: no-such-package>=3" in shown.err


def test_describe_environment__without_sysconf(monkeypatch):
    monkeypatch.delattr(environment.os, "sysconf_names")
    assert environment.describe_environment()["memory_bytes"] is None
