import colorsys

import numpy as np
import pytest
import torch
from torch import nn

from coarse2fine.config import StudentNetworkConfig
from coarse2fine.errors import ConfigError
from coarse2fine.networks.student import (
    EvalSegNet,
    LowResNet,
    UNet,
    build_student,
    compute_gradients,
    compute_hsv,
    compute_hue,
    compute_positions,
)

SMALL = {
    "lowres": StudentNetworkConfig(shape="lowres", width=0.03),
    "unet": StudentNetworkConfig(shape="unet", width=0.25),
    "dilated": StudentNetworkConfig(shape="dilated", width=0.25),
}


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_lowres__has_the_published_layers():
    with torch.device("meta"):
        network = LowResNet()
    wanted = [(256, 3, 3), (256, 256, 5), (256, 2, 3), (256, 256, 5), (256, 1, 3), (256, 256, 5)]
    wanted += [(256, 768, 3), (256, 256, 5), (256, 256, 3), (256, 256, 5), (64, 256, 5)]
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert [(c.out_channels, c.in_channels, c.kernel_size[0]) for c in convolutions] == wanted
    assert network.whole.weight.shape == (32 * 32, 64 * 32 * 32)
    assert count(network) == 78_087_232


def test_lowres__shapes_on_the_way():
    network, sizes = LowResNet(width=2 / 256), []
    for layer in [*network.branches, *network.trunk]:
        layer.register_forward_hook(lambda _layer, _given, made: sizes.append(tuple(made.shape[1:])))
    soft = network(torch.rand(2, 3, 128, 128))
    assert sizes[:3] == [(2, 64, 64)] * 3
    assert sizes[3] == (2, 64, 64) and sizes[7] == (2, 32, 32) and sizes[-1][1:] == (32, 32)
    assert soft.shape == (2, 32, 32) and soft.min() >= 0


def test_dilated__differs_from_plain_by_its_bottleneck():
    plain, dilated = UNet(8), UNet(8, (1, 2, 4, 8, 16, 32))
    rates = [layer[0].dilation[0] for layer in dilated.bottleneck]
    assert rates == [1, 2, 4, 8, 16, 32]
    assert count(dilated) - count(plain) == 6 * (9 * 32 * 32 + 2 * 32)


@pytest.mark.parametrize("name", SMALL)
def test_contract__shapes_range_and_gradients(name):
    network = build_student(SMALL[name])
    soft = network(torch.rand(2, 3, 128, 128))
    side = 32 if name == "lowres" else 64
    assert soft.shape == (2, side, side) and soft.dtype == torch.float32
    assert soft.min() >= 0 and (name == "lowres" or soft.max() <= 1)
    (soft - 1).square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
    assert any(bool(p.grad.abs().sum() > 0) for p in network.parameters())


@pytest.mark.parametrize("name", SMALL)
def test_contract__the_same_from_saved_weights_and_in_any_batch(name):
    torch.manual_seed(0)
    network, other = build_student(SMALL[name]).eval(), build_student(SMALL[name]).eval()
    images = torch.rand(3, 3, 128, 128)
    with torch.inference_mode():
        before = network(images)
        assert not torch.allclose(before, other(images))
        other.load_state_dict(network.state_dict())
        torch.testing.assert_close(other(images), before)
        torch.testing.assert_close(network(images[1:2]), before[1:2], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", SMALL)
def test_contract__bf16_is_near_fp32(name):
    torch.manual_seed(0)
    network = build_student(SMALL[name]).eval()
    images = torch.rand(2, 3, 128, 128)
    with torch.inference_mode():
        exact = network(images)
        with torch.autocast("cpu", torch.bfloat16):
            near = network(images).float()
    assert (exact - near).abs().max() < 0.02


def test_unet__takes_any_multiple_of_eight():
    assert UNet(4)(torch.rand(2, 3, 40, 72)).shape == (2, 20, 36)


def test_lowres__has_one_input_size():
    with pytest.raises(ConfigError, match="needs network.input_px = 128, found 64"):
        StudentNetworkConfig(shape="lowres", input_px=64)


def test_hue_saturation_value__as_colorsys():
    colors = np.random.default_rng(0).random((50, 3)).astype(np.float32)
    colors[:4] = [(0, 0, 0), (1, 1, 1), (0.5, 0.5, 0.5), (1, 0, 0)]
    wanted = np.array([colorsys.rgb_to_hsv(*map(float, color)) for color in colors])
    images = torch.from_numpy(colors).T.reshape(1, 3, 5, 10)
    found = compute_hsv(images).reshape(3, -1).T
    torch.testing.assert_close(found, torch.from_numpy(wanted).float(), atol=1e-5, rtol=0)
    torch.testing.assert_close(compute_hue(images).reshape(-1), found[:, 0])


def test_gradients__half_where_flat_and_signed_along_each_axis():
    flat = torch.full((1, 3, 4, 4), 0.3)
    assert torch.allclose(compute_gradients(flat), torch.tensor(0.5))
    step = torch.zeros(1, 3, 4, 4)
    step[..., 2:] = 1  # dark left, bright right
    along_y, along_x = compute_gradients(step)[0]
    assert torch.allclose(along_y, torch.tensor(0.5))
    assert torch.allclose(along_x[:, 1:3], torch.tensor(1.0)) and torch.allclose(along_x[:, 0], torch.tensor(0.5))
    assert torch.allclose(compute_gradients(1 - step)[0, 1][:, 1:3], torch.tensor(0.0))


def test_positions__from_the_top_left_to_the_bottom_right():
    down, right = compute_positions(torch.zeros(2, 3, 3, 5))[1]
    assert down[:, 0].tolist() == [0, 0.5, 1] and right[2].tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_evalseg__one_score_each_that_depends_on_photo_and_mask():
    torch.manual_seed(0)
    evalseg = EvalSegNet(4).eval()
    images, masks = torch.rand(2, 3, 32, 32), torch.rand(2, 16, 16)
    scores = evalseg(images, masks)
    assert scores.shape == (2,) and ((scores > 0) & (scores < 1)).all()
    assert not torch.allclose(evalseg(images, masks.flip(0)), scores, atol=1e-7)
    assert not torch.allclose(evalseg(images.flip(0), masks), scores, atol=1e-7)
