import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coarse2fine.cli import COMMANDS, main
from coarse2fine.cli.fit import SHORT_HELP, choose_defaults
from coarse2fine.cli.parser import parse_ahead
from coarse2fine.config import FitConfig, load_recipe
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


def test_main__lists_its_commands(capsys):
    assert call("--help") == 0
    shown = capsys.readouterr().out
    assert all(command in shown for command in COMMANDS)
    assert call() == 2
    assert call("--version") == 0


def test_main__unknown_command_names_the_nearest(capsys):
    assert call("evalute") == 2
    assert "Did you mean 'evaluate'?" in capsys.readouterr().err


def test_main__an_option_with_a_typing_error_names_the_nearest(photos, tmp_path, capsys):
    assert call("fit", photos, "--out", tmp_path / "out", "--coarse.metod", "box") == 2
    assert "--coarse.method" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_main__help_of_every_command(command, capsys):
    assert call(command, "--help") == 0
    shown = capsys.readouterr().out
    assert "--quiet" in shown and "For example:" in shown
    for riddle in ("{None}", "no-on", "True|False", "verb"):
        assert riddle not in shown
    assert ("--json" in shown) == (command not in ("app", "serve"))


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_print_completion__of_all_commands(shell, capsys):
    assert call("--print-completion", shell) == 0
    shown = capsys.readouterr().out
    assert all(command in shown for command in COMMANDS)
    assert "max-megapixels" in shown and "generations.number" in shown


