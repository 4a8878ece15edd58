"""Two processes under torchrun, as on a machine with two GPUs."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import coarse2fine
from coarse2fine.config import dump_config, load_recipe, parse_config
from coarse2fine.data.synthetic import draw_dataset
from coarse2fine.inference.torch_segmenter import TorchSegmenter

SETTINGS = """
rounds = 1
[enhance.grabcut]
iterations = 1
[filter]
min_share = 0.0
max_share = 1.0
[network]
encoder = "mobilenetv2_050"
decoder_channels = 16
[train]
epochs = [2]
resize_px = 48
crop_px = 32
loader_workers = 0
checkpoint_photos = 12
precision = "fp32"
"""


@pytest.fixture
def data(tmp_path) -> Path:
    draw_dataset(tmp_path / "data", train_per_class=2, val_photos=2, size_px=48)
    return tmp_path / "data"


def launch(data: Path, out: Path, settings: str = SETTINGS) -> "subprocess.Popen[str]":
    (data / "settings.toml").write_text(dump_config(parse_config(settings, "test", load_recipe("demo"))))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0"]
    command += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", "-m", "coarse2fine", "fit", data / "train"]
    command += ["--out", out, "--config", data / "settings.toml", "--ground-truth", data / "val"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen([str(part) for part in command], text=True, env=environment, **pipes)


def masks_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}


def test_fit__two_processes_write_the_same_masks_and_train(data, tmp_path):
    process = launch(data, tmp_path / "two")
    shown, _ = process.communicate(timeout=600)
    assert process.returncode == 0, shown
    assert shown.count("after round 1") == 1
    settings = parse_config(SETTINGS, "test", load_recipe("demo"))
    one = coarse2fine.fit(data / "train", tmp_path / "one", settings)
    for stage in ("coarse", "enhanced"):
        assert masks_of(tmp_path / "two" / stage) == masks_of(one.root / stage)
    assert masks_of(tmp_path / "two" / "round-1").keys() == masks_of(one.round(1)).keys()
    both = masks_of(tmp_path / "two" / "round-1" / "refined")
    shutil.rmtree(tmp_path / "two" / "round-1" / "refined")
    coarse2fine.fit(data / "train", tmp_path / "two", settings)
    assert masks_of(tmp_path / "two" / "round-1" / "refined") == both  # all processes used the network that was saved
    assert TorchSegmenter.load(tmp_path / "two").classes == TorchSegmenter.load(one.root).classes


def test_fit__a_killed_worker_ends_the_run_which_can_be_resumed(data, tmp_path):
    out = tmp_path / "two"
    process = launch(data, out, SETTINGS.replace("epochs = [2]", "epochs = [400]"))
    deadline = time.monotonic() + 300
    while not (out / "round-1" / "training" / "checkpoint.pt").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(workers[1]), signal.SIGKILL)
    shown, _ = process.communicate(timeout=300)
    assert process.returncode != 0
    assert "another process" in shown.lower() and "everything finished is kept" in " ".join(shown.split())
    assert "the same command again to resume" in " ".join(shown.split())
    assert (out / "coarse" / "done.json").exists()
    again = launch(data, out)
    shown, _ = again.communicate(timeout=600)
    assert again.returncode == 0, shown
    assert "coarse masks: already done" in shown
