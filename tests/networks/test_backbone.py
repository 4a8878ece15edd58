from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from coarse2fine.errors import ConfigError
from coarse2fine.networks import hub
from coarse2fine.networks.backbone import build_encoder, find_mean_and_std, find_stage_parameters

WEIGHTS = Path(__file__).parents[3] / "shared" / "data" / "weights" / "mobilenetv2_100.imagenet.safetensors"


def stored_resnet18(seed: int) -> dict[str, Tensor]:
    """Tensors as torchvision stores a ResNet-18, its classifier included."""
    torch.manual_seed(seed)
    tensors = build_encoder("resnet18", 8, "none").state_dict()
    return {**tensors, "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2_100", "tu-mobilenetv2_100"])
def test_build_encoder__deepest_features_lie_at_the_output_stride(name: str, output_stride: int):
    encoder = build_encoder(name, output_stride, "none").eval()
    features = encoder(torch.zeros(1, 3, 64, 96))
    assert features[-1].shape[-2:] == (64 // output_stride, 96 // output_stride)
    assert features[2].shape[-2:] == (16, 24)
    assert [feature.shape[1] for feature in features] == list(encoder.out_channels)


def test_build_encoder__resnet_at_stride_8_has_dilations_2_and_4():
    encoder = build_encoder("resnet18", 8, "none")
    dilations = [encoder.get_submodule(f"layer{number}.1.conv1").dilation for number in (2, 3, 4)]
    assert dilations == [(1, 1), (2, 2), (4, 4)]


@pytest.mark.parametrize(
    ("name", "near"),
    [("resnet-101", "resnet101"), ("mobilenetv2_10", "mobilenetv2_100"), ("resnet18.nope", "resnet18.tv")],
)
def test_build_encoder__unknown_name_lists_near_matches(name: str, near: str):
    with pytest.raises(ConfigError, match=rf"has an encoder '{name}'; did you mean .*{near}"):
        build_encoder(name, 16, "none")


@pytest.mark.parametrize("name", ["densenet121", "ghostnet_050", "levit_128s"])
def test_build_encoder__refuses_what_cannot_be_dilated(name: str):
    with pytest.raises(ConfigError, match=f"'{name}' must have features at strides 4 and 16, but has none there"):
        build_encoder(name, 16, "none")


def test_build_encoder__loads_a_file_and_drops_its_classifier(tmp_path: Path):
    tensors = stored_resnet18(seed=1)
    save_file(tensors, tmp_path / "weights.safetensors")
    torch.manual_seed(2)
    loaded = build_encoder("resnet18", 16, str(tmp_path / "weights.safetensors")).state_dict()
    assert set(loaded) == set(tensors) - {"fc.weight", "fc.bias"}
    assert all(torch.equal(tensor, tensors[key]) for key, tensor in loaded.items())


def test_build_encoder__knows_timm_names_flattened_or_not(tmp_path: Path):
    """timm's whole ConvNeXt says ``stages.0``, its features-only form ``stages_0``."""
    made = build_encoder("convnext_atto", 16, "none").state_dict()
    stored = {key.removeprefix("model.").replace("stages_", "stages."): tensor for key, tensor in made.items()}
    save_file({**stored, "head.norm.weight": torch.zeros(3)}, tmp_path / "weights.safetensors")
    loaded = build_encoder("convnext_atto", 16, str(tmp_path / "weights.safetensors")).state_dict()
    assert "stages.0.blocks.0.conv_dw.weight" in stored
    assert all(torch.equal(tensor, made[key]) for key, tensor in loaded.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer1.0.conv1.weight": None}, r"119 of its 120 .*'layer1.0.conv1.weight' .*\(64, 64, 3, 3\), found absent"),
        (
            {"conv1.weight": torch.zeros(64, 1, 7, 7)},
            r"119 of its 120 .*'conv1.weight' .*found of shape \(64, 1, 7, 7\)",
        ),
        ({"layer4.2.conv1.weight": torch.zeros(1)}, r"120 of its 120 .*'layer4.2.conv1.weight' must be absent, found"),
        ({"bn1.bias": torch.full((64,), float("nan"))}, r"must be finite numbers, but 'bn1.bias' holds others"),
    ],
    ids=["missing", "other shape", "deeper encoder", "not finite"],
)
def test_build_encoder__refuses_weights_that_do_not_all_fit(tmp_path: Path, change: dict, message: str):
    tensors = {**stored_resnet18(seed=1), **change}
    save_file({key: tensor for key, tensor in tensors.items() if tensor is not None}, tmp_path / "w.safetensors")
    with pytest.raises(ConfigError, match=message):
        build_encoder("resnet18", 16, str(tmp_path / "w.safetensors"))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("missing.safetensors", "does not exist"),
        ("broken.safetensors", "must be a readable safetensors file"),
        ("weights.pth", "must be imagenet, none or a .safetensors file"),
    ],
)
def test_build_encoder__refuses_a_bad_weights_file(tmp_path: Path, weights: str, message: str):
    (tmp_path / "broken.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ConfigError, match=message):
        build_encoder("resnet18", 16, str(tmp_path / weights))


@pytest.mark.parametrize(
    ("name", "repository"),
    [("resnet18", "smp-hub/resnet18.imagenet"), ("mobilenetv2_100", "timm/mobilenetv2_100.ra_in1k")],
)
def test_build_encoder__failed_download_names_the_way_out(monkeypatch: pytest.MonkeyPatch, name: str, repository: str):
    def refuse(*_: object, **__: object) -> str:
        raise FileNotFoundError("no network")

    monkeypatch.setattr(hub, "check_reachable", refuse)
    with pytest.raises(ConfigError, match=rf"huggingface\.co/{repository}\. .* --network\.encoder-weights FILE"):
        build_encoder(name, 16, "imagenet")


def test_build_encoder__weights_in_the_cache_need_no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    tensors = stored_resnet18(seed=1)
    save_file(tensors, tmp_path / "model.safetensors")

    def refuse() -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(hub, "check_reachable", refuse)
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_, **__: str(tmp_path / "model.safetensors"))
    loaded = build_encoder("resnet18", 16, "imagenet").state_dict()
    assert torch.equal(loaded["conv1.weight"], tensors["conv1.weight"])


