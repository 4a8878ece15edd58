"""Training of the student network on soft masks, and of EvalSeg-Net, which predicts the quality of the student's masks.

Source: Croitoru, Bogolin, Leordeanu, ICCV 2017 (student) and IJCV 2019 (EvalSeg-Net).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from coarse2fine.config import StudentTrainConfig
from coarse2fine.runtime.context import Context
from coarse2fine.training.loop import train
from coarse2fine.training.schedule import poly_factor
from coarse2fine.training.student_samples import StudentSamples
from coarse2fine.types import Example


@dataclass(frozen=True)
class StudentJob:
    """A training of the student network: mean squared error to soft masks, AdamW, poly schedule.

    Attributes:
        photos: Photos with their soft masks.
        config: Training settings; ``config.epochs`` is not used.
        epochs: Passes over the photos.
        input_px: Side of the crops that the network is trained on.
        seed: Seed of order and augmentation.
        folder: Folder of the checkpoint and of the log.
        title: Title of the progress display.

    Source: Croitoru et al., ICCV 2017, section 4.2.
    """

    photos: Sequence[Example]
    config: StudentTrainConfig
    epochs: int
    input_px: int
    seed: int
    folder: Path
    title: str

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        return self.config.count_steps(len(self.photos), self.epochs)

    def make_samples(self) -> StudentSamples:
        """Return the augmented photos and soft masks."""
        return StudentSamples(self.photos, self.config, self.input_px, self.seed)

    def photo_frequencies(self) -> None:
        """Return None: the photos have no classes, so each is drawn once per epoch."""

    def make_optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Return AdamW."""
        config = self.config
        return torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)

    def learning_rate_factor(self, step: int, steps: int) -> float:
        """Return the factor of the poly schedule."""
        return poly_factor(step, steps)

    def compute_loss(self, network: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        """Compute the mean squared error of a batch at the size of the network's masks.

        Args:
            network: A student network.
            images: RGB, 0 to 1, shape (N, 3, H, W).
            targets: Soft masks, shape (N, H, W).
        """
        return soft_mask_mse(network(images.contiguous(memory_format=torch.channels_last)), targets)


@dataclass(frozen=True)
class EvalSegJob(StudentJob):
    """A training of EvalSeg-Net: predict from a photo and the student's mask how well it matches the teacher's mask.

    The paper does not say how the match is measured; here it is :func:`evalseg_target`.

    Attributes:
        student: Trained student network. Its weights do not change.
    """

    student: nn.Module

    def compute_loss(self, network: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        """Compute the mean squared error of the predicted quality scores of a batch.

        Args:
            network: A `~coarse2fine.networks.student.EvalSegNet`.
            images: RGB, 0 to 1, shape (N, 3, H, W).
            targets: Soft masks of the teacher, shape (N, H, W).
        """
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            soft = self.student.to(images.device)(images).float().clamp(0, 1)
        return functional.mse_loss(network(images, soft), evalseg_target(soft, targets))


def train_evalseg(network: nn.Module, job: EvalSegJob, context: Context) -> float:
    """Train an EvalSeg-Net in place; resume from the checkpoint in the job's folder if there is one.

    The student network is set to evaluation mode.

    Returns:
        Mean squared error of the predicted quality scores over the last tenth of the steps.

    Raises:
        ConfigError: The batch is not a multiple of the number of processes, or has fewer than two photos per process.
        Coarse2FineError: The loss is not finite.

    Source: Croitoru et al., IJCV 2019, section 3.3.
    """
    job.student.eval()
    return train(network, job, context)


def soft_mask_mse(soft: Tensor, target: Tensor) -> Tensor:
    """Compute the mean squared error of soft masks.

    Args:
        soft: Predicted soft masks, shape (N, h, w).
        target: Soft masks to reproduce, shape (N, H, W); they are averaged to (h, w).
    """
    return functional.mse_loss(soft.float(), _average_to(target, soft))


def evalseg_target(soft: Tensor, teacher: Tensor) -> Tensor:
    """Compute the quality scores that EvalSeg-Net learns to predict: the soft IoU of two soft masks.

    It is the sum of the smaller values over the sum of the larger values. The score is 1 if both masks are empty,
    because then the student's mask equals the teacher's.

    Args:
        soft: Masks of the student, shape (N, h, w), 0 to 1.
        teacher: Masks of the teacher, shape (N, H, W), 0 to 1; they are averaged to (h, w).

    Returns:
        Scores, shape (N,), 0 to 1.
    """
    averaged = _average_to(teacher, soft)
    smaller, larger = torch.minimum(soft, averaged).sum((1, 2)), torch.maximum(soft, averaged).sum((1, 2))
    return torch.where(larger > 0, smaller / larger.clamp(min=1e-6), 1.0)


def _average_to(masks: Tensor, like: Tensor) -> Tensor:
    height, width = like.shape[-2:]
    return functional.adaptive_avg_pool2d(masks, (height, width))
