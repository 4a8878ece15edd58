"""The processes of one run under a launcher (``torchrun`` or SLURM): their number, connection and shares of the work.

Inside a process threads are enough: OpenCV, Pillow and torch release the interpreter lock. Each process works on its
share of the photos; in :func:`barrier` the processes wait for each other.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from coarse2fine.errors import Coarse2FineError
from coarse2fine.runtime.device import count_cores
from coarse2fine.runtime.threads import Item

LONGEST_STAGE = timedelta(days=7)
_FIRST_SPECIAL_STEP = 0xFFFF_FFF0  # SLURM_MAX_NORMAL_STEP_ID: from here on batch scripts, interactive shells and others
_LOST_PEER = ("gloo", "nccl", "connection closed", "connection reset", "broken pipe")


@dataclass(frozen=True)
class World:
    """The processes of one run, as the launcher describes them in the environment.

    Attributes:
        rank: Number of this process, 0 to ``size`` - 1.
        size: Number of processes.
        local_size: Number of processes on this machine.
    """

    rank: int = 0
    size: int = 1
    local_size: int = 1

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return this process's share of ``items``: every ``size``-th item, starting with item ``rank``."""
        return items[self.rank :: self.size]


def find_world() -> World:
    """Read the processes of the run from the environment; without a launcher this is one process.

    ``torchrun`` sets RANK and WORLD_SIZE. SLURM sets SLURM_NTASKS also for the script of ``sbatch``, which runs only
    once. Therefore SLURM counts only if ``srun`` started this process as part of a job step, and not for a shell
    (``srun --pty bash``).
    """
    env = os.environ
    if "WORLD_SIZE" in env and "RANK" in env:
        return World(int(env["RANK"]), int(env["WORLD_SIZE"]), int(env.get("LOCAL_WORLD_SIZE", "1")))
    if "SLURM_NTASKS" in env and "SLURM_PROCID" in env and _is_started_by_srun():
        size = int(env["SLURM_NTASKS"])
        return World(int(env["SLURM_PROCID"]), size, max(1, size // int(env.get("SLURM_NNODES", "1"))))
    return World()


def _is_started_by_srun() -> bool:
    env = os.environ
    step = env.get("SLURM_STEP_ID", env.get("SLURM_STEPID", ""))
    is_step = step.isdigit() and int(step) < _FIRST_SPECIAL_STEP
    return is_step and env.get("SLURM_JOB_NAME") not in ("bash", "interactive")


def join_world(world: World, gpu: bool) -> None:
    """Connect the processes of a run; does nothing for a single process."""
    if world.size == 1:
        return
    import torch.distributed

    if not torch.distributed.is_initialized():
        if "MASTER_ADDR" not in os.environ:
            _set_slurm_master()
        backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
        torch.distributed.init_process_group(backend, timeout=LONGEST_STAGE, rank=world.rank, world_size=world.size)


def _set_slurm_master() -> None:
    """Set the address for the processes to meet: the first machine of the job, and a port derived from the job's id."""
    hosts = os.environ.get("SLURM_NODELIST", "127.0.0.1")
    first = re.sub(r"\[(\d+).*?\]", r"\1", hosts).split(",")[0].split()[0]  # node[07-09,12],gpu3 -> node07
    os.environ["MASTER_ADDR"] = first
    os.environ.setdefault("MASTER_PORT", str(15000 + int(os.environ.get("SLURM_JOB_ID", "0")[-4:])))


def leave_world(world: World) -> None:
    """Disconnect from the other processes of the run."""
    if world.size > 1:
        import torch.distributed

        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


@contextmanager
def joined(world: World, gpu: bool) -> Iterator[None]:
    """Connect the processes of a run inside the block.

    Args:
        world: The processes.
        gpu: Whether the processes also exchange tensors between GPUs.

    Raises:
        Coarse2FineError: Another process of the run ended while this process waited for it.
    """
    join_world(world, gpu)
    try:
        yield
    except RuntimeError as error:
        if world.size == 1 or not any(sign in str(error).lower() for sign in _LOST_PEER):
            raise
        raise Coarse2FineError(
            f"Another process of this run ended, so process {world.rank} of {world.size} stops, too; everything "
            "finished is kept. Run the same command again to resume."
        ) from error
    finally:
        leave_world(world)


def barrier(world: World) -> None:
    """Wait until every process of the run has called this function."""
    if world.size > 1:
        import torch
        import torch.distributed

        torch.distributed.all_reduce(torch.zeros(1))


def is_true_anywhere(world: World, value: bool) -> bool:
    """Return whether ``value`` is true in any process of the run; every process must call this function."""
    if world.size == 1:
        return value
    import torch
    import torch.distributed

    count = torch.tensor([float(value)])
    torch.distributed.all_reduce(count)
    return bool(count)


def count_threads(world: World) -> int:
    """Return the number of threads for this process: its share of the cores of the machine."""
    return max(1, count_cores() // world.local_size)
