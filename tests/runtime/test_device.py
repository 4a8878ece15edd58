import os

import pytest
import torch

from coarse2fine.errors import ConfigError
from coarse2fine.runtime import device as hardware
from coarse2fine.runtime.device import computing_on, count_cores, deterministic_algorithms, pick_device, pick_dtype
from coarse2fine.runtime.seeds import seed_of


def test_pick_device__the_gpu_of_this_process(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert pick_device() == pick_device("cuda") == torch.device("cuda", 3)
    assert pick_device("cpu") == torch.device("cpu")
    monkeypatch.delenv("LOCAL_RANK")
    for local_id, visible, index in (("3", 4, 3), ("3", 1, 0), ("0", 8, 0)):  # 1: srun --gpus-per-task=1
        monkeypatch.setenv("SLURM_LOCALID", local_id)
        monkeypatch.setattr(torch.cuda, "device_count", lambda visible=visible: visible)
        assert pick_device() == torch.device("cuda", index)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device() == torch.device("cpu")
    with pytest.raises(ConfigError, match="torch finds no CUDA GPU"):
        pick_device("cuda")


def test_computing_on__holds_for_the_block(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("LOCAL_RANK", "1")
    cores = count_cores()
    with computing_on("cpu", cores + 3):
        assert pick_device() == torch.device("cpu") and count_cores() == cores + 3
        assert pick_device("cuda") == torch.device("cuda", 1)
        with computing_on(threads=1):
            assert pick_device() == torch.device("cpu") and count_cores() == 1
    assert pick_device() == torch.device("cuda", 1) and count_cores() == cores


def test_computing_on__refuses_what_is_impossible(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="no CUDA GPU"), computing_on("cuda"):
        pass
    with pytest.raises(ConfigError, match="--threads must be at least 1, found 0"), computing_on(threads=0):
        pass


def test_deterministic_algorithms__restores_the_mode_of_the_process(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = torch.are_deterministic_algorithms_enabled()
    with deterministic_algorithms():
        assert torch.are_deterministic_algorithms_enabled() and "CUBLAS_WORKSPACE_CONFIG" in os.environ
    assert torch.are_deterministic_algorithms_enabled() == before and "CUBLAS_WORKSPACE_CONFIG" not in os.environ


def test_pick_dtype__as_asked_or_by_processor(monkeypatch):
    cpu = torch.device("cpu")
    assert pick_dtype("bf16", cpu) == torch.bfloat16
    assert pick_dtype("fp32", cpu) == torch.float32
    for able, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(hardware, "_computes_bfloat16", lambda device, able=able: able)
        assert pick_dtype("auto", cpu) == dtype


def test_count_cores__at_least_one():
    assert count_cores() >= 1


def test_seed_of__differs_by_part_and_repeats():
    seeds = {seed_of(0), seed_of(1), seed_of(0, 1), seed_of(0, 1, 2), seed_of(0, 2, 1)}
    assert len(seeds) == 5
    assert seed_of(0, 1) == seed_of(0, 1)
