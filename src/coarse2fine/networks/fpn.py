"""Feature pyramid networks on any encoder, for the paper's foreground task: FPN, and DFPN with dilated branches."""

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from coarse2fine.networks.segmentation import SegmentationNetwork, resize_maps

FIRST_LEVEL = 2
"""Index of the encoder's features at stride 4, the finest level of the pyramid."""

NORM_GROUPS = 32
LEAST_CHANNELS = 4


class FPN(SegmentationNetwork):
    """A feature pyramid with a semantic head: all levels are upsampled to stride 4, summed and classified.

    Args:
        encoder: From :func:`~coarse2fine.networks.backbone.build_encoder`. Its output stride is the coarsest level of
            the pyramid.
        classes: Number of classes with background.
        channels: Channels of the pyramid (256 in the papers); the head has half as many.

    Source: the pyramid: Lin et al., "Feature pyramid networks for object detection", CVPR 2017, section 3; the head:
    Kirillov et al., "Panoptic feature pyramid networks", CVPR 2019, section 3.2.
    """

    def __init__(self, encoder: nn.Module, classes: int, channels: int) -> None:
        super().__init__(encoder)
        widths, self.head_channels = self.channels[FIRST_LEVEL:], max(LEAST_CHANNELS, channels // 2)
        self.strides = [min(2 ** (FIRST_LEVEL + level), self.output_stride) for level in range(len(widths))]
        self.lateral = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in widths)
        self.smooth = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in widths)
        self.head = nn.ModuleList(_upsampling_layers(channels, self.head_channels, stride) for stride in self.strides)
        self.classify = nn.Conv2d(self.head_channels, classes, 1)

    def decode(self, features: list[Tensor]) -> Tensor:
        """Return logits, shape (N, C, H / 4, W / 4)."""
        return cast(Tensor, self.classify(self.merge(self.make_pyramid(features))))

    def make_pyramid(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return the levels from the finest (stride 4) to the coarsest; each includes features of coarser levels."""
        sides = [lateral(level) for lateral, level in zip(self.lateral, features[FIRST_LEVEL:], strict=True)]
        levels = [sides[-1]]
        for side in reversed(sides[:-1]):
            levels.append(side + functional.interpolate(levels[-1], side.shape[-2:], mode="nearest"))
        return [smooth(level) for smooth, level in zip(self.smooth, reversed(levels), strict=True)]

    def merge(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Return the sum of all levels at stride 4."""
        upsampled = [layers(level) for layers, level in zip(self.head, pyramid, strict=True)]
        return torch.stack([resize_maps(level, pyramid[0].shape[-2:]) for level in upsampled]).sum(dim=0)


class DFPN(FPN):
    """An FPN with additional dilated branches on its coarser levels, so that each pixel sees most of its object.

    On each of the three coarsest levels, three dilated 3 x 3 convolutions run in parallel. Their sum is upsampled to
    stride 4. The branches are summed and concatenated with the features of the semantic head before the classifier.

    The paper does not specify the rates, the width, whether the three convolutions of a branch run in parallel or in
    sequence, the levels, and how branches are aggregated.

    Args:
        encoder: As for :class:`FPN`.
        classes: Number of classes with background.
        channels: Channels of the pyramid; the head and the branches have half as many.
        rates: Dilations of the three convolutions of a branch.

    Source: the paper, foreground task (DFPN).
    """

    dilated_levels = 3

    def __init__(self, encoder: nn.Module, classes: int, channels: int, rates: Sequence[int]) -> None:
        super().__init__(encoder, classes, channels)
        self.branches = nn.ModuleList(_Dilated(channels, self.head_channels, rates) for _ in range(self.dilated_levels))
        self.classify = nn.Conv2d(2 * self.head_channels, classes, 1)

    def decode(self, features: list[Tensor]) -> Tensor:
        """Return logits, shape (N, C, H / 4, W / 4)."""
        pyramid = self.make_pyramid(features)
        merged = self.merge(pyramid)
        seen = [
            resize_maps(branch(level), merged.shape[-2:])
            for branch, level in zip(self.branches, pyramid[-self.dilated_levels :], strict=True)
        ]
        return cast(Tensor, self.classify(torch.cat([merged, torch.stack(seen).sum(dim=0)], dim=1)))


class _Dilated(nn.Module):
    """Sum of parallel dilated convolutions."""

    def __init__(self, inputs: int, outputs: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 3, padding=rate, dilation=rate, bias=False) for rate in rates
        )
        self.finish = nn.Sequential(_norm(outputs), nn.ReLU(inplace=True))

    def forward(self, level: Tensor) -> Tensor:
        parts = [convolution(level) for convolution in self.convolutions]
        return cast(Tensor, self.finish(torch.stack(parts).sum(dim=0)))


def _upsampling_layers(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Return the layers from a level's stride to 4: a convolution before each upsampling by 2; one convolution at 4."""
    layers: list[nn.Module] = []
    for step in range(max(1, round(math.log2(stride / 4)))):
        convolution = nn.Conv2d(inputs if step == 0 else outputs, outputs, 3, padding=1, bias=False)
        layers += [convolution, _norm(outputs), nn.ReLU(inplace=True)]
        if stride > 4:
            layers.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))
    return nn.Sequential(*layers)


def _norm(channels: int) -> nn.GroupNorm:
    """Return a group norm, which does not depend on the batch size: 32 groups, or fewer of at least four channels."""
    groups = next(groups for groups in (NORM_GROUPS, 16, 8, 4, 2, 1) if channels % (4 * groups) == 0 or groups == 1)
    return nn.GroupNorm(groups, channels)
