"""Batches of samples, loaded by worker processes within the shared memory of the machine."""

import shutil
from collections.abc import Generator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from coarse2fine.config import StreamConfig
from coarse2fine.errors import Coarse2FineError
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.environment import SHARED_MEMORY
from coarse2fine.runtime.processes import World, count_threads
from coarse2fine.runtime.signals import ignore_signals
from coarse2fine.training.sampler import ResumableBatchSampler

LOADER_WORKERS_MAX = 8

_BATCHES_PER_WORKER = 2
_BATCHES_IN_USE = 2
_USABLE_SHARE = 0.9


def load_batches(
    samples: Dataset[tuple[Tensor, Tensor]],
    sampler: ResumableBatchSampler,
    config: StreamConfig,
    context: Context,
    device: torch.device,
) -> Generator[list[Tensor], None, None]:
    """Load the batches of a training in worker processes; warn if shared memory allows fewer of them than wanted.

    Args:
        samples: The data set of (image, target).
        sampler: The indices of the samples of each batch.
        config: The number of worker processes; it does not change the batches.
        context: Processes of the run, and console for the warning.
        device: Device of the network.

    Yields:
        Images and targets of each optimizer step.

    Raises:
        DataError: A photo or a mask cannot be read.
        Coarse2FineError: A worker process was killed, or shared memory is full.
    """
    workers = count_loader_workers(config, context.world)
    if workers and len(sampler) and SHARED_MEMORY.is_dir():
        batch = next(iter(sampler))
        batch_bytes = len(batch) * sum(part.nbytes for part in samples[batch[0]])
        free_bytes = shutil.disk_usage(SHARED_MEMORY).free // context.world.local_size
        fitting = count_fitting_workers(batch_bytes, free_bytes)
        if fitting < workers:
            context.console.warn(
                f"Photos are loaded by {fitting} worker processes instead of {workers}, because {SHARED_MEMORY} has "
                f"only {free_bytes / 1e6:.1f} MB free; the result is the same. For more speed enlarge it (docker run "
                "--shm-size 1g)."
            )
            workers = fitting
    batches: DataLoader[Any] = DataLoader(
        samples,
        batch_sampler=sampler,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        prefetch_factor=_BATCHES_PER_WORKER if workers else None,
        worker_init_fn=_start_worker,
    )
    try:
        yield from batches
    except Coarse2FineError as error:  # of a worker, its message is the traceback there
        kind = type(error)
        raise kind(str(error).rpartition(f"{kind.__module__}.{kind.__qualname__}: ")[2].strip()) from error
    except RuntimeError as error:
        text = str(error)
        if not any(sign in text for sign in ("DataLoader worker (pid", "shared memory", "No space left on device")):
            raise
        raise Coarse2FineError(
            f"A process that loads photos for the training was killed, or found {SHARED_MEMORY} full "
            f"({text.strip().splitlines()[-1].strip()}). Set train.loader_workers to a smaller number, such as 0, or "
            "enlarge the memory (docker run --shm-size 1g), and run the same command again to resume."
        ) from error


def count_loader_workers(config: StreamConfig, world: World) -> int:
    """Return the number of processes that load photos: the setting, else one per core of this process, at most 8."""
    if config.loader_workers is not None:
        return config.loader_workers
    return min(LOADER_WORKERS_MAX, count_threads(world))


def count_fitting_workers(batch_bytes: int, free_bytes: int) -> int:
    """Return how many loader processes have room for their batches in shared memory.

    Args:
        batch_bytes: Size of a batch.
        free_bytes: Free shared memory for this process of the run.
    """
    batches = int(_USABLE_SHARE * free_bytes) // max(1, batch_bytes)
    return max(0, (batches - _BATCHES_IN_USE) // _BATCHES_PER_WORKER)


def _start_worker(_worker: int) -> None:
    ignore_signals()
