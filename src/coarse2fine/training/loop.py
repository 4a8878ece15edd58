"""One round: photos and masks in, weights out. Lightning drives it, on the CPU, on GPUs, on many machines.

Training can be killed at any moment and goes on from its last checkpoint to exactly the weights that it would have
had: order and variation of the photos depend on the seed and the step alone.
"""

import importlib.util
import logging
import math
import warnings
from abc import abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from coarse2fine.config import StreamConfig, TrainConfig
from coarse2fine.errors import Coarse2FineError, ConfigError
from coarse2fine.networks.normalization import normalize
from coarse2fine.networks.segmentation import SegmentationNetwork, parameter_groups
from coarse2fine.runtime.console import Advance, Console
from coarse2fine.runtime.device import count_cores, pick_device, pick_dtype
from coarse2fine.runtime.processes import World
from coarse2fine.runtime.seeds import seed_of
from coarse2fine.training.samples import StreamSampler, TrainingSamples, count_steps
from coarse2fine.types import IGNORE, Example, Photo

LOADER_WORKERS_MAX = 8


class Task(Protocol):
    """A training: what a network sees, how often, and where its traces go.

    Attributes:
        photos: What to train on.
        config: Batch, number format, checkpoints.
        epochs: Passes over the photos.
        seed: Decides order and variation.
        folder: Where checkpoint and logs go.
        title: What progress is called.
    """

    @property
    def photos(self) -> Sequence[Photo | Example]: ...  # noqa: D102
    @property
    def config(self) -> StreamConfig: ...  # noqa: D102
    @property
    def epochs(self) -> int: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102
    @property
    def folder(self) -> Path: ...  # noqa: D102
    @property
    def title(self) -> str: ...  # noqa: D102


@dataclass(frozen=True)
class Round:
    """What one round of the recursion trains on.

    Attributes:
        encoder: Name of the network's encoder.
        photos: Photos of the round.
        masks: Folder of their masks.
        config: How to train.
        epochs: Passes over the photos.
        seed: Decides order and variation.
        folder: Where checkpoint and logs go.
        title: What progress is called.
    """

    encoder: str
    photos: Sequence[Photo]
    masks: Path
    config: TrainConfig
    epochs: int
    seed: int
    folder: Path
    title: str = "training"


def train_round(network: nn.Module, work: Round, world: World, console: Console) -> float:
    """Train ``network`` in place on the photos and masks of a round; go on from a checkpoint if there is one.

    Returns:
        Mean cross-entropy over the last tenth of the steps.

    Raises:
        ConfigError: A batch is too small for the number of processes.
        Coarse2FineError: The loss is no longer a number.

    Source: the paper, section IV-B; method of DeepLab v2 (Chen et al., TPAMI 2018) for the schedule.
    """
    return run_training(RoundModule(network, work, world), work, world, console)


def run_training(module: "StreamModule", work: Task, world: World, console: Console) -> float:
    """Train a module; go on from its checkpoint if there is one.

    Returns:
        Mean loss over the last tenth of the steps.

    Raises:
        ConfigError: A batch is too small for the number of processes.
        Coarse2FineError: The loss is no longer a number.
    """
    if work.config.batch < 2 * world.size or work.config.batch % world.size:
        raise ConfigError(
            f"train.batch must be a multiple of the {world.size} processes and at least two photos for each "
            f"(batch norm needs them), but is {work.config.batch}; try --train.batch {2 * world.size}."
        )
    progress = _ShowProgress(console, work)
    checkpoint = work.folder / "checkpoint.ckpt"
    callbacks = [progress, _KeepCheckpoint(checkpoint, steps_of(work)), *_averaging(work.config)]
    trainer = _make_trainer(work, world, callbacks)
    resume = checkpoint if checkpoint.exists() else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            trainer.fit(module, ckpt_path=resume, weights_only=True if resume else None)
        except SystemExit as stop:  # Lightning's answer to an interrupt
            raise KeyboardInterrupt from stop
    return module.recent_loss()


def steps_of(work: Task) -> int:
    """Steps of a whole training."""
    return count_steps(len(work.photos), work.epochs, work.config.batch)


