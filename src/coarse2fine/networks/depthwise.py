"""Dilated depthwise convolutions that train fast on a CPU.

Encoders that keep their output stride, and separable atrous pyramids, have depthwise convolutions with dilation. Going
backward through one in bfloat16, oneDNN falls back to a loop over channels, which takes a quarter of a training step on
a CPU. The same sums come several times as fast in another order: a convolution of dilation d is one without dilation on
each of the d x d grids of every d-th pixel (:func:`convolve_grids`). And in any precision, taps that reach past the
maps on both sides meet padding alone, so that they can be left out. Measured in ``docs/log.md``.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional


class DilatedDepthwiseConv(nn.Conv2d):
    """A 3x3 depthwise convolution with dilation and as much padding; parameters and results are those of ``nn.Conv2d``.

    Only training on a CPU takes the other order; there, forward results are the same, to the last bits.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Maps, shape (N, C, H, W), in any memory format, of any size from 1; results have the same shape."""
        if maps.device.type != "cpu" or not self.training:
            return super().forward(maps)
        height, width = maps.shape[-2:]
        dilation = self.dilation[0]
        weight = self.weight
        if dilation >= height:
            weight = weight[:, :, 1:2]
        if dilation >= width:
            weight = weight[..., 1:2]
        if weight.shape[-2:] == (3, 3) and min(height, width) > 2 * dilation and _in_bfloat16(maps):
            return convolve_grids(maps, weight, self.bias, dilation)
        padding = [dilation if taps == 3 else 0 for taps in weight.shape[-2:]]
        return functional.conv2d(maps, weight, self.bias, 1, padding, dilation, self.groups)


def convolve_grids(maps: Tensor, weight: Tensor, bias: Tensor | None, dilation: int) -> Tensor:
    """A dilated 3x3 depthwise convolution, as one without dilation on each grid of every ``dilation``-th pixel.

    Args:
        maps: Shape (N, C, H, W).
        weight: Shape (C, 1, 3, 3).
        bias: Shape (C,), or none.
        dilation: 1 or more; the padding, too.

    Returns:
        Shape (N, C, H, W), the last dimension in memory being the channels.

    Source: grids are the "space to batch" of Chen et al., "DeepLab", TPAMI 2018, section 3.1 (reducing the image's
    resolution by d in d x d phases, then interlacing).
    """
    count, channels, height, width = maps.shape
    padded = functional.pad(maps, (0, -width % dilation, 0, -height % dilation)).permute(0, 2, 3, 1)
    rows, columns = padded.shape[1] // dilation, padded.shape[2] // dilation
    phases = padded.reshape(count, rows, dilation, columns, dilation, channels).permute(2, 4, 0, 1, 3, 5)
    grids = phases.reshape(dilation * dilation * count, rows, columns, channels).permute(0, 3, 1, 2)
    found = functional.conv2d(grids, weight, bias, padding=1, groups=channels).permute(0, 2, 3, 1)
    phases = found.reshape(dilation, dilation, count, rows, columns, channels).permute(2, 3, 0, 4, 1, 5)
    whole = phases.reshape(count, rows * dilation, columns * dilation, channels).permute(0, 3, 1, 2)
    return whole[..., :height, :width].contiguous(memory_format=torch.channels_last)


def _in_bfloat16(maps: Tensor) -> bool:
    autocast = torch.is_autocast_enabled("cpu")
    return (torch.get_autocast_dtype("cpu") if autocast else maps.dtype) == torch.bfloat16


def speed_up_depthwise(network: nn.Module) -> None:
    """Put :class:`DilatedDepthwiseConv` in the place of every convolution that it can stand for; parameters stay."""
    for parent in list(network.modules()):
        for name, part in list(parent.named_children()):
            if type(part) is nn.Conv2d and _fits(part):
                setattr(parent, name, _like(part))


def _fits(conv: nn.Conv2d) -> bool:
    depthwise = conv.groups == conv.in_channels == conv.out_channels > 1
    square = conv.kernel_size == (3, 3) and conv.stride == (1, 1) and conv.padding_mode == "zeros"
    rate = conv.dilation[0]
    return depthwise and square and rate > 1 and conv.dilation == conv.padding == (rate, rate)


def _like(conv: nn.Conv2d) -> DilatedDepthwiseConv:
    made = DilatedDepthwiseConv(
        conv.in_channels,
        conv.out_channels,
        3,
        padding=cast(tuple[int, int], conv.padding),
        dilation=cast(tuple[int, int], conv.dilation),
        groups=conv.groups,
        bias=conv.bias is not None,
        device="meta",  # neither memory nor random numbers for weights that are replaced
    )
    made.weight, made.bias = conv.weight, conv.bias
    return made.train(conv.training)
