import copy

import pytest
import torch
from torch import Tensor, nn

from coarse2fine.config import NetworkConfig, TrainConfig
from coarse2fine.errors import ConfigError
from coarse2fine.networks.build import NETWORKS, build_network
from coarse2fine.networks.segmentation import SegmentationNetwork, freeze, parameter_groups

CLASSES = 3


def settings(name: str = "deeplabv3plus", encoder: str = "resnet18", **changes: object) -> NetworkConfig:
    stride = {"deeplabv2": 8, "deeplabv3plus": 16}.get(name, 32)
    small = {
        "name": name,
        "encoder": encoder,
        "encoder_weights": "none",
        "output_stride": stride,
        "decoder_channels": 16,
        "freeze_batch_norm": False,
        "frozen_stages": 0,
    }
    return NetworkConfig.model_validate({**small, **changes})


def photos(count: int = 2, height: int = 48, width: int = 64) -> Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def step(network: SegmentationNetwork) -> None:
    """One step of training on random photos."""
    groups = parameter_groups(
        network, TrainConfig(learning_rate=0.1, head_learning_rate_factor=10, weight_decay=0.0005)
    )
    optimizer = torch.optim.SGD(groups, momentum=0.9)
    network.train()(photos()).square().mean().backward()
    optimizer.step()


contract = pytest.mark.parametrize(
    "config", [settings(n, e) for n in NETWORKS for e in ("resnet18", "mobilenetv2_100")], ids=str
)


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_networks__can_be_exported(name: str):
    network = build_network(settings(name), CLASSES).eval()
    exported = torch.export.export(network, (photos(),)).module()
    with torch.inference_mode():
        assert torch.allclose(exported(photos()), network(photos()), atol=1e-5)


def test_forward__keeps_the_highest_score_of_all_scales():
    network = build_network(settings(scales=(0.5, 0.75, 1.0)), CLASSES).eval()
    single = build_network(settings(), CLASSES).eval()
    single.load_state_dict(network.state_dict())
    images = photos(1, 33, 47)
    with torch.inference_mode():
        parts = network.compute_scale_logits(images)
        assert [tuple(part.shape) for part in parts] == 3 * [(1, CLASSES, 33, 47)]
        assert torch.equal(parts[2], single(images))
        assert not torch.equal(parts[0], parts[2])
        assert torch.equal(network(images), torch.maximum(torch.maximum(parts[0], parts[1]), parts[2]))
        assert network(photos(1, 1, 1)).shape == (1, CLASSES, 1, 1)


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
    with pytest.raises(ConfigError, match="the number of classes is 1"):
        build_network(settings(), 1)


@pytest.mark.parametrize(("name", "bias_factor"), [("deeplabv2", 20), ("deeplabv3plus", 10)])
def test_parameter_groups__head_learns_faster_and_biases_do_not_decay(name: str, bias_factor: float):
    network = build_network(settings(name), CLASSES)
    groups = parameter_groups(network, TrainConfig(learning_rate=0.001, head_learning_rate_factor=10, weight_decay=0.5))
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
