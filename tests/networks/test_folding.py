"""Folded copies: the same scores from fewer layers, and the network itself where that cannot be."""

import copy

import pytest
import torch
from torch import Tensor, nn

from coarse2fine.config import NetworkConfig
from coarse2fine.networks.build import NETWORKS, build_network
from coarse2fine.networks.folding import ClippedReLU, fold

PARTS = [(name, encoder) for name in NETWORKS for encoder in ("resnet18", "mobilenetv2_100")]


def trained(name: str, encoder: str) -> nn.Module:
    torch.manual_seed(0)
    config = NetworkConfig(
        name=name,
        encoder=encoder,
        encoder_weights="none",
        output_stride={"deeplabv2": 8, "deeplabv3plus": 16}.get(name, 32),
        decoder_channels=16,
    )
    return with_statistics(build_network(config, 3)).eval()


def with_statistics(network: nn.Module) -> nn.Module:
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean, std=0.1)
            nn.init.uniform_(part.running_var, 0.5, 2)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias)
    return network


def norms(network: nn.Module) -> int:
    return sum(isinstance(part, nn.BatchNorm2d) for part in network.modules())


@pytest.mark.slow
@pytest.mark.parametrize("name, encoder", [*PARTS, ("fpn", "tu-convnext_atto")])
def test_fold__same_scores_without_batch_norms(name: str, encoder: str) -> None:
    network = trained(name, encoder)
    before = copy.deepcopy(network.state_dict())
    folded = fold(network)
    images = torch.rand(2, 3, 45, 70)
    with torch.inference_mode():
        expected, found = network(images), folded(images)
        with torch.autocast("cpu", torch.bfloat16):
            rough = folded(images)
    scale = float(expected.abs().max())
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * scale)
    torch.testing.assert_close(rough, expected, rtol=0.1, atol=0.05 * scale)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    if norms(network):
        assert folded is not network and norms(folded) == 0
        assert not any(part.requires_grad for part in folded.parameters())
        assert any(part.requires_grad for part in network.parameters())


class Block(nn.Module):
    """A convolution, a norm, and what reads the convolution's results a second time."""

    def __init__(self, again: bool, shared: bool = False) -> None:
        super().__init__()
        self.conv, self.norm, self.other = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.again, self.shared = again, shared

    def forward(self, images: Tensor) -> Tensor:
        """Probabilities."""
        made = self.conv(images)
        found = self.norm(made)
        if self.shared:
            found = self.other(self.conv(torch.relu(found)))
        return found + made if self.again else found


@pytest.mark.parametrize("again, shared, left", [(False, False, 1), (False, True, 2), (True, False, 2)])
def test_fold__what_reads_a_convolution_twice_keeps_its_norms(again: bool, shared: bool, left: int) -> None:
    torch.manual_seed(0)
    network = with_statistics(Block(again, shared)).eval()
    folded = fold(network)
    images = torch.rand(1, 3, 8, 8)
    with torch.inference_mode():
        torch.testing.assert_close(folded(images), network(images))
    assert norms(folded) == left
    assert (folded is network) == again


def test_fold__a_network_without_norms_is_left_alone() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU())
    assert fold(network) is network


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("limit", [None, 6.0])
def test_clipped_relu__all_numbers_of_bfloat16(limit: float | None, inplace: bool) -> None:
    everything = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    numbers = everything[~everything.isnan()]
    clip = ClippedReLU(limit, inplace)
    expected = numbers.float().clamp(0, limit)
    given = numbers.clone()
    assert torch.equal(clip(given).float(), expected)
    assert torch.equal(given.float(), expected if inplace else numbers.float())
    assert torch.equal(clip(numbers.float()), expected)


def test_clipped_relu__keeps_the_memory_format() -> None:
    maps = torch.randn(2, 4, 6, 5, dtype=torch.bfloat16).to(memory_format=torch.channels_last)
    found = ClippedReLU(6.0, inplace=False)(maps)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(found, maps.clamp(0, 6))
