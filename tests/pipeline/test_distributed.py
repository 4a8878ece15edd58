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
from coarse2fine.inference.torch_segmenter import TorchSegmenter

pytestmark = pytest.mark.slow

SETTINGS = """
rounds = 1
[enhance.grabcut]
iterations = 1
[filter]
min_share = 0.0
max_share = 1.0
[network]
encoder = "test_resnet"
decoder_channels = 16
[train]
epochs = [2]
min_steps = [1]
resize_px = 48
crop_px = 32
loader_workers = 0
checkpoint_photos = 12
precision = "fp32"
"""


@pytest.fixture(scope="module")
def two_launches(data, tmp_path_factory) -> tuple[Path, str, str]:
    """A run of two processes, one of which is killed in training, and which a second launch resumes.

    Returns:
        The run folder, and the output of both launches.
    """
    out = tmp_path_factory.mktemp("runs") / "two"
    process = launch(data, out, SETTINGS.replace("epochs = [2]", "epochs = [400]"))
    deadline = time.monotonic() + 300
    while not (out / "round-1" / "training" / "checkpoint.pt").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(workers[1]), signal.SIGKILL)
    killed, _ = process.communicate(timeout=300)
    assert process.returncode != 0
    assert (out / "coarse" / "done.json").exists()
    again = launch(data, out)
    resumed, _ = again.communicate(timeout=600)
    assert again.returncode == 0, resumed
    return out, killed, resumed


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


def test_fit__a_killed_worker_ends_the_run_which_can_be_resumed(two_launches):
    _, killed, resumed = two_launches
    said = " ".join(killed.split()).lower()
    # The launcher may end the other process before it notices.
    assert "another process of this run ended" in said or "terminated by the signal sigterm" in said
    assert "everything finished is kept" in said and "the same command again to resume" in said
    assert "coarse masks: already done" in resumed


def test_fit__two_processes_write_the_same_masks_and_train(two_launches, data, tmp_path):
    two, _, shown = two_launches
    assert shown.count("after round 1") == 1
    settings = parse_config(SETTINGS, "test", load_recipe("demo"))
    one = coarse2fine.fit(data / "train", tmp_path / "one", settings)
    for stage in ("coarse", "enhanced"):
        assert masks_of(two / stage) == masks_of(one.root / stage)
    assert masks_of(two / "round-1").keys() == masks_of(one.round(1)).keys()
    both = masks_of(two / "round-1" / "refined")
    shutil.rmtree(two / "round-1" / "refined")
    coarse2fine.fit(data / "train", two, settings)
    assert masks_of(two / "round-1" / "refined") == both  # all processes used the network that was saved
    assert TorchSegmenter.load(two).classes == TorchSegmenter.load(one.root).classes
