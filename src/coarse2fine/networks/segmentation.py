"""Base class of segmentation networks, frozen parts, and parameter groups for the optimizer."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from coarse2fine.config import NetworkConfig, TrainConfig
from coarse2fine.networks.backbone import find_stage_parameters


class SegmentationNetwork(nn.Module, ABC):
    """An encoder and a decoder that predict class logits at the size of the images.

    Attributes:
        encoder: From :func:`~coarse2fine.networks.backbone.build_encoder`.
        head_bias_factor: Learning rate of the decoder's biases as a multiple of that of its weights.
        scales: Factors by which images are resized. The network computes logits at each scale and keeps the maximum.
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
        """Compute logits, shape (N, C, h, w), at any stride from the encoder's features."""

    def forward(self, images: Tensor) -> Tensor:
        """Compute class logits of every pixel.

        Args:
            images: Normalized RGB, shape (N, 3, H, W), any height and width from 1; N at least 2 in training mode.

        Returns:
            Logits in float32, shape (N, C, H, W), bilinearly upsampled from the decoder's stride.
        """
        parts = self.compute_scale_logits(images)
        return parts[0] if len(parts) == 1 else torch.stack(parts).amax(dim=0)

    def compute_scale_logits(self, images: Tensor) -> list[Tensor]:
        """Compute class logits at each of the network's scales, with arguments and result shapes of :meth:`forward`.

        Source: Chen et al., "DeepLab", TPAMI 2018, section 3.1 (scales and their maximum).
        """
        return self.upsample(self.compute_head_logits(images), images.shape[-2:])

    def compute_head_logits(self, images: Tensor) -> list[Tensor]:
        """Compute class logits at each of the network's scales and at the stride of the decoder.

        Args:
            images: As for :meth:`forward`.

        Returns:
            Logits in float32 for each scale, shape (N, C, h, w), to be upsampled by :meth:`upsample`.
        """
        return [self._compute_logits(_resize_images(images, scale)) for scale in self.scales]

    def _compute_logits(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        padded = functional.pad(images, (0, -width % self.output_stride, 0, -height % self.output_stride))
        return self.decode(self.encoder(padded)).float()

    def upsample(self, parts: Sequence[Tensor], size: Sequence[int]) -> list[Tensor]:
        """Upsample logits bilinearly to the size of the images.

        Args:
            parts: Logits from :meth:`compute_head_logits`, of all images or of some.
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
        """Set training mode, except for frozen batch norms of the encoder, which keep their statistics."""
        super().train(mode)
        for norm in _batch_norms(self.encoder):
            if norm.affine and not norm.weight.requires_grad:
                norm.eval()
        return self

    def head_parameters(self) -> list[nn.Parameter]:
        """Return all parameters of the decoder, that is, outside the encoder."""
        return [parameter for name, parameter in self.named_parameters() if not name.startswith("encoder.")]


def freeze(network: SegmentationNetwork, config: NetworkConfig) -> None:
    """Freeze the first stages of the encoder, its batch norms, or both; unfreeze everything else.

    Frozen batch norms keep their statistics, too. No gradient is computed for frozen first stages, which saves time.

    Raises:
        ConfigError: The encoder has fewer stages than ``config.frozen_stages``.
    """
    network.encoder.requires_grad_(True)
    for parameter in find_stage_parameters(network.encoder, config.frozen_stages):
        parameter.requires_grad_(False)
    if config.freeze_batch_norm:
        for norm in _batch_norms(network.encoder):
            norm.requires_grad_(False)
    network.train(network.training)


def parameter_groups(network: SegmentationNetwork, config: TrainConfig) -> list[dict[str, Any]]:
    """Group the trainable parameters for an optimizer by learning rate and weight decay, without empty groups.

    The learning rate of the decoder is ``head_learning_rate_factor`` times that of the encoder, for biases of DeepLab
    v2 twice that. Parameters of one dimension (biases, weights of norms) have no weight decay.

    Returns:
        Dictionaries with ``name``, ``params``, ``lr`` and ``weight_decay``.

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
    """Resize maps, shape (N, C, h, w), bilinearly; return the same tensor if the size is right already."""
    if maps.shape[-2:] == tuple(size):
        return maps
    return functional.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)


def _resize_images(images: Tensor, scale: float) -> Tensor:
    return resize_maps(images, _scaled(images.shape[-2:], scale))


def _scaled(size: Sequence[int], scale: float) -> tuple[int, int]:
    height, width = size
    if scale == 1:
        return height, width  # the exporter cannot trace rounding of dynamic sizes
    return max(1, round(height * scale)), max(1, round(width * scale))
