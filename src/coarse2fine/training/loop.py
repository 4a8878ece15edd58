"""The training loop. It trains any network with a `TrainingJob`, on one CPU, one GPU or several of them.

A training can be killed at any moment. It resumes from its last checkpoint; SIGINT (Ctrl-C) and SIGTERM write one
first, even if only one of several processes receives the signal. With the same number of processes on the same kind of
machine, it ends with exactly the weights of an uninterrupted training, because the order and the augmentation of the
photos depend on the seed and on the step only.
"""

import math
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from itertools import chain
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn
from torch.utils.data import Dataset

from coarse2fine.config import StreamConfig
from coarse2fine.errors import Coarse2FineError, ConfigError
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.device import pick_device, pick_dtype
from coarse2fine.runtime.processes import World, is_true_anywhere
from coarse2fine.runtime.seeds import seed_of
from coarse2fine.runtime.signals import defer_signals
from coarse2fine.training.checkpoint import CHECKPOINT, Checkpoint
from coarse2fine.training.loader import load_batches
from coarse2fine.training.log import open_log
from coarse2fine.training.sampler import ResumableBatchSampler


class TrainingJob(Protocol):
    """What to train on and how: samples, loss, optimizer and schedule of one kind of network.

    Attributes:
        photos: Photos to train on, with or without further files.
        config: Batch size, precision, checkpoints, weight averaging.
        steps: Optimizer steps.
        seed: Seed of order, augmentation and dropout.
        folder: Folder of the checkpoint and of the log.
        title: Title of the progress display.
    """

    @property
    def photos(self) -> Sequence[object]: ...  # noqa: D102
    @property
    def config(self) -> StreamConfig: ...  # noqa: D102
    @property
    def steps(self) -> int: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102
    @property
    def folder(self) -> Path: ...  # noqa: D102
    @property
    def title(self) -> str: ...  # noqa: D102

    def make_samples(self) -> Dataset[tuple[Tensor, Tensor]]:
        """Return the data set of (image, target), indexed by `~coarse2fine.training.sampler.SampleIndex`.

        Samples travel between processes, so they should have the smallest type that holds them.
        """

    def photo_frequencies(self) -> NDArray[np.float64] | None:
        """Return how often each photo is drawn per epoch, on average, with sum ``len(photos)``; None: once."""

    def make_optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Return the optimizer of the network's trainable parameters."""

    def learning_rate_factor(self, step: int, steps: int) -> float:
        """Return the factor of the initial learning rate at a step."""

    def compute_loss(self, network: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        """Compute the training loss of a batch, a scalar."""


def train(
    network: nn.Module, job: TrainingJob, context: Context, on_step: Callable[[int], None] | None = None
) -> float:
    """Train ``network`` in place; resume from the checkpoint in the job's folder if there is one.

    After the call the network is on the CPU, and the random state of torch is the same as before.

    Args:
        network: The network.
        job: What to train on and how.
        context: Processes and console.
        on_step: Called after each optimizer step with the number of finished steps, also those of an earlier call.

    Returns:
        Mean loss over the last tenth of the steps.

    Raises:
        ConfigError: The batch is not a multiple of the number of processes, or has fewer than two photos per process.
        DataError: A photo or a mask cannot be read.
        Coarse2FineError: The loss is not finite, or a process that loads photos was killed.
        KeyboardInterrupt: This process or another one of the run received SIGINT or SIGTERM. The checkpoint has the
            state after the last step.
    """
    config, world, device = job.config, context.world, pick_device()
    check_batch(config.batch, world)
    dtype = pick_dtype(config.precision, device)
    steps, steps_per_checkpoint = job.steps, max(1, config.checkpoint_photos // config.batch)

    network.to(device).to(memory_format=torch.channels_last).train()
    optimizer = job.make_optimizer(network)
    schedule = LambdaLR(optimizer, lambda step: job.learning_rate_factor(step, steps))
    average = None
    if config.average_decay:
        average_fn = get_ema_avg_fn(config.average_decay)  # type: ignore[no-untyped-call]
        average = AveragedModel(network, avg_fn=average_fn, use_buffers=True)
    last_losses: deque[float] = deque(maxlen=max(1, math.ceil(steps / 10)))
    parts = {"network": network, "optimizer": optimizer, "schedule": schedule}
    checkpoint = Checkpoint(job.folder / CHECKPOINT, parts | ({"average": average} if average else {}), last_losses)
    first_step = checkpoint.load()

    with (
        defer_signals() as is_stopping,
        _isolated_state(device),
        open_log(job.folder, first_step, job.title, context.logger) if context.is_main else nullcontext() as log,
        context.console.progress(steps * config.batch, job.title, first_step * config.batch) as advance,
    ):
        compute_loss: nn.Module = _LossModule(network, job.compute_loss)
        if world.size > 1:
            compute_loss = DistributedDataParallel(compute_loss, device_ids=[device] if device.type == "cuda" else None)
        sampler = ResumableBatchSampler(
            len(job.photos),
            config.batch,
            range(first_step, steps),
            job.seed,
            world.rank,
            world.size,
            job.photo_frequencies(),
        )
        loaded = load_batches(job.make_samples(), sampler, config, context, device)
        with closing(loaded) as batches:  # ends the worker processes now, even if the traceback of an error is kept
            for step, batch in enumerate(batches, first_step):
                images, targets = (part.to(device, non_blocking=True) for part in batch)
                torch.manual_seed(seed_of(job.seed, step, world.rank))  # dropout depends on the seed and the step only
                with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                    loss = compute_loss(images, targets)
                last_losses.append(loss.item())
                _check_finite(last_losses[-1], step, job.title)

                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if log:
                    log(step, last_losses[-1], optimizer.param_groups[0]["lr"])
                schedule.step()
                if average:
                    average.update_parameters(network)

                advance(config.batch)
                done = step + 1
                if on_step:
                    on_step(done)
                must_stop = is_true_anywhere(world, is_stopping())
                if context.is_main and (must_stop or (done % steps_per_checkpoint == 0 and done < steps)):
                    checkpoint.save(done)
                if must_stop:
                    raise KeyboardInterrupt
    if average:
        _copy_tensors(average.module, network)
    network.cpu()
    return sum(last_losses) / max(1, len(last_losses))


class _LossModule(nn.Module):
    """Network and loss as one module: DistributedDataParallel averages the gradients of a ``forward`` call only."""

    def __init__(self, network: nn.Module, compute_loss: Callable[[nn.Module, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.compute_loss = network, compute_loss

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        return self.compute_loss(self.network, images, targets)


def check_batch(batch: int, world: World) -> None:
    """Check that a batch can be shared among the processes of a run.

    Raises:
        ConfigError: It is not a multiple of their number, or has fewer than two photos per process.
    """
    if batch < 2 * world.size or batch % world.size:
        raise ConfigError(
            f"train.batch must be a multiple of the number of processes ({world.size}) and hold at least two photos "
            f"per process, because batch norm needs two; found {batch}. Try --train.batch {2 * world.size}."
        )


def _check_finite(loss: float, step: int, title: str) -> None:
    if not math.isfinite(loss):
        raise Coarse2FineError(
            f"The loss must be finite, but is {loss} at step {step} of '{title}'. "
            "Lower train.learning_rate, or set train.precision to fp32."
        )


def _copy_tensors(source: nn.Module, target: nn.Module) -> None:
    with torch.no_grad():
        pairs = (chain(module.parameters(), module.buffers()) for module in (source, target))
        for source_tensor, target_tensor in zip(*pairs, strict=True):
            target_tensor.copy_(source_tensor)


@contextmanager
def _isolated_state(device: torch.device) -> Iterator[None]:
    """Restore the random state and the current GPU of this process after the block."""
    on_gpu = device.type == "cuda"
    with (
        torch.random.fork_rng(devices=[device] if on_gpu else []),
        torch.cuda.device(device) if on_gpu else nullcontext(),
        warnings.catch_warnings(),
    ):
        # Some operations have no deterministic algorithm on a GPU. `fit` asks for determinism where it exists.
        warnings.filterwarnings("ignore", ".*deterministic", UserWarning)
        yield
