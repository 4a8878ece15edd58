"""What all segmentation networks have in common: an encoder, a head, what of them trains, and how fast."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from coarse2fine.config import NetworkConfig, TrainConfig
from coarse2fine.networks.backbone import find_first_stages


class SegmentationNetwork(nn.Module, ABC):
    """An encoder and a head: images in, class scores at the images' size out.

    Attributes:
        encoder: Made by :func:`~coarse2fine.networks.backbone.build_encoder`.
        head_bias_factor: Biases of the head learn this much faster than its weights.
        scales: The network sees images enlarged by each of these and keeps the highest score of every pixel.
    """

    head_bias_factor = 1.0
    scales: tuple[float, ...] = (1.0,)

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.channels = cast(list[int], encoder.out_channels)
        self.output_stride = cast(int, encoder.output_stride)

    @abstractmethod
    def decode(self, features: list[Tensor]) -> Tensor:
        """Logits, shape (N, C, h, w), at any stride, from the encoder's features."""

    def forward(self, images: Tensor) -> Tensor:
        """Class scores of every pixel.

        Args:
            images: Normalized RGB, shape (N, 3, H, W), any height and width from 1. To train, N must be 2 or more.

        Returns:
            Logits in float32, shape (N, C, H, W), bilinearly upsampled from the head's stride.
        """
        parts = self.score_scales(images)
        return parts[0] if len(parts) == 1 else torch.stack(parts).amax(dim=0)

    def score_scales(self, images: Tensor) -> list[Tensor]:
        """Class scores at each of the network's scales; arguments and results are those of :meth:`forward`.

        Source: Chen et al., "DeepLab", TPAMI 2018, section 3.1 (scales, and their maximum at every pixel).
        """
        return self.upsample(self.score_coarsely(images), images.shape[-2:])

    def score_coarsely(self, images: Tensor) -> list[Tensor]:
        """Class scores at each of the network's scales, as the head gives them.

        Args:
            images: Those of :meth:`forward`.

        Returns:
            Logits in float32, shape (N, C, h, w) at the head's stride, for :meth:`upsample`.
        """
        return [self._score(_enlarge(images, scale)) for scale in self.scales]

    def _score(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        padded = functional.pad(images, (0, -width % self.output_stride, 0, -height % self.output_stride))
        return self.decode(self.encoder(padded)).float()

    def upsample(self, parts: Sequence[Tensor], size: Sequence[int]) -> list[Tensor]:
        """Bring class scores to the size of the images, bilinearly.

        Args:
            parts: From :meth:`score_coarsely`, of all photos or of some.
            size: Height and width of the images.

        Returns:
            Logits for each scale, shape (N, C, H, W).
        """
        stride, found = self.output_stride, []
        for logits, scale in zip(parts, self.scales, strict=True):
            height, width = _scaled(size, scale)
            padded = resize_maps(logits.contiguous(), (height + -height % stride, width + -width % stride))
            found.append(resize_maps(padded[..., :height, :width], size))
        return found

    def train(self, mode: bool = True) -> Self:
        """Switch to training; batch norms of the encoder whose weights do not train keep their statistics, too."""
        super().train(mode)
        for norm in _batch_norms(self.encoder):
            if norm.affine and not norm.weight.requires_grad:
                norm.eval()
        return self

    def head_parameters(self) -> list[nn.Parameter]:
        """All parameters outside the encoder."""
        return [parameter for name, parameter in self.named_parameters() if not name.startswith("encoder.")]


def freeze(network: SegmentationNetwork, config: NetworkConfig) -> None:
    """Keep parts of the encoder as they are: its first stages, its batch norms, or both; all else trains.

    Frozen batch norms keep their statistics, too. No gradient flows into frozen first stages, which saves time.

    Raises:
        ConfigError: The encoder has fewer stages than are to be frozen.
    """
    network.encoder.requires_grad_(True)
    for parameter in find_first_stages(network.encoder, config.frozen_stages):
        parameter.requires_grad_(False)
    if config.freeze_batch_norm:
        for norm in _batch_norms(network.encoder):
            norm.requires_grad_(False)
    network.train(network.training)


def parameter_groups(network: SegmentationNetwork, config: TrainConfig) -> list[dict[str, Any]]:
    """Trainable parameters grouped for an optimizer, each with its rate and decay; empty groups are left out.

    The head learns ``head_learning_rate_factor`` times as fast as the encoder, DeepLab v2's biases twice that. Biases
    and weights of norms, all of which have one dimension, do not decay.

    Returns:
        Groups with ``name``, ``params``, ``lr`` and ``weight_decay``.

    Source: the Caffe models of Chen et al., TPAMI 2018 (x10 weights, x20 biases).
    """
    head_rate = config.learning_rate * config.head_learning_rate_factor
    parts = (
        ("encoder", list(network.encoder.parameters()), config.learning_rate, 1.0),
        ("head", network.head_parameters(), head_rate, network.head_bias_factor),
    )
    groups = []
    for name, parameters, rate, bias_factor in parts:
        trainable = [parameter for parameter in parameters if parameter.requires_grad]
        weights = [parameter for parameter in trainable if parameter.ndim > 1]
        biases = [parameter for parameter in trainable if parameter.ndim <= 1]
        groups.append(_group(f"{name}.weights", weights, rate, config.weight_decay))
        groups.append(_group(f"{name}.biases", biases, rate * bias_factor, 0.0))
    return [group for group in groups if group["params"]]


def _group(name: str, parameters: list[nn.Parameter], rate: float, decay: float) -> dict[str, Any]:
    return {"name": name, "params": parameters, "lr": rate, "weight_decay": decay}


def _batch_norms(module: nn.Module) -> list[_BatchNorm]:
    return [part for part in module.modules() if isinstance(part, _BatchNorm)]


def resize_maps(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Bring maps, shape (N, C, h, w), to another height and width, bilinearly; the same maps where it already fits."""
    if maps.shape[-2:] == tuple(size):
        return maps
    return functional.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)


def _enlarge(images: Tensor, scale: float) -> Tensor:
    return resize_maps(images, _scaled(images.shape[-2:], scale))


def _scaled(size: Sequence[int], scale: float) -> tuple[int, int]:
    height, width = size
    if scale == 1:
        return height, width  # exporters know no rounding of free sizes
    return max(1, round(height * scale)), max(1, round(width * scale))
