import os
import threading
import time

import pytest
import torch

from coarse2fine.runtime.processes import World, _set_slurm_master, find_world
from coarse2fine.runtime.threads import map_threads, torch_threads


def test_map_threads__keeps_order_and_uses_threads():
    seen = set()

    def work(item):
        seen.add(threading.get_ident())
        time.sleep(0.01 * (5 - item))
        return item * item

    assert list(map_threads(work, range(5), 3)) == [0, 1, 4, 9, 16]
    assert len(seen) > 1


def test_map_threads__takes_no_more_than_it_needs():
    taken = []

    def source():
        for item in range(1000):
            taken.append(item)
            yield item

    results = map_threads(lambda item: item, source(), 2)
    assert next(results) == 0
    assert len(taken) <= 6
    results.close()


def test_map_threads__raises_what_the_work_raises():
    with pytest.raises(ZeroDivisionError):
        list(map_threads(lambda item: 1 // item, [1, 0, 1], 2))


def test_torch_threads__restores_the_number_also_when_blocks_overlap():
    before = torch.get_num_threads()
    first, second = torch_threads(before + 1), torch_threads(before + 2)
    first.__enter__()
    second.__enter__()
    assert torch.get_num_threads() == before + 2
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert torch.get_num_threads() == before
    with torch_threads(None):
        assert torch.get_num_threads() == before


def test_world__shares_every_item_once():
    items = list(range(7))
    shares = [World(rank, 3, 3).share(items) for rank in range(3)]
    assert sorted(sum(shares, [])) == items


def clear_launcher(monkeypatch):
    names = ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "LOCAL_RANK", *(name for name in os.environ if "SLURM" in name))
    for name in names:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "variables, size",
    [
        ({}, 1),  # the script of sbatch
        ({"SLURM_STEP_ID": "batch"}, 1),
        ({"SLURM_STEPID": "4294967291"}, 1),  # the same as a number
        ({"SLURM_STEP_ID": "4294967290"}, 1),  # the shell of salloc
        ({"SLURM_STEP_ID": "0", "SLURM_JOB_NAME": "interactive"}, 1),
        ({"SLURM_STEP_ID": "0", "SLURM_JOB_NAME": "bash"}, 1),
        ({"SLURM_STEP_ID": "0"}, 4),
        ({"SLURM_STEPID": "2"}, 4),  # the older name
    ],
)
def test_find_world__several_processes_only_if_srun_started_them(monkeypatch, variables, size):
    clear_launcher(monkeypatch)
    for name, value in ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"} | variables).items():
        monkeypatch.setenv(name, value)
    assert find_world() == World(0, size, size)


def test_find_world__reads_torchrun_and_slurm(monkeypatch):
    clear_launcher(monkeypatch)
    assert find_world() == World()
    monkeypatch.setenv("SLURM_NTASKS", "8")
    monkeypatch.setenv("SLURM_PROCID", "3")
    monkeypatch.setenv("SLURM_NNODES", "2")
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    assert find_world() == World(3, 8, 4)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert find_world() == World(1, 2, 2)


@pytest.mark.parametrize(
    "hosts, first",
    [
        ("node07", "node07"),
        ("node[07-09,12],gpu3", "node07"),
        ("gpu3,node[07-09]", "gpu3"),
        ("rack[1-2]node[5,9]", "rack1node5"),
        ("a b", "a"),
    ],
)
def test_set_slurm_master__first_host_and_a_port_from_the_job_id(monkeypatch, hosts, first):
    monkeypatch.setenv("SLURM_NODELIST", hosts)
    monkeypatch.setenv("SLURM_JOB_ID", "1234567")
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")  # so that it is restored after the test
        monkeypatch.delenv(name)
    _set_slurm_master()
    assert os.environ["MASTER_ADDR"] == first and os.environ["MASTER_PORT"] == "19567"
    monkeypatch.setenv("MASTER_PORT", "29500")
    _set_slurm_master()
    assert os.environ["MASTER_PORT"] == "29500"
