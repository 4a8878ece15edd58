"""Build the segmentation network from settings."""

from collections.abc import Callable

from torch import nn

from coarse2fine.config import NetworkConfig
from coarse2fine.errors import ConfigError
from coarse2fine.networks.backbone import build_encoder
from coarse2fine.networks.deeplab import DeepLabV2, DeepLabV3Plus
from coarse2fine.networks.depthwise import speed_up_depthwise
from coarse2fine.networks.fpn import DFPN, FPN
from coarse2fine.networks.segmentation import SegmentationNetwork, freeze

DFPN_RATES = (6, 12, 18)
"""Dilations of the three convolutions of a branch of DFPN; the paper does not say which.

Measured on photos of VOC animals (docs/log.md): 0.622 and 0.598 with 6 12 18, 0.620 and 0.599 with 1 2 4.
"""


def _deeplabv2(encoder: nn.Module, classes: int, _config: NetworkConfig) -> SegmentationNetwork:
    return DeepLabV2(encoder, classes)


def _deeplabv3plus(encoder: nn.Module, classes: int, config: NetworkConfig) -> SegmentationNetwork:
    return DeepLabV3Plus(encoder, classes, config.decoder_channels)


def _fpn(encoder: nn.Module, classes: int, config: NetworkConfig) -> SegmentationNetwork:
    return FPN(encoder, classes, config.decoder_channels)


def _dfpn(encoder: nn.Module, classes: int, config: NetworkConfig) -> SegmentationNetwork:
    return DFPN(encoder, classes, config.decoder_channels, DFPN_RATES)


NETWORKS: dict[str, Callable[[nn.Module, int, NetworkConfig], SegmentationNetwork]] = {
    "deeplabv2": _deeplabv2,
    "deeplabv3plus": _deeplabv3plus,
    "fpn": _fpn,
    "dfpn": _dfpn,
}


def build_network(config: NetworkConfig, classes: int) -> SegmentationNetwork:
    """Build a segmentation network, load the weights of its encoder and freeze the parts that the settings name.

    Args:
        config: Settings of the network.
        classes: Number of classes with background, at least 2.

    Raises:
        ConfigError: The encoder, its output stride or its weights are not available, or there are too few classes.
    """
    if classes < 2:
        raise ConfigError(f"A network needs background and at least one class, but the number of classes is {classes}.")
    encoder = build_encoder(config.encoder, config.output_stride, config.encoder_weights)
    network = NETWORKS[config.name](encoder, classes, config)
    speed_up_depthwise(network)
    network.scales = config.scales
    freeze(network, config)
    return network