class StreamModule(LightningModule):
    """A network, its optimizer, and the stream of samples that a resumed training goes on with.

    Args:
        network: What learns.
        work: On what.
        world: The processes of the run.
    """

    def __init__(self, network: nn.Module, work: Task, world: World) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.task, self.world = work, world
        self.losses: deque[float] = deque(maxlen=max(1, math.ceil(steps_of(work) / 10)))

    @abstractmethod
    def find_loss(self, batch: Any) -> Tensor:
        """What is made small, on a batch of samples."""

    @abstractmethod
    def make_samples(self) -> Dataset[Any]:
        """What a `~coarse2fine.training.samples.Draw` chooses from."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The loss of a batch, kept and watched."""
        torch.manual_seed(seed_of(self.task.seed, self.global_step, self.world.rank))  # of dropout
        loss = self.find_loss(batch)
        if not torch.isfinite(loss):
            raise Coarse2FineError(
                f"The loss of {self.task.title} is no longer a number at step {self.global_step}; "
                "lower the learning rate, or set precision to fp32."
            )
        self.losses.append(float(loss.detach()))
        self.log("loss", loss.detach())
        return loss

    def recent_loss(self) -> float:
        """Mean loss over the last tenth of the steps."""
        return sum(self.losses) / max(1, len(self.losses))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the recent losses."""
        checkpoint["losses"] = list(self.losses)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the recent losses."""
        self.losses.extend(checkpoint["losses"])

    def train_dataloader(self) -> DataLoader[Any]:
        """The photos up to the next checkpoint."""
        work, first = self.task, self.global_step
        last = min(first + max(1, work.config.checkpoint_photos // work.config.batch), steps_of(work))
        sampler = StreamSampler(
            len(work.photos), work.config.batch, first, last, work.seed, self.world.rank, self.world.size
        )
        workers = count_loader_workers(work.config, self.world)
        on_gpu = pick_device().type == "cuda"
        return DataLoader(self.make_samples(), batch_sampler=sampler, num_workers=workers, pin_memory=on_gpu)


class RoundModule(StreamModule):
    """Loss, optimizer and data of one round."""

    def __init__(self, network: nn.Module, work: Round, world: World) -> None:
        super().__init__(network, work, world)
        self.work = work

    def find_loss(self, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Cross-entropy of a batch, see :func:`pixel_loss`."""
        images, masks, _labels = batch
        return pixel_loss(cast(SegmentationNetwork, self.network), normalize(images, self.work.encoder), masks)

    def make_samples(self) -> Dataset[Any]:
        """Photos and masks of the round."""
        return TrainingSamples(self.work.photos, self.work.masks, self.work.config, self.work.seed)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """SGD or AdamW with the poly schedule of DeepLab."""
        config, steps = self.work.config, steps_of(self.work)
        groups = parameter_groups(cast(SegmentationNetwork, self.network), config)
        if config.optimizer == "sgd":
            optimizer: torch.optim.Optimizer = torch.optim.SGD(groups, lr=config.learning_rate, momentum=0.9)
        else:
            optimizer = torch.optim.AdamW(groups, lr=config.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(step, steps, config))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def pixel_loss(network: SegmentationNetwork, images: Tensor, masks: Tensor) -> Tensor:
    """Mean cross-entropy over the pixels that count; 0 where none does.

    A network of several scales has one for each scale and one for their highest scores, summed. Logits are
    enlarged to the size of the images one photo at a time, which fits the caches of a processor.

    Args:
        network: What learns.
        images: Normalized RGB, shape (N, 3, H, W).
        masks: Class indices, shape (N, H, W), with IGNORE.

    Source: Chen et al., "DeepLab", TPAMI 2018, section 4.1.1, and the authors' Caffe models (one loss per scale).
    """
    scores = network.score_coarsely(images)
    losses = []
    for index in range(len(images)):
        parts = network.upsample([part[index : index + 1] for part in scores], masks.shape[-2:])
        highest = [torch.stack(parts).amax(dim=0)] if len(parts) > 1 else []
        losses += [_sum_of_losses(logits, masks[index : index + 1]) for logits in parts + highest]
    return torch.stack(losses).sum() / (masks != IGNORE).sum().clamp(min=1)


def _sum_of_losses(logits: Tensor, masks: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits, masks, ignore_index=IGNORE, reduction="sum")


def rate_factor(step: int, steps: int, config: TrainConfig) -> float:
    """What the learning rate is multiplied with: a rise, then (1 - step / steps) ** power.

    Source: DeepLab v2 (Chen et al., TPAMI 2018), section 4.1.
    """
    rise = config.warmup_share * steps
    return float(min(1.0, (step + 1) / (rise + 1)) * max(0.0, 1 - step / steps) ** config.poly_power)


def count_loader_workers(config: StreamConfig, world: World) -> int:
    """Processes that prepare photos: as set, else one per core of this process, up to eight."""
    if config.loader_workers is not None:
        return config.loader_workers
    return min(LOADER_WORKERS_MAX, max(1, count_cores() // world.local_size))


def _averaging(config: StreamConfig) -> list[Callback]:
    return [EMAWeightAveraging(decay=config.average_decay)] if config.average_decay else []


def _make_trainer(work: Task, world: World, callbacks: list[Callback]) -> Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    device = pick_device()
    bf16 = pick_dtype(work.config.precision, device) == torch.bfloat16
    return Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=world.local_size,
        num_nodes=world.nodes,
        strategy="ddp" if world.size > 1 else "auto",
        precision="bf16-mixed" if bf16 else "32-true",
        max_steps=steps_of(work),
        max_epochs=-1,
        reload_dataloaders_every_n_epochs=1,
        use_distributed_sampler=False,
        callbacks=callbacks,
        logger=_loggers(work.folder),
        log_every_n_steps=min(10, steps_of(work)),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=work.folder,
    )


def _loggers(folder: Path) -> list[Logger]:
    loggers: list[Logger] = [CSVLogger(folder, name="csv")]
    if importlib.util.find_spec("tensorboard"):
        loggers.append(TensorBoardLogger(folder, name="tensorboard"))
    return loggers


class _KeepCheckpoint(Callback):
    """Everything that training needs to go on, after each segment but the last."""

    def __init__(self, path: Path, steps: int) -> None:
        self.path, self.steps = path, steps

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step >= self.steps:  # from a checkpoint at the end Lightning would not average the weights
            return
        temporary = self.path.with_suffix(".tmp")
        trainer.save_checkpoint(temporary)
        if trainer.is_global_zero:
            temporary.replace(self.path)


class _ShowProgress(Callback):
    """Photos done, rate and time left."""

    def __init__(self, console: Console, work: Task) -> None:
        self.console, self.work = console, work
        self.advance: Advance | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        total = len(self.work.photos) * self.work.epochs
        done = min(total, trainer.global_step * self.work.config.batch)
        self.left = total - done
        self.scope = self.console.progress(total, self.work.title, done)
        self.advance = self.scope.__enter__()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Tensor | Mapping[str, Any] | None,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if self.advance is not None:
            batch_or_rest = min(self.work.config.batch, self.left)
            self.left -= batch_or_rest
            self.advance(batch_or_rest)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.scope.__exit__(None, None, None)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if self.advance is not None:
            self.scope.__exit__(None, None, None)
