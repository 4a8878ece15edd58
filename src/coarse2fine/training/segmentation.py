"""Training of the segmentation network: cross-entropy to class masks, SGD or AdamW, poly schedule."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from coarse2fine.config import TrainConfig
from coarse2fine.networks.normalization import normalize
from coarse2fine.networks.segmentation import SegmentationNetwork, parameter_groups
from coarse2fine.training.sampler import balance_classes
from coarse2fine.training.schedule import poly_factor
from coarse2fine.training.segmentation_samples import SegmentationSamples
from coarse2fine.types import IGNORE, Photo


@dataclass(frozen=True)
class SegmentationJob:
    """A training of the segmentation network, for example in one round of the recursion.

    Attributes:
        encoder: Name of the network's encoder.
        photos: Photos to train on.
        masks: Folder of their class masks.
        config: Training settings; ``config.epochs`` and its limits are not used.
        steps: Optimizer steps.
        seed: Seed of order, augmentation and dropout.
        folder: Folder of the checkpoint and of the log.
        title: Title of the progress display.

    Source: the paper, section IV-B; the schedule of DeepLab v2 (Chen et al., TPAMI 2018).
    """

    encoder: str
    photos: Sequence[Photo]
    masks: Path
    config: TrainConfig
    steps: int
    seed: int
    folder: Path
    title: str = "training"

    def make_samples(self) -> SegmentationSamples:
        """Return the augmented photos and masks."""
        return SegmentationSamples(self.photos, self.masks, self.config, self.seed)

    def photo_frequencies(self) -> NDArray[np.float64] | None:
        """Return how often each photo is drawn per epoch: those of small classes more often."""
        return balance_classes([photo.labels for photo in self.photos])

    def make_optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Return SGD with momentum 0.9, or AdamW."""
        groups = parameter_groups(cast(SegmentationNetwork, network), self.config)
        if self.config.optimizer == "sgd":
            return torch.optim.SGD(groups, lr=self.config.learning_rate, momentum=0.9)
        return torch.optim.AdamW(groups, lr=self.config.learning_rate)

    def learning_rate_factor(self, step: int, steps: int) -> float:
        """Return the factor of the poly schedule with warmup."""
        return poly_factor(step, steps, self.config.warmup_share)

    def compute_loss(self, network: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        """Compute the cross-entropy of a batch, see :func:`pixel_cross_entropy`.

        Args:
            network: A `~coarse2fine.networks.segmentation.SegmentationNetwork`.
            images: RGB, 0 to 255, shape (N, 3, H, W).
            targets: Class indices, uint8, shape (N, H, W), with IGNORE.
        """
        normalized = normalize(images, self.encoder)
        return pixel_cross_entropy(cast(SegmentationNetwork, network), normalized, targets.long())


def pixel_cross_entropy(network: SegmentationNetwork, images: Tensor, masks: Tensor) -> Tensor:
    """Compute the mean cross-entropy over all pixels that are not IGNORE; 0 if there is none.

    For a network with several scales it is the sum of one cross-entropy per scale and one of the maximum over the
    scales. Logits are upsampled to the size of the images one photo at a time, which fits the caches of a processor.

    Args:
        network: Network to train.
        images: Normalized RGB, shape (N, 3, H, W).
        masks: Class indices, int64, shape (N, H, W), with IGNORE.

    Source: Chen et al., "DeepLab", TPAMI 2018, section 4.1.1, and the authors' Caffe models (one loss per scale).
    """
    head_logits = network.compute_head_logits(images)
    losses = []
    for index in range(len(images)):
        logits = network.upsample([part[index : index + 1] for part in head_logits], masks.shape[-2:])
        if len(logits) > 1:
            logits = [*logits, torch.stack(logits).amax(dim=0)]
        losses += [_sum_cross_entropy(part, masks[index : index + 1]) for part in logits]
    return torch.stack(losses).sum() / (masks != IGNORE).sum().clamp(min=1)


def _sum_cross_entropy(logits: Tensor, masks: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits, masks, ignore_index=IGNORE, reduction="sum")