def test_print_completion__bash_completes_options_and_their_values(tmp_path, capsys):
    assert call("--print-completion", "bash") == 0
    script = (
        capsys.readouterr().out
        + """
try() { COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; COMPREPLY=()
  $(complete -p coarse2fine | sed 's/.*-F \\([^ ]*\\) .*/\\1/') coarse2fine "${@: -1}" ""; echo "${COMPREPLY[@]}"; }
try coarse2fine pre
try coarse2fine fit --coarse.me
try coarse2fine predict --device c
"""
    )
    (tmp_path / "script").write_text(script)
    shown = subprocess.run(["bash", tmp_path / "script"], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines() == ["predict", "--coarse.method", "cpu cuda"]


def test_print_completion__another_shell_is_one_sentence(capsys):
    assert call("--print-completion", "fish") == 2
    assert "followed by one of bash, zsh; found fish" in capsys.readouterr().err


@pytest.mark.parametrize("no_color", ["", "1"])
def test_main__help_respects_no_color(no_color):
    """The help is colored only on a terminal, which ``isatty`` pretends here."""
    code = "import sys\nsys.stdout.isatty = lambda: True\nfrom coarse2fine.cli import main\nmain(['info', '--help'])"
    environment = os.environ | {"NO_COLOR": no_color, "TERM": "xterm"}
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert ("\x1b[" in shown.stdout) == (not no_color)


def test_main__help_loads_no_heavy_library():
    code = """
import sys
from coarse2fine.cli import main
for words in ("--help", "fit --help", "predict --help", "export --help", "serve --help"):
    try:
        main(words.split())
    except SystemExit:
        print(sorted({"torch", "numba", "cv2", "scipy", "skimage"} & set(sys.modules)))
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert [line for line in shown.splitlines() if line.startswith("[")] == ["[]"] * 5


def test_main__bad_input_is_found_before_heavy_libraries_are_loaded(tmp_path):
    """Importing torch takes seconds, so paths are checked first."""
    (tmp_path / "run" / "model").mkdir(parents=True)
    (tmp_path / "run" / "config.toml").touch()
    code = """
import sys
from coarse2fine.cli import main
for words in (
    "predict run gone.mp4 --out o", "predict gone gone --out o", "predict gone.onnx gone --out o", "fit gone --out o",
    "serve gone", "evaluate gone.onnx gone", "evaluate run gone", "export gone --format coco --out o",
):
    try:
        main(words.split())
    except SystemExit as end:
        print(end.code, sorted({"torch", "numba", "onnxruntime", "skimage"} & set(sys.modules)))
"""
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout
    assert shown.splitlines() == ["2 []"] * 8


def test_coarse__a_box_loads_neither_torch_nor_numba(photos, tmp_path):
    code = "import sys\nfrom coarse2fine.cli import main\n"
    code += f"main(['coarse', {str(photos)!r}, '--out', 'o', '--method', 'box'])\n"
    code += "print({'torch', 'numba'} & set(sys.modules))"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout
    assert shown.endswith("set()\n")


def test_main__usage_loads_no_option_parser():
    code = "import sys\nfrom coarse2fine.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
    code += "print({'tyro', 'pydantic', 'rich'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.endswith("set()\n")


def test_fit__help_fits_on_two_screens_and_help_all_shows_everything(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert call("fit", "--help") == 0
    short = capsys.readouterr().out
    assert sum(max(1, -(-len(line) // 80)) for line in short.splitlines()) <= 100
    assert call("fit", "--help-all") == 0
    everything = capsys.readouterr().out
    for name in SHORT_HELP:
        flag = f"--{name.replace('_', '-')}"
        assert flag in short and flag in everything
    for flag in ("--enhance.grabcut.iterations", "--refine.constrain", "--filter.min-share", "--coarse.folder.path"):
        assert flag in everything and flag not in short


@pytest.mark.parametrize("command", ["app", "coarse", "demo", "enhance", "evaluate", "fit", "predict", "serve"])
def test_main__devices_have_one_name_and_one_set_of_values(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert call(command, "--help") == 0
    shown = capsys.readouterr().out
    assert "--device {auto,cpu,cuda}" in shown and "--threads INT" in shown


def test_fit__help_shows_the_defaults_of_the_recipe(capsys):
    assert call("fit", "--recipe", "paper", "--help") == 0
    assert "resnet101)" in " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_main__leaves_the_handler_of_sigterm_as_it_was():
    before = signal.getsignal(signal.SIGTERM)
    assert call("report", "no-such-run") == 2
    assert signal.getsignal(signal.SIGTERM) is before


def test_main__runs_outside_the_main_thread(capsys):
    thread = threading.Thread(target=lambda: call("report", "no-such-run"))
    thread.start()
    thread.join()
    assert "no-such-run must be a run folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("fit x --out y --train.batch 0", "train.batch must be greater than 0 (found 0)"),
        (
            "fit x --out y --enhance.linear-weight -1",
            "enhance.linear_weight must be greater than or equal to 0 (found -1.0)",
        ),
        (
            "fit x --out y --enhance.grabcut.iterations -3",
            "enhance.grabcut.iterations must be greater than 0 (found -3)",
        ),
        ("fit x --out y --rounds 0", "rounds must be greater than 0 or 'auto' (found 0)"),
        ("fit x --out y --train.epochs 3 0", "each value of train.epochs must be greater than 0 (found 0)"),
        ("coarse x --out y --box.share 2", "box.share must be less than or equal to 1 (found 2.0)"),
        ("enhance x y --out z --grabcut.iterations 0", "grabcut.iterations must be greater than 0 (found 0)"),
        ("export x --format coco --out y --min-quality 3", "min_quality must be less than or equal to 1 (found 3.0)"),
        ("serve x --port 0", "port must be greater than or equal to 1 (found 0)"),
        ("app x --port 70000", "port must be less than or equal to 65535 (found 70000)"),
    ],
)
def test_main__a_wrong_value_of_a_flag_is_one_sentence(arguments, message, capsys):
    assert call(*arguments.split()) == 2
    assert capsys.readouterr().err == f"coarse2fine: {message}.\n"


@pytest.mark.parametrize("arguments", ["fit x --out y --train.batch many", "fit x --out y --nonsense", "fit"])
def test_main__other_mistakes_are_explained_once_with_the_way_to_the_help(arguments, capsys):
    assert call(*arguments.split()) == 2
    assert capsys.readouterr().err.count("coarse2fine fit --help") == 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["fit", "GONE", "--out", "OUT"], "GONE"),
        (["fit", "PHOTOS", "--out", "OUT", "--recipe", "big"], "There is no recipe 'big'"),
        (["fit", "PHOTOS", "--out", "OUT", "--config", "gone.toml"], "gone.toml cannot be read"),
        (["fit", "PHOTOS", "--out", "OUT", "--filter.min-share", "0.9"], "coarse2fine: filter.min_share must be below"),
        (["fit", "PHOTOS", "--out", "OUT", "--coarse.method", "folder"], "coarse2fine: coarse.method = folder needs"),
        (["fit", "PHOTOS", "--out", "OUT", "--network.encoder", "resnet1018"], "resnet101"),
        (["fit", "PHOTOS", "--out", "OUT", "--ground-truth", "GONE"], "must hold 'images' and 'masks'"),
        (["fit", "PHOTOS", "--out", "OUT", "--ground-truth", "PHOTOS"], "one class index per pixel"),
        (["predict", "PHOTOS", "PHOTOS", "--out", "OUT"], "contains no finished network"),
        (["evaluate", "PHOTOS", "PHOTOS"], "photos"),
        (["evaluate", "PHOTOS", "PHOTOS", "--crf"], "--crf needs a network"),
        (["predict", "GONE.onnx", "PHOTOS", "--out", "OUT"], "There is no file GONE.onnx"),
        (["export", "PHOTOS", "--format", "onnx", "--out", "OUT"], "contains no finished network"),
        (["export", "PHOTOS", "--format", "torch-export", "--out", "OUT", "--int8"], "--int8 needs --format onnx"),
        (["export", "PHOTOS", "--format", "onnx", "--out", "OUT", "--ground-truth", "PHOTOS"], "need --int8; add it"),
        (["serve", "PHOTOS"], "contains no finished network"),
        (["serve", "PHOTOS", "--host", "no.such.host.invalid"], "is not available"),
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


@pytest.mark.parametrize("flag", ["--rounds=0", "--no-such-flag", "--enhance.method=magic", "--network.name=magic"])
def test_main__a_bad_flag_is_status_2(flag, photos, tmp_path, capsys):
    assert call("fit", photos, "--out", tmp_path / "out", flag) == 2
    assert flag.split("=")[0].strip("-").split(".")[-1].replace("-", "_") in capsys.readouterr().err.replace("-", "_")


def test_coarse_then_enhance__on_plain_folders(photos, tmp_path, capsys):
    main(["coarse", str(photos), "--out", str(tmp_path / "c"), "--method", "box"])
    main(["enhance", str(photos), str(tmp_path / "c"), "--out", str(tmp_path / "e")])
    for name in ("a", "b c"):
        mask = read_mask(tmp_path / "e" / "class ü" / f"{name}.png")
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


@pytest.mark.parametrize("start", ["probabilities", "mask"])
def test_enhance__by_a_crf(start, photos, tmp_path):
    for name in ("a", "b c"):
        soft = np.full((40, 60), 0.2, np.float32)
        soft[8:28, 17:47] = 0.8
        path = tmp_path / "rough" / f"{name}.png"
        if start == "probabilities":
            write_soft(path, soft)
        else:
            write_mask(path, (soft > 0.5).astype(np.uint8))
    arguments = ["enhance", photos / "class ü", tmp_path / "rough", "--out", tmp_path / "e", "--method", "crf"]
    main([*map(str, arguments), "--start", start, "--quiet"])
    mask = read_mask(tmp_path / "e" / "a.png")
    assert (mask[10:30, 15:45] == 1).all() and int(mask.sum()) == 600
    assert call(*arguments, "--start", "box") == 2  # the masks in the folder are of another start


def test_evaluate__masks_against_masks(tmp_path, capsys):
    for folder in ("out", "val"):
        write_mask(tmp_path / folder / "a.png", np.array([[0, 1]], np.uint8))
    main(["evaluate", str(tmp_path / "out"), str(tmp_path / "val")])
    assert "1.000" in capsys.readouterr().out
    assert read_json(tmp_path / "out" / "metrics.json")["mean_iou"] == 1.0


def test_evaluate__masks_by_the_class_names_of_the_ground_truth(tmp_path, capsys):
    write_mask(tmp_path / "out" / "a.png", np.array([[0, 1, 2]], np.uint8))
    write_mask(tmp_path / "val" / "masks" / "a.png", np.array([[0, 2, 1]], np.uint8))
    (tmp_path / "out.txt").write_text("background\ncat\ndog\n")
    arguments = ["evaluate", tmp_path / "out", tmp_path / "val", "--classes", tmp_path / "out.txt"]
    main([*map(str, arguments)])
    assert read_json(tmp_path / "out" / "metrics.json")["mean_iou"] == pytest.approx(1 / 3, abs=1e-5)
    (tmp_path / "val.txt").write_text("background\ndog\ncat\n")
    main([*map(str, arguments), "--ground-truth-classes", str(tmp_path / "val.txt")])
    found = read_json(tmp_path / "out" / "metrics.json")
    assert found["mean_iou"] == 1 and found["classes"] == ["background", "cat", "dog"]
    (tmp_path / "val" / "classes.json").write_text('["background", "dog", "horse"]')
    assert call(*arguments) == 2
    assert "'cat' is not" in capsys.readouterr().err
    (tmp_path / "val" / "classes.json").write_text('["dog", "cat"]')
    assert call(*arguments) == 2
    assert "must be 'background'" in capsys.readouterr().err


def test_evaluate__a_network_by_the_class_names_of_the_ground_truth(color_segmenter, tmp_path, monkeypatch):
    image = np.full((64, 64, 3), 60, np.uint8)
    image[:, :32] = (220, 20, 20)  # red: class 1 of the network, 2 of the ground truth
    (tmp_path / "val" / "images").mkdir(parents=True)
    Image.fromarray(image).save(tmp_path / "val" / "images" / "a.png")
    mask = np.zeros((64, 64), np.uint8)
    mask[:, :32] = 2
    write_mask(tmp_path / "val" / "masks" / "a.png", mask)
    (tmp_path / "val" / "classes.json").write_text('["background", "blue", "red"]')
    segmenter = color_segmenter(("background", "red", "blue"))
    monkeypatch.setattr("coarse2fine.inference.load.load_model", lambda *_: segmenter)
    main(["evaluate", str(tmp_path / "any.onnx"), str(tmp_path / "val"), "--out", str(tmp_path / "found.json")])
    iou = read_json(tmp_path / "found.json")["iou"]
    assert iou["red"] > 0.9 and iou["blue"] is None


@pytest.mark.parametrize(
    "arguments, config",
    [
        (["a", "--recipe", "demo", "b", "--train.epochs", "3", "4"], load_recipe("demo")),
        (["--recipe=paper", "--rounds", "3"], load_recipe("paper")),
        (["a", "--rounds", "3"], FitConfig()),
        (["a", "--task", "foreground", "--help"], load_recipe("small", "foreground")),
    ],
)
def test_choose_defaults__recipe_and_task(arguments, config):
    assert parse_ahead(choose_defaults, arguments, "fit")[1] == config


def test_choose_defaults__a_file_is_laid_over_the_recipe_of_its_task(tmp_path):
    (tmp_path / "my.toml").write_text('task = "foreground"\nrounds = 9')
    _, config = parse_ahead(choose_defaults, ["--config", str(tmp_path / "my.toml")], "fit")
    assert config == load_recipe("small", "foreground").model_copy(update={"rounds": 9})


def stop_in_training(command: list[str], training: Path, number: int) -> tuple[int, str]:
    """Start fit, send a signal to all of its processes while it trains; returns its status and what it printed."""
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    options["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # a background shell ignores it
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, **options)
    deadline = time.monotonic() + 120
    while not {path for path in training.rglob("*") if path.is_file()} - {training / "stage.json"}:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, number)
    _, printed = process.communicate(timeout=60)
    return process.returncode, printed


@pytest.mark.slow
def test_fit__stopped_in_training_says_how_to_go_on(tmp_path):
    draw_dataset(tmp_path / "data", train_per_class=1, val_photos=1, size_px=48)
    command = [sys.executable, "-m", "coarse2fine", "fit", str(tmp_path / "data" / "train"), "--recipe", "demo"]
    command += ["--out", str(tmp_path / "run"), "--enhance.method", "none", "--train.epochs", "4000"]
    command += ["--train.loader-workers", "1", "--train.crop-px", "32", "--train.resize-px", "32"]
    for number, status, how in (
        (signal.SIGTERM, 143, "terminated by the signal SIGTERM"),
        (signal.SIGINT, 130, "interrupted"),
    ):
        training = tmp_path / "run" / "round-1" / "training"
        shutil.rmtree(training, ignore_errors=True)  # begins anew, so that its files show when training has begun
        returned, printed = stop_in_training(command, training, number)
        assert returned == status, printed
        assert f"coarse2fine: {how}. Everything finished is kept" in printed
        assert "same command again to resume" in printed


@pytest.mark.fault("evaluate-readonly")
def test_evaluate__shows_the_table_even_if_the_file_cannot_be_written(tmp_path, capsys):
    write_mask(tmp_path / "masks" / "a.png", np.ones((4, 6), np.uint8))
    (tmp_path / "file").touch()
    assert call("evaluate", tmp_path / "masks", tmp_path / "masks", "--out", tmp_path / "file" / "x.json") == 2
    shown = capsys.readouterr()
    assert "pixel accuracy" in shown.out and "x.json could not be written" in " ".join(shown.err.split())


@pytest.mark.parametrize("words", [["--enhance.balance-size", "True"], ["--enhance.balance-size=false"]])
def test_main__a_switch_with_a_value_is_one_sentence(words, capsys):
    assert call("fit", "photos", "--out", "run", *words) == 2
    value = words[-1].rpartition("=")[2]
    assert capsys.readouterr().err == (
        f"coarse2fine: --enhance.balance-size must stand alone, without a value, but is followed by '{value}'. To "
        "switch it off, write --enhance.no-balance-size if --help shows it, or leave it out.\n"
    )


def test_main__a_folder_named_no_is_not_taken_for_the_value_of_a_switch(capsys):
    assert call("fit", "photos", "--out", "no", "--wrong") == 2
    error = capsys.readouterr().err
    assert "--wrong" in error
    assert "must stand alone" not in error
