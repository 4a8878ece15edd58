"""Dilated depthwise convolutions that train fast on a CPU.

Encoders with a fixed output stride, and separable atrous pyramids, contain dilated depthwise convolutions. For their
backward pass in bfloat16, oneDNN falls back to a loop over channels, which takes a quarter of a training step on a CPU.
Computing the same sums in another order is several times as fast: a convolution with dilation d equals a convolution
without dilation on each of the d x d grids of every d-th pixel (:func:`convolve_grids`). In any precision, taps that
read padding only can be left out. Measurements are in ``docs/log.md``.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional


class DilatedDepthwiseConv(nn.Conv2d):
    """A 3x3 depthwise convolution with padding equal to its dilation, with parameters and results of ``nn.Conv2d``.

    The faster order of computation is used only in training on a CPU. Forward results differ in the last bits only.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Convolve maps, shape (N, C, H, W), in any memory format and of any size from 1; return the same shape."""
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
    """Compute a dilated 3x3 depthwise convolution without dilation, on each grid of every ``dilation``-th pixel.

    Args:
        maps: Feature maps, shape (N, C, H, W).
        weight: Weights, shape (C, 1, 3, 3).
        bias: Biases, shape (C,), or None.
        dilation: Dilation and padding, 1 or more.

    Returns:
        Feature maps, shape (N, C, H, W), channels last in memory.

    Source: grids are the "space to batch" of Chen et al., "DeepLab", TPAMI 2018, section 3.1 (the image's
    resolution is reduced by d in d x d phases, which are then interlaced).
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
    """Replace every convolution that fits by a :class:`DilatedDepthwiseConv` with the same parameters."""
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
        device="meta",  # no memory and no random numbers for weights that are replaced below
    )
    made.weight, made.bias = conv.weight, conv.bias
    return made.train(conv.training)