def test_build_encoder__imagenet_loads_what_the_hub_gives(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    tensors = stored_resnet18(seed=1)
    save_file(tensors, tmp_path / "model.safetensors")
    monkeypatch.setattr(hub, "check_reachable", lambda: None)
    monkeypatch.setattr(hub, "hf_hub_download", lambda *_, **__: str(tmp_path / "model.safetensors"))
    loaded = build_encoder("resnet18", 16, "imagenet").state_dict()
    assert torch.equal(loaded["conv1.weight"], tensors["conv1.weight"])


@pytest.mark.parametrize("name", ["dpn68b", "cs3darknet_s"])
def test_build_encoder__refuses_imagenet_weights_that_nobody_published(name: str):
    with pytest.raises(ConfigError, match=f"No ImageNet weights are published for the encoder '{name}'"):
        build_encoder(name, 16, "imagenet")


def test_build_encoder__mobilenet_file_of_the_shared_data():
    if not WEIGHTS.is_file():
        pytest.skip("no data")
    loaded = build_encoder("mobilenetv2_100", 16, str(WEIGHTS)).state_dict()
    stored = load_file(WEIGHTS)
    assert len(loaded) == 306
    assert all(torch.equal(tensor, stored[key.removeprefix("model.")]) for key, tensor in loaded.items())


@pytest.mark.parametrize(
    ("name", "stages", "modules"),
    [
        ("resnet18", 1, ("conv1", "bn1")),
        ("resnet18", 2, ("conv1", "bn1", "layer1")),
        ("mobilenetv2_100", 1, ("model.conv_stem", "model.bn1", "model.blocks.0")),
        ("mobilenetv2_100", 2, ("model.conv_stem", "model.bn1", "model.blocks.0", "model.blocks.1")),
        ("mobilenetv2_100", 5, ("model",)),
        ("convnext_atto", 1, ("model.stem_0", "model.stem_1", "model.stages_0")),
    ],
)
def test_find_stage_parameters__stem_counts_as_the_first(name: str, stages: int, modules: tuple[str, ...]):
    encoder = build_encoder(name, 16, "none")
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    found = {id(parameter) for parameter in find_stage_parameters(encoder, stages)}
    assert found == {id(parameter) for module in modules for parameter in encoder.get_submodule(module).parameters()}
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())
    assert encoder.training


def test_find_stage_parameters__refuses_more_than_there_are():
    with pytest.raises(ConfigError, match="at most 5 for this encoder, found 6"):
        find_stage_parameters(build_encoder("resnet18", 16, "none"), 6)


@pytest.mark.parametrize(
    ("name", "mean"),
    [
        ("resnet101", (0.485, 0.456, 0.406)),
        ("se_resnet50", (0.485, 0.456, 0.406)),
        ("mobilenetv2_100", (0.485, 0.456, 0.406)),
        ("inception_v3.tf_in1k", (0.5, 0.5, 0.5)),
        ("timm-tf_efficientnet_lite0", (0.5, 0.5, 0.5)),
    ],
)
def test_find_mean_and_std__follows_the_encoders_record(name: str, mean: tuple[float, float, float]):
    assert find_mean_and_std(name)[0] == mean


def test_find_mean_and_std__refuses_an_unknown_name():
    with pytest.raises(ConfigError, match="has an encoder 'nope'"):
        find_mean_and_std("nope")


def test_build_encoder__is_a_plain_module_ready_to_train():
    encoder = build_encoder("resnet18", 16, "none")
    assert isinstance(encoder, nn.Module)
    assert encoder.training
    assert encoder.output_stride == 16
