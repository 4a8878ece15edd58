"""Soft masks teach a student; pairs of masks teach the judge that tells good ones from bad."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from coarse2fine.config import StudentTrainConfig
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.processes import World
from coarse2fine.training.loop import StreamModule, run_training, steps_of
from coarse2fine.training.samples import SoftSamples
from coarse2fine.types import Example


@dataclass(frozen=True)
class Lesson:
    """What a student learns from.

    Attributes:
        photos: What it sees, and what it should find there.
        config: How it learns.
        epochs: Passes over the photos.
        input_px: Side at which it sees a photo.
        seed: Decides order and variation.
        folder: Where checkpoint and logs go.
        title: What progress is called.
    """

    photos: Sequence[Example]
    config: StudentTrainConfig
    epochs: int
    input_px: int
    seed: int
    folder: Path
    title: str = "student"


def teach(network: nn.Module, lesson: Lesson, world: World, console: Console) -> float:
    """Train a student in place; go on from a checkpoint if there is one.

    Returns:
        Mean squared error over the last tenth of the steps.

    Raises:
        ConfigError: A batch is too small for the number of processes.
        Coarse2FineError: The loss is no longer a number.

    Source: Croitoru et al., ICCV 2017, section 4.2.
    """
    return run_training(StudentModule(network, lesson, world), lesson, world, console)


class StudentModule(StreamModule):
    """Mean squared error to the teacher's soft masks; Adam with a falling rate."""

    def __init__(self, network: nn.Module, lesson: Lesson, world: World) -> None:
        super().__init__(network, lesson, world)
        self.lesson = lesson

    def find_loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Mean squared error of a batch, at the size of the student's masks."""
        images, wanted = batch
        return soft_loss(self.network(images.contiguous(memory_format=torch.channels_last)), wanted)

    def make_samples(self) -> Dataset[Any]:
        """Photos and soft masks."""
        lesson = self.lesson
        return SoftSamples(lesson.photos, lesson.config, lesson.input_px, lesson.seed)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Adam, and the poly schedule unless the rate is to stay."""
        return _adam(self.network, self.lesson)


class JudgeModule(StreamModule):
    """Learns how well a student's mask will agree with the teacher's, from photo and mask alone.

    Where the paper is silent: the agreement is the soft IoU of the two (:func:`soft_iou`).

    Args:
        judge: An `~coarse2fine.networks.student.EvalSegNet`.
        student: Whose masks are judged; it does not learn.
        lesson: What the student learned from.
        world: The processes of the run.
    """

    def __init__(self, judge: nn.Module, student: nn.Module, lesson: Lesson, world: World) -> None:
        super().__init__(judge, lesson, world)
        self.lesson = lesson
        self.student = [student.eval()]  # in a list, so that it is no part of what is trained and kept

    def find_loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Mean squared error of the judge's scores to the agreements of a batch."""
        images, wanted = batch
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            found = self.student[0].to(images.device)(images).float().clamp(0, 1)
        return functional.mse_loss(self.network(images, found), soft_iou(found, wanted))

    def make_samples(self) -> Dataset[Any]:
        """Photos and the teacher's soft masks."""
        lesson = self.lesson
        return SoftSamples(lesson.photos, lesson.config, lesson.input_px, lesson.seed)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """As for a student."""
        return _adam(self.network, self.lesson)


def teach_judge(judge: nn.Module, student: nn.Module, lesson: Lesson, world: World, console: Console) -> float:
    """Train the judge of a student's masks in place; go on from a checkpoint if there is one.

    Returns:
        Mean squared error of its scores over the last tenth of the steps.

    Source: Croitoru et al., IJCV 2019, section 3.3 (EvalSeg-Net).
    """
    return run_training(JudgeModule(judge, student, lesson, world), lesson, world, console)


def soft_iou(found: Tensor, wanted: Tensor) -> Tensor:
    """Sum of the smaller over sum of the larger values of two soft masks, shape (N,); 1 where both are empty.

    Args:
        found: Shape (N, h, w), 0 to 1.
        wanted: Shape (N, H, W), 0 to 1, averaged to the size of ``found``.
    """
    height, width = found.shape[-2:]
    averaged = functional.adaptive_avg_pool2d(wanted, (height, width))
    smaller, larger = torch.minimum(found, averaged).sum((1, 2)), torch.maximum(found, averaged).sum((1, 2))
    return torch.where(larger > 0, smaller / larger.clamp(min=1e-6), 1.0)


def _adam(network: nn.Module, lesson: Lesson) -> OptimizerLRSchedulerConfig:
    config, steps = lesson.config, steps_of(lesson)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: max(0.0, 1 - step / steps) ** config.poly_power
    )
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def soft_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared error of soft masks, shape (N, h, w), to wanted ones of a larger size, shape (N, H, W)."""
    height, width = found.shape[-2:]
    averaged = functional.adaptive_avg_pool2d(wanted, (height, width))
    return functional.mse_loss(found.float(), averaged)
