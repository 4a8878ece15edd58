import os
import re
import resource
import tomllib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tomli_w
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from coarse2fine.config import NetworkConfig, PredictConfig, PredictCrfConfig
from coarse2fine.errors import DataError
from coarse2fine.inference.load import is_run
from coarse2fine.inference.torch_segmenter import TorchSegmenter
from coarse2fine.networks.build import build_network
from coarse2fine.networks.weights import load_weights, save_weights

CONFIG = NetworkConfig(encoder="mobilenetv2_050", encoder_weights="none", decoder_channels=16)
CLASSES = ("background", "red", "blue")


@pytest.fixture
def segmenter(color_segmenter) -> Callable[..., TorchSegmenter]:
    return partial(color_segmenter, CLASSES)


def two_halves(height: int = 90, width: int = 120) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 2] = (250, 0, 0)
    image[:, width // 2 :] = (0, 0, 250)
    return image


@pytest.mark.parametrize("flip", [True, False])
def test_segmenter__finds_several_classes_at_the_photos_size(segmenter, flip):
    mask = segmenter(flip=flip).predict(two_halves())
    assert mask.shape == (90, 120)
    assert (mask[:, :58] == 1).all() and (mask[:, 62:] == 2).all()


def test_segmenter__scores_sum_to_one_at_the_photos_size(segmenter):
    scores = segmenter(scales=(0.5, 1.0)).predict_probabilities(two_halves())
    assert scores.shape == (3, 90, 120)
    assert np.allclose(scores.sum(axis=0), 1, atol=1e-5)
    assert scores[1, 45, 10] > 0.9 > 0.1 > scores[1, 45, 110]


def test_segmenter__mirrored_photo_gives_mirrored_scores():
    torch.manual_seed(0)
    network = build_network(CONFIG, 3)
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    seen = TorchSegmenter(network, CLASSES, CONFIG, 64, flip=True, precision="fp32").to()
    straight, mirrored = seen.predict_probabilities(image), seen.predict_probabilities(image[:, ::-1].copy())
    assert np.allclose(straight, mirrored[:, :, ::-1], atol=1e-4)
    lone = TorchSegmenter(network, CLASSES, CONFIG, 64, flip=False, precision="fp32").to()
    assert not np.allclose(
        lone.predict_probabilities(image), lone.predict_probabilities(image[:, ::-1].copy())[:, :, ::-1], atol=1e-4
    )


def test_segmenter__computes_with_a_folded_copy_of_the_network_as_it_was_at_to():
    torch.manual_seed(0)
    network = build_network(CONFIG, 3)
    made = TorchSegmenter(network, CLASSES, CONFIG, 64, precision="fp32").to()
    assert made.folded not in (None, network)
    before = made.predict_probabilities(two_halves())
    assert np.allclose(before, replace(made, folded=None).predict_probabilities(two_halves()), atol=1e-5)
    nn.init.constant_(network.classify.bias, 3.0)
    nn.init.zeros_(network.classify.weight)
    assert (made.predict_probabilities(two_halves()) == before).all()
    assert np.allclose(made.to().predict_probabilities(two_halves()), 1 / 3, atol=1e-6)


@pytest.mark.slow
def test_segmenter__save_and_load_give_the_same_scores(tmp_path):
    torch.manual_seed(0)
    crf = PredictCrfConfig(on=True, steps=3)
    made = TorchSegmenter(build_network(CONFIG, 3), CLASSES, CONFIG, 64, False, (0.5, 1.0), False, "fp32", crf).to()
    made.save(tmp_path / "run" / "model")
    for place in (tmp_path / "run", tmp_path / "run" / "model"):
        assert is_run(tmp_path / "run" / "model")
        loaded = TorchSegmenter.load(place)
        assert (loaded.classes, loaded.size_px, loaded.flip, loaded.scales) == (CLASSES, 64, False, (0.5, 1.0))
        assert (loaded.foreground_first, loaded.crf) == (False, crf)
        assert (loaded.predict_probabilities(two_halves()) == made.predict_probabilities(two_halves())).all()


@pytest.fixture
def model(small_segmenter, tmp_path) -> Path:
    """A folder with the files of a finished network, to be damaged."""
    small_segmenter.save(tmp_path / "model")
    return tmp_path / "model"


MANY_CLASSES = [f"class {number}" for number in range(300)]


@pytest.mark.parametrize(
    ("section", "changes", "message"),
    [
        ("network", {"rates": [6, 12]}, r"there is no setting 'network\.rates'"),
        ("predict", {"crf": None}, r"predict\.crf is missing"),
        ("predict", {"flip": None}, r"predict\.flip is missing"),
        ("predict", {"flip": "no"}, r"predict\.flip must be a valid boolean \(found 'no'\)"),
        ("predict", {"size_px": "64"}, r"predict\.size_px must be a valid integer"),
        (
            "predict",
            {"size_px": 10**9},
            r"predict\.size_px times the largest of predict\.scales .*must be at most 4096",
        ),
        ("predict", {"size_px": 2000, "scales": [1.0, 4.0]}, "must be at most 4096 .*found 8000"),
        ("predict", {"scales": []}, r"predict\.scales must have at least 1 item"),
        (
            "predict",
            {"scales": [1.0] * 10_000},
            r"predict\.scales must have at most 10 items .*\[1\.0, 1\.0, .*\.\.\.\)",
        ),
        ("predict", {"scales": [float("nan")]}, r"each value of predict\.scales must be"),
        ("predict", {"scales": [float("inf")]}, r"each value of predict\.scales must be"),
        ("predict", {"precision": "fp8"}, r"predict\.precision must be 'auto', 'bf16' or 'fp32'"),
        ("predict.crf", {"steps": 10**9}, r"predict\.crf\.steps must be less than or equal to 1000"),
        ("", {"classes": "background"}, "classes must be a valid array"),
        ("", {"classes": ["background"]}, "classes must have at least 2 items"),
        ("", {"classes": ["background", *MANY_CLASSES]}, "classes must have at most 255 items"),
        ("", {"classes": ["background", 1, 2]}, "each value of classes must be a valid string"),
        ("", {"classes": ["background", "a", "a"]}, "must start with 'background' and have distinct names"),
        ("", {"network": [1, 2]}, "network must be a section of settings"),
        ("network", {"output_stride": 7}, r"network\.output_stride must be 8, 16 or 32"),
        ("network", {"decoder_channels": 10**9}, r"network\.decoder_channels must be less than or equal to 4096"),
        ("network", {"scales": [10.0] * 3, "name": "fpn"}, "do not fit the network"),
        ("predict", {"scales": [0.5], "size_px": 9000}, r"must be at most 4096 \(found 4500\)"),
    ],
)
def test_segmenter__load_names_what_is_wrong_in_the_description(model, section, changes, message):
    settings = tomllib.loads((model / "model.toml").read_text())
    part = settings
    for name in filter(None, section.split(".")):
        part = part[name]
    part.update(changes)
    for name in [name for name, value in changes.items() if value is None]:
        del part[name]
    (model / "model.toml").write_text(tomli_w.dumps(settings))
    with pytest.raises(DataError, match=message) as caught:
        TorchSegmenter.load(model)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ("convnext_xxlarge", r"more than \d+ million parameters, but .* holds only 0\.\d million"),
        ("resnet1801", r"model\.toml describes cannot be built: .* has an encoder 'resnet1801'"),
        ("resnet18", "do not fit the network"),
    ],
)
def test_segmenter__load_refuses_an_encoder_that_does_not_belong_to_the_weights(model, encoder, message):
    text = (model / "model.toml").read_text()
    (model / "model.toml").write_text(text.replace("test_efficientnet", encoder))
    before = peak_memory_mb()
    with pytest.raises(DataError, match=message):
        TorchSegmenter.load(model)
    assert peak_memory_mb() - before < 1500


