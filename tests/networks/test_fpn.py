import pytest
import torch
from torch import Tensor, nn

from coarse2fine.networks.backbone import build_encoder
from coarse2fine.networks.fpn import DFPN, FPN, _Dilated


def encoder(stride: int = 32) -> nn.Module:
    return build_encoder("resnet18", stride, "none")


def features(side: int = 64) -> list[Tensor]:
    torch.manual_seed(0)
    with torch.no_grad():
        return encoder().eval()(torch.randn(1, 3, side, side))


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_fpn__pyramid_has_four_levels_of_one_width():
    pyramid = FPN(encoder(), 2, 16).make_pyramid(features())
    assert [tuple(level.shape) for level in pyramid] == [(1, 16, side, side) for side in (16, 8, 4, 2)]


def test_fpn__parameters_are_those_of_the_papers():
    """ResNet-18 gives 64, 128, 256 and 512 channels; pyramid 256, head 128, as published."""
    network = FPN(encoder(), 21, 256)
    lateral = sum(width * 256 + 256 for width in (64, 128, 256, 512))
    smooth = 4 * (256 * 256 * 9 + 256)
    steps = 4  # convolutions from 256 to 128: one per level; further ones from 128 to 128: one at 16, two at 32
    head = steps * (256 * 128 * 9) + 3 * (128 * 128 * 9) + (steps + 3) * 2 * 128
    assert sum(parameter.numel() for parameter in network.head_parameters()) == lateral + smooth + head + 128 * 21 + 21


def test_make_pyramid__finer_levels_know_what_the_coarsest_saw():
    network = FPN(encoder(), 2, 16)
    maps = features()
    with torch.no_grad():
        before = network.make_pyramid(maps)
        after = network.make_pyramid([*maps[:-1], maps[-1] + 1])
        from_below = network.make_pyramid([*maps[:2], maps[2] + 1, *maps[3:]])
    assert not any(torch.equal(old, new) for old, new in zip(before, after, strict=True))
    assert [torch.equal(old, new) for old, new in zip(before, from_below, strict=True)] == [False, True, True, True]


@pytest.mark.parametrize(("stride", "climbs"), [(32, [0, 1, 2, 3]), (16, [0, 1, 2, 2]), (8, [0, 1, 1, 1])])
def test_fpn__levels_climb_to_stride_4(stride: int, climbs: list[int]):
    network = FPN(encoder(stride), 2, 16)
    assert [sum(isinstance(layer, nn.Upsample) for layer in climb) for climb in network.head] == climbs
    assert network.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 2, 64, 64)


def test_merge__sums_the_levels():
    network = FPN(encoder(), 2, 16).eval()
    pyramid = [torch.randn(1, 16, side, side) for side in (16, 8, 4, 2)]
    with torch.no_grad():
        climbed = [climb(level) for climb, level in zip(network.head, pyramid, strict=True)]
        assert torch.allclose(network.merge(pyramid), sum(climbed), atol=1e-6)


def test_dfpn__is_the_fpn_with_three_branches_of_three_convolutions():
    plain, dilated = FPN(encoder(), 2, 16), DFPN(encoder(), 2, 16, (1, 2, 4))
    convolutions = [part for branch in dilated.branches for part in branch.modules() if isinstance(part, nn.Conv2d)]
    assert [part.dilation[0] for part in convolutions] == 3 * [1, 2, 4]
    assert count(dilated) - count(plain) == count(dilated.branches) + 8 * 2  # and the classes of eight more channels


def test_dfpn__branches_look_at_the_three_coarsest_levels():
    network = DFPN(encoder(), 2, 16, (1, 2, 4)).eval()
    seen: list[int] = []
    for branch in network.branches:
        branch.register_forward_pre_hook(lambda _branch, inputs: seen.append(inputs[0].shape[-1]))
    network(torch.zeros(1, 3, 64, 64))
    assert seen == [8, 4, 2]


def test_dilated__sums_what_its_convolutions_see():
    branch = _Dilated(1, 1, (1, 2, 3))
    branch.finish = nn.Identity()
    with torch.no_grad():
        for convolution in branch.convolutions:
            convolution.weight.zero_()
            convolution.weight[0, 0, 1, 2] = 1  # the pixel to the right, one to three pixels away
    level = torch.tensor([[[[0.0, 1, 10, 100, 0]]]])
    assert branch(level).flatten().tolist() == [111, 110, 100, 0, 0]
