"""Dilated depthwise convolutions: the same results and gradients as torch's own, for all sizes and rates."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from coarse2fine.config import NetworkConfig
from coarse2fine.networks import build as building
from coarse2fine.networks import depthwise
from coarse2fine.networks.build import build_network
from coarse2fine.networks.depthwise import DilatedDepthwiseConv, convolve_grids, speed_up_depthwise

SIZES = [(16, 16), (15, 17), (1, 1), (2, 9), (30, 7)]


def make_pair(rate: int, bias: bool) -> tuple[nn.Conv2d, nn.Conv2d]:
    torch.manual_seed(0)
    plain = nn.Conv2d(4, 4, 3, padding=rate, dilation=rate, groups=4, bias=bias)
    holder = nn.Sequential(nn.Conv2d(4, 4, 3, padding=rate, dilation=rate, groups=4, bias=bias))
    holder.load_state_dict({f"0.{name}": value for name, value in plain.state_dict().items()})
    speed_up_depthwise(holder)
    assert type(holder[0]) is DilatedDepthwiseConv
    return plain, holder[0]


def run(conv: nn.Conv2d, maps: Tensor) -> list[Tensor]:
    conv.zero_grad()
    maps = maps.clone().requires_grad_()
    found = conv(maps)
    (found * torch.linspace(-1, 1, found.numel()).reshape(found.shape)).sum().backward()
    return [found, *(part.grad for part in (maps, *conv.parameters()) if part.grad is not None)]


def assert_same(expected: list[Tensor], found: list[Tensor], tolerance: float) -> None:
    assert len(expected) == len(found)
    for one, other in zip(expected, found, strict=True):
        assert one.shape == other.shape
        torch.testing.assert_close(one, other.float(), rtol=tolerance, atol=tolerance * float(one.detach().abs().max()))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("rate", [2, 3, 12])
@pytest.mark.parametrize("bias", [False, True])
def test_results_and_gradients_are_those_of_torch(size: tuple[int, int], rate: int, bias: bool) -> None:
    plain, fast = make_pair(rate, bias)
    maps = torch.randn(3, 4, *size)
    expected = run(plain, maps)
    assert_same(expected, run(fast, maps), 1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        assert_same(expected, run(fast, maps), 0.02)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("rate", [1, 2, 3, 12])
def test_grids_have_the_results_and_gradients_of_torch(size: tuple[int, int], rate: int) -> None:
    plain = nn.Conv2d(4, 4, 3, padding=rate, dilation=rate, groups=4)
    maps = torch.randn(3, 4, *size)
    expected = run(plain, maps)
    plain.forward = lambda given: convolve_grids(given, plain.weight, plain.bias, rate)  # type: ignore[method-assign]
    assert_same(expected, run(plain, maps), 1e-5)


def test_only_bfloat16_with_small_rates_is_cut_into_grids(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[torch.Size] = []

    def watched(maps: Tensor, *others: Any) -> Tensor:
        calls.append(maps.shape)
        return convolve_grids(maps, *others)

    monkeypatch.setattr(depthwise, "convolve_grids", watched)
    for rate, size in ((2, 16), (8, 16), (12, 16), (12, 25)):
        _plain, fast = make_pair(rate, False)
        fast(torch.randn(2, 4, size, size))
        with torch.autocast("cpu", torch.bfloat16):
            fast(torch.randn(2, 4, size, size))
        fast.bfloat16()(torch.randn(2, 4, size, size, dtype=torch.bfloat16))
    assert [shape[-1] for shape in calls] == [16, 16, 25, 25]


def test_any_memory_format_comes_out_with_channels_last() -> None:
    _plain, fast = make_pair(2, False)
    fast.bfloat16()
    maps = torch.randn(2, 4, 9, 10, dtype=torch.bfloat16)
    ours = [fast(maps), fast(maps.to(memory_format=torch.channels_last))]
    torch.testing.assert_close(*ours)
    assert all(found.is_contiguous(memory_format=torch.channels_last) for found in ours)


def test_outside_training_it_is_torch_s_own() -> None:
    plain, fast = make_pair(2, True)
    maps = torch.randn(2, 4, 9, 10)
    assert torch.equal(fast.eval()(maps), plain(maps))


@pytest.mark.parametrize(
    "other",
    [
        nn.Conv2d(4, 4, 3, padding=1, groups=4),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2),
        nn.Conv2d(4, 8, 3, padding=2, dilation=2, groups=4),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4, stride=2),
        nn.Conv2d(4, 4, 3, padding=1, dilation=2, groups=4),
        nn.Conv2d(4, 4, 5, padding=2, dilation=2, groups=4),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4, padding_mode="reflect"),
    ],
)
def test_what_it_cannot_stand_for_is_left_alone(other: nn.Conv2d) -> None:
    holder = nn.Sequential(other)
    speed_up_depthwise(holder)
    assert holder[0] is other


def test_a_network_keeps_its_parameters_and_its_random_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    config = NetworkConfig(
        name="deeplabv3plus",
        encoder="tu-mobilenetv2_050",
        encoder_weights="none",
        output_stride=16,
        decoder_channels=16,
    )
    torch.manual_seed(0)
    network = build_network(config, 3)
    after = torch.rand(1)
    fast = [name for name, part in network.named_modules() if type(part) is DilatedDepthwiseConv]
    assert any(name.startswith("encoder.") for name in fast)
    assert any(name.startswith("branches.") for name in fast)
    assert all(f"{name}.weight" in network.state_dict() for name in fast)
    assert not any(part.is_meta for part in network.parameters())
    monkeypatch.setattr(building, "speed_up_depthwise", lambda _network: None)
    torch.manual_seed(0)
    again = build_network(config, 3)
    assert torch.equal(after, torch.rand(1))
    assert all(torch.equal(one, other) for one, other in zip(network.parameters(), again.parameters(), strict=True))
    assert list(network.state_dict()) == list(again.state_dict())