def peak_memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.parametrize("name", ["model.toml", "weights.safetensors"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "long", "noise", "nested"])
def test_segmenter__load_refuses_what_is_no_file_of_ours(model, name, kind):
    path = model / name
    path.unlink()
    make = {
        "pipe": lambda: os.mkfifo(path),
        "device": lambda: path.symlink_to("/dev/zero"),
        "folder": path.mkdir,
        "long": lambda: path.write_bytes(b"a" * 600_000),
        "noise": lambda: path.write_bytes(bytes(range(256))),
        "nested": lambda: path.write_text("a = " + "[" * 50_000),
    }
    make[kind]()
    with pytest.raises(DataError, match=re.escape(str(path))):
        TorchSegmenter.load(model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensor: tensor.fill_(float("nan")), "must be finite numbers"),
        (lambda tensor: tensor.index_fill_(0, torch.tensor([1]), float("inf")), "must be finite numbers"),
        (lambda tensor: tensor[:1], r"'classify\.weight' must be of shape \(3, .*found of shape \(1, "),
        (lambda tensor: tensor.to(torch.complex64), "must be finite numbers"),
    ],
)
def test_segmenter__load_refuses_weights_that_cannot_be_right(model, change, message):
    tensors = load_file(model / "weights.safetensors")
    tensors["classify.weight"] = change(tensors["classify.weight"]).contiguous()
    save_file(tensors, model / "weights.safetensors")
    with pytest.raises(DataError, match=message):
        TorchSegmenter.load(model)


def test_predict__probabilities_that_are_not_finite_are_an_error(segmenter):
    made = segmenter()
    made = replace(made, folded=nn.Sequential(made.network, Overflow()))
    with pytest.raises(DataError, match="probabilities that are not finite"):
        made.predict(two_halves())


class Overflow(nn.Module):
    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        return logits.index_fill(1, torch.tensor([1]), float("nan"))


def test_segmenter__load_without_a_finished_network(tmp_path):
    with pytest.raises(DataError, match=r"contains no finished network .*let fit finish first"):
        TorchSegmenter.load(tmp_path)


def test_segmenter__with_other_settings(segmenter):
    other = segmenter().with_settings(PredictConfig(size_px=128, flip=False, scales=(2.0,)))
    assert (other.size_px, other.flip, other.scales) == (128, False, (2.0,))
    assert segmenter().with_settings(PredictConfig()).size_px == 64


def test_load_weights__refuses_another_network_and_damage(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(build_network(CONFIG, 3), path)
    with pytest.raises(DataError, match="do not fit the network"):
        load_weights(build_network(CONFIG, 4), path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="cannot be read"):
        load_weights(build_network(CONFIG, 3), path)
    with pytest.raises(DataError, match="cannot be read"):
        load_weights(build_network(CONFIG, 3), tmp_path / "gone")
