import pytest
import torch
from torch import nn

from coarse2fine.config import NetworkConfig
from coarse2fine.errors import ConfigError
from coarse2fine.networks.backbone import build_encoder
from coarse2fine.networks.deeplab import DeepLabV2, DeepLabV3Plus


def encoder(stride: int) -> nn.Module:
    return build_encoder("resnet18", stride, "none")


def test_deeplabv2__pyramid_is_four_convolutions_to_the_classes():
    torch.manual_seed(0)
    network = DeepLabV2(encoder(8), 21)
    weights = torch.cat([branch.weight.flatten() for branch in network.aspp])
    assert sum(parameter.numel() for parameter in network.head_parameters()) == 4 * (512 * 21 * 9 + 21)
    assert [branch.dilation for branch in network.aspp] == [(6, 6), (12, 12), (18, 18), (24, 24)]
    assert weights.std().item() == pytest.approx(0.01, rel=0.01)
    assert all(not branch.bias.any() for branch in network.aspp)


def test_deeplabv2__sums_its_branches():
    network = DeepLabV2(encoder(8), 3)
    features = [torch.ones(1, 512, 1, 1)]
    with torch.no_grad():
        for number, branch in enumerate(network.aspp, start=1):
            branch.weight.zero_()
            branch.bias.fill_(number)
    assert network.decode(features).flatten().tolist() == [10, 10, 10]


def test_deeplabv2__refuses_another_output_stride():
    with pytest.raises(ConfigError, match=r"deeplabv2 needs network\.output_stride = 8; found 16"):
        NetworkConfig(name="deeplabv2", output_stride=16)


@pytest.mark.parametrize(("stride", "rates"), [(16, [6, 12, 18]), (8, [12, 24, 36])])
def test_deeplabv3plus__rates_follow_the_output_stride(stride: int, rates: list[int]):
    network = DeepLabV3Plus(encoder(stride), 3, decoder_channels=16)
    assert [branch[0].dilation[0] for branch in network.branches] == [1, *rates]
