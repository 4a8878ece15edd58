"""DeepLab v2 and DeepLab v3+ on any encoder."""

from typing import cast

import torch
from torch import Tensor, nn

from coarse2fine.networks.segmentation import SegmentationNetwork, resize_maps


class DeepLabV2(SegmentationNetwork):
    """DeepLab v2: an atrous spatial pyramid that predicts the classes directly from features at stride 8.

    Source: Chen et al., "DeepLab", TPAMI 2018, section 3.2, ASPP-L; initial weights and the factor 20 of the learning
    rate of biases as in the authors' Caffe models.
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
        """Return the sum of the four branches, logits of shape (N, C, H / 8, W / 8)."""
        return torch.stack([branch(features[-1]) for branch in self.aspp]).sum(dim=0)


class DeepLabV3Plus(SegmentationNetwork):
    """DeepLab v3+: an atrous spatial pyramid with image pooling, combined with features at stride 4.

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
        """Return logits, shape (N, C, H / 4, W / 4)."""
        deep, fine = features[-1], features[2]
        whole = self.image_pooling(deep).expand(-1, -1, *deep.shape[-2:])
        context = self.project(torch.cat([*(branch(deep) for branch in self.branches), whole], dim=1))
        joined = torch.cat([resize_maps(context, fine.shape[-2:]), self.reduce_fine(fine)], dim=1)
        return cast(Tensor, self.classify(self.join(joined)))


def _pointwise(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def _separable(inputs: int, outputs: int, rate: int = 1) -> nn.Sequential:
    depthwise = nn.Conv2d(inputs, inputs, 3, padding=rate, dilation=rate, groups=inputs, bias=False)
    return nn.Sequential(depthwise, *_pointwise(inputs, outputs))
