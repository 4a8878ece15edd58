import copy
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from coarse2fine.config import NetworkConfig, TrainConfig
from coarse2fine.errors import ConfigError
from coarse2fine.networks.deeplab import (
    NETWORKS,
    DeepLabV3Plus,
    SegmentationNetwork,
    build_network,
    freeze,
    parameter_groups,
)

CLASSES = 3


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Two threads wait for each other much longer than these small arrays take."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def settings(name: str = "deeplabv3plus", encoder: str = "resnet18", **changes: object) -> NetworkConfig:
    stride = 8 if name == "deeplabv2" else 16
    small = {
        "name": name,
        "encoder": encoder,
        "encoder_weights": "none",
        "output_stride": stride,
        "decoder_channels": 16,
    }
    return NetworkConfig.model_validate({**small, **changes})


def photos(count: int = 2, height: int = 48, width: int = 64) -> Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def step(network: SegmentationNetwork) -> None:
    """One step of training on random photos."""
    groups = parameter_groups(network, TrainConfig(learning_rate=0.1))
    optimizer = torch.optim.SGD(groups, momentum=0.9)
    network.train()(photos()).square().mean().backward()
    optimizer.step()


contract = pytest.mark.parametrize(
    "config", [settings(n, e) for n in NETWORKS for e in ("resnet18", "mobilenetv2_100")], ids=str
)


@contract
def test_networks__keep_the_contract(config: NetworkConfig):
    torch.manual_seed(0)
    network = build_network(config, CLASSES)

    network(photos()).square().mean().backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.head_parameters())

    network.eval()
    with torch.inference_mode():
        for height, width in ((33, 47), (1, 1)):
            assert network(photos(1, height, width)).shape == (1, CLASSES, height, width)
        deepest = network.encoder(photos(1, 64, 64))[-1]
        assert deepest.shape[-1] == 64 // config.output_stride == 64 // network.output_stride

        logits = network(photos())
        with torch.autocast("cpu", torch.bfloat16):
            rough = network(photos())
        assert rough.dtype == torch.float32
        assert (rough - logits).abs().max() < 0.05 * logits.abs().max()

        other = build_network(config, CLASSES).eval()
        assert not torch.equal(other(photos()), logits)
        other.load_state_dict(network.state_dict())
        assert torch.equal(other(photos()), logits)


@contract
def test_freeze__first_stages_and_norms_do_not_change(config: NetworkConfig):
    network = build_network(config.model_copy(update={"frozen_stages": 2, "freeze_batch_norm": True}), CLASSES)
    before = copy.deepcopy(network.state_dict())
    step(network)
    changed = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    early = (
        "encoder.conv1",
        "encoder.layer1.",
        "encoder.model.conv_stem",
        "encoder.model.blocks.0.",
        "encoder.model.blocks.1.",
    )
    assert not [key for key in changed if key.startswith(early)]
    assert not [key for key in changed if key.startswith("encoder.") and "bn" in key]
    assert {name for name, parameter in network.named_parameters() if parameter.requires_grad} <= changed
    assert [key for key in changed if key.startswith("encoder.")]


def test_freeze__stages_alone_leave_later_norms_training():
    network = build_network(settings(frozen_stages=1), CLASSES).train()
    norms = {name: part.training for name, part in network.named_modules() if isinstance(part, nn.BatchNorm2d)}
    assert not norms["encoder.bn1"]
    assert sum(norms.values()) == len(norms) - 1


def test_freeze__survives_a_copy_and_can_be_undone():
    network = build_network(settings(freeze_batch_norm=True), CLASSES)
    assert not copy.deepcopy(network).train().encoder.bn1.training
    freeze(network, settings())
    assert network.train().encoder.bn1.training
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_freeze__no_graph_through_frozen_stages():
    network = build_network(settings(frozen_stages=2), CLASSES)
    features = network.encoder(photos())
    assert [feature.requires_grad for feature in features] == [False, False, False, True, True, True]


def test_freeze__refuses_more_stages_than_there_are():
    with pytest.raises(ConfigError, match="frozen_stages must be at most 5"):
        build_network(settings(frozen_stages=9), CLASSES)


def test_deeplabv2__pyramid_is_four_convolutions_to_the_classes():
    torch.manual_seed(0)
    network = build_network(settings("deeplabv2"), 21)
    weights = torch.cat([branch.weight.flatten() for branch in network.aspp])
    assert sum(parameter.numel() for parameter in network.head_parameters()) == 4 * (512 * 21 * 9 + 21)
    assert [branch.dilation for branch in network.aspp] == [(6, 6), (12, 12), (18, 18), (24, 24)]
    assert weights.std().item() == pytest.approx(0.01, rel=0.01)
    assert all(not branch.bias.any() for branch in network.aspp)


def test_deeplabv2__sums_its_branches():
    network = build_network(settings("deeplabv2"), CLASSES)
    features = [torch.ones(1, 512, 1, 1)]
    with torch.no_grad():
        for number, branch in enumerate(network.aspp, start=1):
            branch.weight.zero_()
            branch.bias.fill_(number)
    assert network.decode(features).flatten().tolist() == [10, 10, 10]


def test_deeplabv2__refuses_another_output_stride():
    with pytest.raises(ConfigError, match=r"deeplabv2 needs network\.output_stride = 8, found 16"):
        build_network(settings("deeplabv2", output_stride=16), CLASSES)


@pytest.mark.parametrize(("stride", "rates"), [(16, [6, 12, 18]), (8, [12, 24, 36])])
def test_deeplabv3plus__rates_follow_the_output_stride(stride: int, rates: list[int]):
    network = build_network(settings(output_stride=stride), CLASSES)
    assert isinstance(network, DeepLabV3Plus)
    assert [branch[0].dilation[0] for branch in network.branches] == [1, *rates]


def test_forward__padding_does_not_reach_the_output():
    """The padded pixels are cut off again: each pixel's score lies where the pixel lies."""

    class Copy(SegmentationNetwork):
        def decode(self, features: list[Tensor]) -> Tensor:
            return features[0]

    network = Copy(build_network(settings(), CLASSES).encoder).eval()
    images = photos(1, 33, 47)
    with torch.no_grad():
        assert torch.equal(network(images), images)


def test_build_network__refuses_a_single_class():
    with pytest.raises(ConfigError, match="found 1 in all"):
        build_network(settings(), 1)


@pytest.mark.parametrize(("name", "bias_factor"), [("deeplabv2", 20), ("deeplabv3plus", 10)])
def test_parameter_groups__head_learns_faster_and_biases_do_not_decay(name: str, bias_factor: float):
    network = build_network(settings(name), CLASSES)
    groups = parameter_groups(network, TrainConfig(learning_rate=0.001, weight_decay=0.5))
    found = {group["name"]: (round(group["lr"] / 0.001, 6), group["weight_decay"]) for group in groups}
    assert found == {
        "encoder.weights": (1, 0.5),
        "encoder.biases": (1, 0),
        "head.weights": (10, 0.5),
        "head.biases": (bias_factor, 0),
    }
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in network.parameters())


def test_parameter_groups__leave_out_what_is_frozen():
    network = build_network(settings(frozen_stages=5), CLASSES)
    groups = parameter_groups(network, TrainConfig())
    assert [group["name"] for group in groups] == ["head.weights", "head.biases"]
