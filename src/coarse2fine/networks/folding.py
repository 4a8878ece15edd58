"""Faster copies of networks for prediction: batch norms folded into convolutions, ReLUs computed on integers.

Pairs of convolution and batch norm are found in a forward pass of one small batch, so networks of any library can be
folded. The logits of the copy are compared with those of the network on the same batch.
"""

from collections import Counter
from copy import deepcopy
from typing import cast

import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights

from coarse2fine.networks.depthwise import DilatedDepthwiseConv

PROBE_PX = 64
TOLERANCE = 1e-3
"""Allowed difference as a share of the largest logit.

Folding changes only the last bits of float32; a wrong pair of convolution and batch norm changes logits completely."""


class ClippedReLU(nn.Module):
    """ReLU or ReLU6 without gradients, on a CPU in bfloat16 several times as fast as torch's.

    Read as integers, the bits of bfloat16 numbers from 0 on have the order of the numbers, and the bits of negative
    numbers are negative. So clipping the integers gives the same results, except for NaN, which becomes the limit.

    Args:
        limit: Upper limit, or None.
        inplace: Whether to overwrite the argument.
    """

    def __init__(self, limit: float | None, inplace: bool) -> None:
        super().__init__()
        self.limit, self.inplace = limit, inplace
        highest = torch.tensor(torch.inf if limit is None else limit, dtype=torch.bfloat16).view(torch.int16).item()
        self.highest = torch.iinfo(torch.int16).max if limit is None else int(highest)

    def forward(self, maps: Tensor) -> Tensor:
        """Clip maps of any shape; return the same shape."""
        if maps.dtype == torch.bfloat16 and maps.device.type == "cpu":
            bits = maps.view(torch.int16)
            clipped = bits.clamp_(0, self.highest) if self.inplace else bits.clamp(0, self.highest)
            return clipped.view(torch.bfloat16)
        if self.limit is None:
            return functional.relu(maps, self.inplace)
        return functional.hardtanh(maps, 0.0, self.limit, self.inplace)


def fold(network: nn.Module) -> nn.Module:
    """Return a faster copy of a network with equal logits except for the last bits.

    Args:
        network: Network in evaluation mode. It is not changed. Weights that change later do not change in the copy.

    Returns:
        The copy, for prediction only. The network itself if it has no batch norms, or if the logits of the copy differ,
        for example because the network uses the output of a convolution twice.
    """
    if not any(isinstance(part, nn.BatchNorm2d) for part in network.modules()):
        return network
    device = next(network.parameters()).device
    copied = deepcopy(network).cpu()  # compared on the CPU, because TF32 of a GPU can change logits by TOLERANCE
    images = torch.rand(1, 3, PROBE_PX, PROBE_PX, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = copied(images)
    for conv, norm in _find_pairs(copied, images):
        _fold_pair(copied, conv, norm)
    _clip_with_integers(copied)
    copied = copied.requires_grad_(False).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        difference = (copied(images) - expected).abs().max()
    return copied.to(device) if difference <= TOLERANCE * expected.abs().max() else network


def _find_pairs(network: nn.Module, images: Tensor) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Find the convolutions that are followed by a batch norm, if both are used once."""
    made: dict[int, tuple[nn.Conv2d, Tensor]] = {}  # keeps results alive, so that no other tensor gets the same id
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []
    uses: Counter[nn.Module] = Counter()

    def after_conv(conv: nn.Module, _given: object, result: Tensor) -> None:
        uses[conv] += 1
        made[id(result)] = (cast(nn.Conv2d, conv), result)

    def before_norm(norm: nn.Module, given: tuple[Tensor, ...]) -> None:
        uses[norm] += 1
        if id(given[0]) in made:
            pairs.append((made[id(given[0])][0], cast(nn.BatchNorm2d, norm)))

    hooks = []
    for part in network.modules():
        if type(part) in (nn.Conv2d, DilatedDepthwiseConv):
            hooks.append(part.register_forward_hook(after_conv))
        elif type(part) in (nn.BatchNorm2d, BatchNormAct2d):
            hooks.append(part.register_forward_pre_hook(before_norm))
    with torch.no_grad():
        network(images)
    for hook in hooks:
        hook.remove()
    return [(conv, norm) for conv, norm in pairs if uses[conv] == uses[norm] == 1 and norm.running_var is not None]


def _fold_pair(network: nn.Module, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, mean, variance, norm.eps, norm.weight, norm.bias
    )
    after: nn.Module = nn.Sequential(norm.drop, norm.act) if isinstance(norm, BatchNormAct2d) else nn.Identity()
    _replace(network, norm, after)


def _clip_with_integers(network: nn.Module) -> None:
    for part in list(network.modules()):
        if type(part) is nn.ReLU:
            _replace(network, part, ClippedReLU(None, part.inplace))
        elif type(part) is nn.ReLU6:
            _replace(network, part, ClippedReLU(6.0, part.inplace))


def _replace(network: nn.Module, old: nn.Module, new: nn.Module) -> None:
    for parent in list(network.modules()):
        for name, part in list(parent.named_children()):
            if part is old:
                setattr(parent, name, new)
