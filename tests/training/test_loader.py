import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import Dataset

from coarse2fine.config import TrainConfig
from coarse2fine.errors import Coarse2FineError, DataError
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.processes import World
from coarse2fine.training.loader import count_fitting_workers, count_loader_workers, load_batches
from coarse2fine.training.sampler import ResumableBatchSampler, SampleIndex


class Samples(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Samples of 1000 bytes that hold the index of their photo; a photo that is not there raises ``error``."""

    def __init__(self, missing: int | None = None, error: Callable[[], None] | None = None) -> None:
        self.missing, self.error = missing, error

    def __getitem__(self, index: SampleIndex) -> tuple[torch.Tensor, torch.Tensor]:
        if self.error and index.photo == self.missing:
            self.error()
        return torch.full((900,), index.photo, dtype=torch.uint8), torch.zeros(100, dtype=torch.uint8)


def read_damaged_photo() -> None:
    raise DataError("photos/cat/7.jpg: truncated after 812 bytes")


def be_killed_as_by_full_shared_memory() -> None:
    os.kill(os.getpid(), signal.SIGBUS)


def load(workers: int, samples: Samples, context: Context | None = None) -> list[list[int]]:
    sampler = ResumableBatchSampler(8, 4, range(3), seed=0)
    config = TrainConfig(batch=4, loader_workers=workers)
    batches = load_batches(samples, sampler, config, context or Context(), torch.device("cpu"))
    return [images[:, 0].tolist() for images, _ in batches]


def other_photo() -> int:
    """A photo that is not the first sample, which the main process loads to know its size."""
    return load(0, Samples())[0][1]


@pytest.mark.parametrize("free_mb, workers", [(64, 8), (30, 3), (15, 1), (1, 0)])
def test_count_fitting_workers__at_256_px_in_the_shared_memory_of_docker(free_mb, workers):
    batch_bytes = 12 * 256 * 256 * (3 + 1)
    assert min(8, count_fitting_workers(batch_bytes, free_mb * 2**20)) == workers


def test_load_batches__fewer_workers_in_small_shared_memory_load_the_same(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("coarse2fine.training.loader.SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=12_000))
    assert load(2, Samples(), Context(console=Console(quiet=True))) == load(0, Samples())
    assert "loaded by 0 worker processes instead of 2" in " ".join(capsys.readouterr().err.split())
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=36_000))
    assert load(2, Samples(), Context(console=Console(quiet=True))) == load(0, Samples())
    assert not capsys.readouterr().err


IN_SMALL_SHARED_MEMORY = """
import sys, torch
from coarse2fine.config import TrainConfig
from coarse2fine.runtime.context import Context
from coarse2fine.training.loader import load_batches
from coarse2fine.training.sampler import ResumableBatchSampler
class Samples(torch.utils.data.Dataset):
    def __getitem__(self, index):
        return torch.full((256, 256, 3), index.photo, dtype=torch.uint8), torch.zeros(256, 256, dtype=torch.uint8)
config = TrainConfig(batch=12, loader_workers=8)
batches = load_batches(Samples(), ResumableBatchSampler(24, 12, range(24), 0), config, Context(), torch.device("cpu"))
print([images[:, 0, 0, 0].tolist() for images, _ in batches])
"""


@pytest.mark.slow
@pytest.mark.fault("shm64")
def test_load_batches__in_the_shared_memory_of_docker_and_in_less():
    mount = ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/dev/shm"]
    if not shutil.which("unshare") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root on Linux can mount another file system in place of /dev/shm")
    loaded = {}
    for size in ("64m", "1m"):
        script = f'mount -t tmpfs -o size={size} tmpfs /dev/shm && exec "$0" -c "$1"'
        command = ["unshare", "-m", "sh", "-c", script, sys.executable, IN_SMALL_SHARED_MEMORY]
        loaded[size] = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert loaded["64m"].stdout == loaded["1m"].stdout and loaded["1m"].stdout.count(",") == 24 * 12 - 1
    assert "worker processes instead" not in " ".join(loaded["64m"].stderr.split())
    assert "loaded by 0 worker processes instead of 8" in " ".join(loaded["1m"].stderr.split())


@pytest.mark.parametrize("workers", [0, 1])
def test_load_batches__an_error_of_a_photo_is_one_sentence(workers):
    with pytest.raises(DataError) as caught:
        load(workers, Samples(other_photo(), read_damaged_photo))
    assert str(caught.value) == "photos/cat/7.jpg: truncated after 812 bytes"


def test_load_batches__a_killed_worker_is_one_sentence():
    with pytest.raises(Coarse2FineError, match=r"was killed, or found .* Set train\.loader_workers to a smaller"):
        load(1, Samples(other_photo(), be_killed_as_by_full_shared_memory))


def test_count_loader_workers__setting_or_number_of_cores(monkeypatch):
    monkeypatch.setattr("coarse2fine.runtime.processes.count_cores", lambda: 16)
    assert count_loader_workers(TrainConfig(loader_workers=3), World()) == 3
    assert count_loader_workers(TrainConfig(), World(0, 4, 4)) == 4
    assert count_loader_workers(TrainConfig(), World()) == 8
