"""DeepLab v2 and v3+ on any encoder, and how they train: what is frozen, and who learns how fast."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from coarse2fine.config import NetworkConfig, TrainConfig
from coarse2fine.errors import ConfigError
from coarse2fine.networks.backbone import build_encoder, find_first_stages


class SegmentationNetwork(nn.Module, ABC):
    """An encoder and a head: images in, class scores at the images' size out.

    Attributes:
        encoder: Made by :func:`~coarse2fine.networks.backbone.build_encoder`.
        head_bias_factor: Biases of the head learn this much faster than its weights.
    """

    head_bias_factor = 1.0

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
            images: Normalised RGB, shape (N, 3, H, W), any height and width from 1. To train, N must be 2 or more.

        Returns:
            Logits in float32, shape (N, C, H, W), bilinearly upsampled from the head's stride.
        """
        height, width = images.shape[-2:]
        padded = functional.pad(images, (0, -width % self.output_stride, 0, -height % self.output_stride))
        logits = self.decode(self.encoder(padded)).float()
        return _resize(logits, padded.shape[-2:])[..., :height, :width]

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


class DeepLabV2(SegmentationNetwork):
    """Atrous spatial pyramid straight to the classes, on features at stride 8.

    Source: Chen et al., "DeepLab", TPAMI 2018, section 3.2, ASPP-L; initial weights and the x20 for biases as in the
    authors' Caffe models.
    """

    head_bias_factor = 2.0
    rates = (6, 12, 18, 24)

    def __init__(self, encoder: nn.Module, classes: int) -> None:
        super().__init__(encoder)
        self.aspp = nn.ModuleList(
            nn.Conv2d(self.channels[-1], classes, 3, padding=rate, dilation=rate) for rate in self.rates
        )
        for branch in self.aspp:
            nn.init.normal_(cast(Tensor, branch.weight), std=0.01)
            nn.init.zeros_(cast(Tensor, branch.bias))

    def decode(self, features: list[Tensor]) -> Tensor:
        """Sum of the four branches, shape (N, C, H / 8, W / 8)."""
        return torch.stack([branch(features[-1]) for branch in self.aspp]).sum(dim=0)


class DeepLabV3Plus(SegmentationNetwork):
    """Atrous spatial pyramid with image pooling, joined with features at stride 4.

    Source: Chen et al., "Encoder-decoder with atrous separable convolution", ECCV 2018, sections 3.1 and 4.1; rates
    from Chen et al., "Rethinking atrous convolution", 2017, section 3.3.
    """

    fine_channels = 48
    dropout = 0.1

    def __init__(self, encoder: nn.Module, classes: int, decoder_channels: int) -> None:
        super().__init__(encoder)
        deep, fine = self.channels[-1], self.channels[2]
        rates = [rate * 16 // self.output_stride for rate in (6, 12, 18)]
        self.branches = nn.ModuleList(
            [_pointwise(deep, decoder_channels), *(_separable(deep, decoder_channels, rate) for rate in rates)]
        )
        self.image_pooling = nn.Sequential(nn.AdaptiveAvgPool2d(1), _pointwise(deep, decoder_channels))
        self.project = nn.Sequential(_pointwise(5 * decoder_channels, decoder_channels), nn.Dropout(self.dropout))
        self.reduce_fine = _pointwise(fine, self.fine_channels)
        self.join = nn.Sequential(
            _separable(decoder_channels + self.fine_channels, decoder_channels),
            _separable(decoder_channels, decoder_channels),
        )
        self.classify = nn.Conv2d(decoder_channels, classes, 1)

    def decode(self, features: list[Tensor]) -> Tensor:
        """Logits, shape (N, C, H / 4, W / 4)."""
        deep, fine = features[-1], features[2]
        whole = self.image_pooling(deep).expand(-1, -1, *deep.shape[-2:])
        context = self.project(torch.cat([*(branch(deep) for branch in self.branches), whole], dim=1))
        joined = torch.cat([_resize(context, fine.shape[-2:]), self.reduce_fine(fine)], dim=1)
        return cast(Tensor, self.classify(self.join(joined)))


def build_deeplabv2(config: NetworkConfig, classes: int) -> DeepLabV2:
    """DeepLab v2 as the settings ask for it.

    Raises:
        ConfigError: The output stride is not 8, or see :func:`build_encoder`.
    """
    if config.output_stride != 8:
        raise ConfigError(f"deeplabv2 needs network.output_stride = 8, found {config.output_stride}.")
    return DeepLabV2(build_encoder(config.encoder, config.output_stride, config.encoder_weights), classes)


def build_deeplabv3plus(config: NetworkConfig, classes: int) -> DeepLabV3Plus:
    """DeepLab v3+ as the settings ask for it.

    Raises:
        ConfigError: See :func:`build_encoder`.
    """
    encoder = build_encoder(config.encoder, config.output_stride, config.encoder_weights)
    return DeepLabV3Plus(encoder, classes, config.decoder_channels)


NETWORKS: dict[str, Callable[[NetworkConfig, int], SegmentationNetwork]] = {
    "deeplabv2": build_deeplabv2,
    "deeplabv3plus": build_deeplabv3plus,
}


def build_network(config: NetworkConfig, classes: int) -> SegmentationNetwork:
    """The segmentation network that the settings describe, with its encoder's weights loaded and frozen as set.

    Args:
        config: Which network on which encoder.
        classes: How many, background included; 2 or more.

    Raises:
        ConfigError: The encoder, its output stride or its weights cannot be had, or there are too few classes.
    """
    if classes < 2:
        raise ConfigError(f"A network needs the background and at least one class, found {classes} in all.")
    network = NETWORKS[config.name](config, classes)
    freeze(network, config)
    return network


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


def _resize(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    return functional.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def _pointwise(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def _separable(inputs: int, outputs: int, rate: int = 1) -> nn.Sequential:
    depthwise = nn.Conv2d(inputs, inputs, 3, padding=rate, dilation=rate, groups=inputs, bias=False)
    return nn.Sequential(depthwise, *_pointwise(inputs, outputs))
