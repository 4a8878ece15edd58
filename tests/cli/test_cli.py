import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coarse2fine.cli import VERBS, main
from coarse2fine.cli.fit import take_option
from coarse2fine.data.synthetic import draw_dataset
from coarse2fine.masks.png import read_mask, write_mask, write_soft
from coarse2fine.runtime.files import read_json


def call(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    return int(caught.value.code or 0)


@pytest.fixture
def photos(tmp_path) -> Path:
    for name in ("a", "b c"):
        image = np.full((40, 60, 3), 128, np.uint8)
        image[10:30, 15:45] = (230, 20, 20)
        path = tmp_path / "photos" / "class ü" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return tmp_path / "photos"


def test_main__tells_its_verbs(capsys):
    assert call("--help") == 0
    shown = capsys.readouterr().out
    assert all(verb in shown for verb in VERBS)
    assert call() == 2
    assert call("--version") == 0


def test_main__unknown_verb_names_the_nearest(capsys):
    assert call("evalute") == 2
    assert "Did you mean 'evaluate'?" in capsys.readouterr().err


@pytest.mark.parametrize("verb", VERBS)
def test_main__help_of_every_verb(verb, capsys):
    assert call(verb, "--help") == 0
    assert "--quiet" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["--help", "fit --help", "predict --help", "export --help", "serve --help"])
def test_main__help_loads_no_heavy_library(verb):
    code = (
        f"import sys\ntry:\n    from coarse2fine.cli import main; main({verb.split()!r})\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'lightning', 'cv2', 'scipy', 'skimage'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip().endswith("[]")


def test_main__settings_are_flags_with_help(capsys):
    assert call("fit", "--help") == 0
    shown = capsys.readouterr().out
    for flag in (
        "--rounds",
        "--enhance.iterations",
        "--network.encoder-weights",
        "--refine.constrain",
        "--train.epochs",
    ):
        assert flag in shown
    assert "deeplabv2" not in shown.split("--network.name")[0]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["fit", "GONE", "--out", "OUT"], "GONE"),
        (["fit", "PHOTOS", "--out", "OUT", "--recipe", "big"], "There is no recipe 'big'"),
        (["fit", "PHOTOS", "--out", "OUT", "--config", "gone.toml"], "gone.toml cannot be read"),
        (["fit", "PHOTOS", "--out", "OUT", "--refine.min-share", "0.9"], "coarse2fine: refine.min_share must be below"),
        (["fit", "PHOTOS", "--out", "OUT", "--coarse.method", "folder"], "coarse2fine: coarse.method = folder needs"),
        (["fit", "PHOTOS", "--out", "OUT", "--network.encoder", "resnet1018"], "resnet101"),
        (["fit", "PHOTOS", "--out", "OUT", "--truth", "GONE"], "must hold 'images' and 'masks'"),
        (["fit", "PHOTOS", "--out", "OUT", "--truth", "PHOTOS"], "one class index per pixel"),
        (["predict", "PHOTOS", "PHOTOS", "--out", "OUT"], "contains no finished network"),
        (["evaluate", "PHOTOS", "PHOTOS"], "photos"),
        (["evaluate", "PHOTOS", "PHOTOS", "--crf", "True"], "A CRF needs a network's scores"),
        (["predict", "GONE.onnx", "PHOTOS", "--out", "OUT"], "There is no file GONE.onnx"),
        (["export", "PHOTOS", "--format", "onnx", "--out", "OUT"], "contains no finished network"),
        (["export", "PHOTOS", "--format", "torch-export", "--out", "OUT", "--int8"], "8 bits are for --format onnx"),
        (["export", "PHOTOS", "--format", "onnx", "--out", "OUT", "--truth", "PHOTOS"], "belong to --int8"),
        (["serve", "PHOTOS"], "contains no finished network"),
        (["serve", "PHOTOS", "--host", "no.such.host.invalid"], "must be free to listen on"),
        (["serve", "PHOTOS", "--max-mb", "0"], "max_mb"),
        (["coarse", "GONE", "--out", "OUT"], "there is no such file or folder"),
        (["enhance", "PHOTOS", "GONE", "--out", "OUT"], "must hold masks as PNG"),
    ],
)
def test_main__bad_input_is_one_sentence_and_status_2(arguments, message, photos, tmp_path, capsys):
    places = {"PHOTOS": photos, "OUT": tmp_path / "out", "GONE": tmp_path / "GONE"}
    assert call(*(places.get(argument, argument) for argument in arguments)) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert "Traceback" not in shown
    assert not (tmp_path / "out" / "coarse").exists()


