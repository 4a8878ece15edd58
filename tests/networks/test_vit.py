import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from coarse2fine.errors import ConfigError
from coarse2fine.networks import hub
from coarse2fine.networks.vit import KeyNetwork, build_key_network, build_vit, extract_keys

TINY = "vit_tiny_patch16_224"


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A file as timm stores a whole tiny ViT, its classifier included."""
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file(timm.create_model(TINY, pretrained=False).state_dict(), path)
    return path


def random_network(name):
    torch.manual_seed(0)
    return KeyNetwork(build_vit(name)).eval()


@pytest.mark.parametrize(
    ("name", "patch_px", "channels"),
    [
        (TINY, 16, 192),
        ("deit_tiny_distilled_patch16_224", 16, 192),  # a class and a distillation token
        ("vit_wee_patch16_reg1_gap_256", 16, 256),  # a register, no class token
        ("vit_small_patch8_224.dino", 8, 384),
    ],
)
@pytest.mark.parametrize("grid", [(1, 1), (2, 3), (5, 1)])
def test_key_network__one_key_per_patch_whatever_the_size(name, patch_px, channels, grid):
    network = random_network(name)
    assert network.patch_px == patch_px
    with torch.inference_mode():
        keys = network(torch.randn(2, 3, grid[0] * patch_px, grid[1] * patch_px))
    assert keys.shape == (2, *grid, channels)


@pytest.mark.parametrize("name", [TINY, "deit_tiny_distilled_patch16_224", "vit_wee_patch16_reg1_gap_256"])
def test_key_network__keys_are_those_of_the_last_attention_layer(name):
    torch.manual_seed(0)
    whole = build_vit(name).eval()
    for block in whole.blocks:
        torch.nn.init.normal_(block.attn.qkv.bias)
    last = whole.blocks[-1]
    seen = []
    last.attn.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    images = torch.randn(1, 3, 32, 48)
    width = last.attn.qkv.in_features
    with torch.inference_mode():
        whole(images)
        weight, bias = last.attn.qkv.weight[width : 2 * width], last.attn.qkv.bias[width : 2 * width]
        by_hand = (seen[0] @ weight.T + bias)[:, -6:].view(1, 2, 3, width)  # queries, keys, values; 2 x 3 patches
        keys = KeyNetwork(whole)(images)
    torch.testing.assert_close(keys, by_hand)
    assert keys.std() > 0.1


def test_key_network__patches_lie_where_they_are_seen():
    network = random_network(TINY)
    images = torch.zeros(1, 3, 48, 80)
    with torch.inference_mode():
        before = network(images)
        images[..., 16:32, 64:80] = 3
        moved = (network(images) - before).norm(dim=-1)[0]
    assert divmod(int(moved.argmax()), 5) == (1, 4)


@pytest.mark.slow
def test_build_key_network__loads_a_file_and_drops_its_classifier(stored):
    first = build_key_network(TINY, str(stored))
    tensors = first.vit.state_dict()
    assert torch.equal(tensors["blocks.3.attn.qkv.weight"], load_file(stored)["blocks.3.attn.qkv.weight"])
    assert torch.equal(tensors["blocks.11.1.weight"], load_file(stored)["blocks.11.attn.qkv.weight"])
    assert not first.training and not any(parameter.requires_grad for parameter in first.parameters())
    photo = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    keys = extract_keys(first, photo)
    assert (keys.shape, keys.dtype) == ((2, 3, 192), np.float32)
    np.testing.assert_array_equal(keys, extract_keys(build_key_network(TINY, str(stored)), photo))


def test_extract_keys__photos_have_imagenets_mean_and_spread():
    network = random_network(TINY)
    photo = np.random.default_rng(0).integers(0, 256, (16, 32, 3), np.uint8)
    mean, spread = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
    normalized = ((torch.from_numpy(photo) / 255 - mean) / spread).permute(2, 0, 1)[None]
    with torch.inference_mode():
        np.testing.assert_allclose(extract_keys(network, photo), network(normalized)[0], atol=1e-5)


def test_extract_keys__damaged_weights_are_one_sentence():
    network = random_network(TINY)
    with torch.no_grad():
        network.vit.pos_embed.fill_(float("nan"))
    with pytest.raises(ConfigError, match=r"must be finite numbers.*coarse\.features\.weights are damaged"):
        extract_keys(network, np.zeros((16, 16, 3), np.uint8))


def test_build_key_network__refuses_the_file_of_another_network(stored):
    with pytest.raises(ConfigError, match=r"0 of its .*'cls_token' must be of shape \(1, 1, 384\), found .*1, 1, 192"):
        build_key_network("vit_small_patch16_224.dino", str(stored))


def test_build_key_network__refuses_a_file_that_lacks_a_tensor(stored, tmp_path):
    tensors = load_file(stored)
    del tensors["blocks.5.mlp.fc1.bias"]
    save_file(tensors, tmp_path / "short.safetensors")
    with pytest.raises(ConfigError, match=r"'blocks.5.mlp.fc1.bias' must be of shape \(768,\), found absent"):
        build_key_network(TINY, str(tmp_path / "short.safetensors"))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("gone.safetensors", "gone.safetensors does not exist. Set coarse.features.weights"),
        ("weights.pth", "coarse.features.weights must be pretrained or a .safetensors file, found"),
    ],
)
def test_build_key_network__refuses_what_is_no_weights_file(weights, message):
    with pytest.raises(ConfigError, match=message):
        build_key_network(TINY, weights)


def test_build_key_network__failed_download_names_the_way_out(monkeypatch):
    def refuse(*_, **__):
        raise ConnectionError("no network")

    monkeypatch.setattr(hub, "check_reachable", refuse)
    with pytest.raises(
        ConfigError, match=r"/timm/vit_small_patch16_224\.dino\. Download .* --coarse\.features\.weights FILE"
    ):
        build_key_network("vit_small_patch16_224.dino", "pretrained")


def test_build_key_network__pretrained_loads_what_the_hub_gives(monkeypatch, stored):
    asked = []
    monkeypatch.setattr(hub, "check_reachable", lambda: None)
    monkeypatch.setattr(hub, "hf_hub_download", lambda *where, **_: asked.append(where) or str(stored))
    network = build_key_network("vit_tiny_patch16_224.augreg_in21k", "pretrained")
    assert asked == [("timm/vit_tiny_patch16_224.augreg_in21k", "model.safetensors")]
    assert torch.equal(network.vit.cls_token, load_file(stored)["cls_token"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vit_small_patch16_224.dion", "no network 'vit_small_patch16_224.dion' .*did you mean .*_224.dino"),
        ("nothing_like_it", r"no network 'nothing_like_it' .*try vit_small_patch16_224\.dino"),
        ("resnet18", "plain vision transformer of timm, but 'resnet18'"),
        ("swin_tiny_patch4_window7_224", "plain vision transformer of timm, but 'swin"),
        ("vit_small_patch16_dinov3", "plain vision transformer of timm, but 'vit_small_patch16_dinov3'"),
    ],
)
def test_build_vit__refuses_what_is_no_plain_transformer(name, message):
    with pytest.raises(ConfigError, match=message):
        build_vit(name)