@pytest.mark.parametrize("flag", ["--rounds=0", "--no-such-flag", "--enhance.method=magic"])
def test_main__a_bad_flag_is_status_2(flag, photos, tmp_path, capsys):
    assert call("fit", photos, "--out", tmp_path / "out", flag) == 2
    assert flag.split("=")[0].strip("-").split(".")[-1].replace("-", "_") in capsys.readouterr().err.replace("-", "_")


def test_coarse_then_enhance__on_plain_folders(photos, tmp_path, capsys):
    main(["coarse", str(photos), "--out", str(tmp_path / "c"), "--method", "box"])
    main(["enhance", str(photos / "class ü"), str(tmp_path / "c"), "--out", str(tmp_path / "e")])
    for name in ("a", "b c"):
        mask = read_mask(tmp_path / "e" / f"{name}.png")
        assert (mask[10:30, 15:45] == 1).all() and int(mask.sum()) == 600
    assert "coarse masks: 2/2" in capsys.readouterr().out
    assert call("coarse", photos, "--out", tmp_path / "c", "--method", "saliency") == 2
    assert "made with other settings (coarse.method box -> saliency" in capsys.readouterr().err


def test_enhance__every_class_on_its_own(photos, tmp_path):
    mask = np.zeros((40, 60), np.uint8)
    mask[10:30, 15:30], mask[10:30, 30:45] = 3, 5
    write_mask(tmp_path / "rough" / "a.png", mask)
    write_mask(tmp_path / "rough" / "b c.png", np.zeros_like(mask))
    main(["enhance", str(photos / "class ü"), str(tmp_path / "rough"), "--out", str(tmp_path / "e"), "--quiet"])
    assert set(np.unique(read_mask(tmp_path / "e" / "a.png"))) == {0, 3, 5}
    assert read_json(tmp_path / "e" / "notes.json")["b c"] == "empty"


@pytest.mark.parametrize("start", ["scores", "mask"])
def test_enhance__by_a_crf(start, photos, tmp_path):
    for name in ("a", "b c"):
        soft = np.full((40, 60), 0.2, np.float32)
        soft[8:28, 17:47] = 0.8
        path = tmp_path / "rough" / f"{name}.png"
        if start == "scores":
            write_soft(path, soft)
        else:
            write_mask(path, (soft > 0.5).astype(np.uint8))
    arguments = ["enhance", photos / "class ü", tmp_path / "rough", "--out", tmp_path / "e", "--method", "crf"]
    main([*map(str, arguments), "--start", start, "--crf.steps", "5", "--quiet"])
    mask = read_mask(tmp_path / "e" / "a.png")
    assert (mask[10:30, 15:45] == 1).all() and int(mask.sum()) == 600
    assert call(*arguments, "--start", start, "--crf.steps", "6") == 2


def test_evaluate__masks_against_masks(tmp_path, capsys):
    for folder in ("out", "truth"):
        write_mask(tmp_path / folder / "a.png", np.array([[0, 1]], np.uint8))
    main(["evaluate", str(tmp_path / "out"), str(tmp_path / "truth")])
    assert "1.000" in capsys.readouterr().out
    assert read_json(tmp_path / "out" / "metrics.json")["mean_iou"] == 1.0


@pytest.mark.parametrize(
    "arguments, value, rest",
    [
        (["a", "--recipe", "demo", "b"], "demo", ["a", "b"]),
        (["--recipe=paper"], "paper", []),
        (["a", "--rounds", "3"], None, ["a", "--rounds", "3"]),
    ],
)
def test_take_option__takes_it_out(arguments, value, rest):
    assert take_option(arguments, "--recipe") == (value, rest)


@pytest.mark.parametrize(
    "number, status, how", [(signal.SIGTERM, 143, "stopped by a signal"), (signal.SIGINT, 130, "stopped by you")]
)
def test_fit__stopped_in_training_says_how_to_go_on(number, status, how, tmp_path):
    draw_dataset(tmp_path / "data", train_per_class=1, val_photos=1, size_px=48)
    command = [sys.executable, "-m", "coarse2fine", "fit", tmp_path / "data" / "train", "--out", tmp_path / "run"]
    command += ["--recipe", "demo", "--train.epochs", "4000", "--train.loader-workers", "1", "--train.crop-px", "32"]
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    options["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # a background shell ignores it
    process = subprocess.Popen([str(part) for part in command], env=os.environ | {"OMP_NUM_THREADS": "1"}, **options)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "run").glob("round-1/training/csv/*")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(1)
    os.killpg(process.pid, number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == status, told
    assert f"{how}" in told and "the same command goes on from here" in told
