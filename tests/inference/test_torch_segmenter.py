from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
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
    made = TorchSegmenter(build_network(CONFIG, 3), CLASSES, CONFIG, 64, False, (0.5, 1.0), "fp32", crf).to()
    made.save(tmp_path / "run" / "model")
    for place in (tmp_path / "run", tmp_path / "run" / "model"):
        assert is_run(tmp_path / "run" / "model")
        loaded = TorchSegmenter.load(place)
        assert (loaded.classes, loaded.size_px, loaded.flip, loaded.scales) == (CLASSES, 64, False, (0.5, 1.0))
        assert loaded.crf == crf
        assert (loaded.predict_probabilities(two_halves()) == made.predict_probabilities(two_halves())).all()


@pytest.mark.parametrize(
    ("stored", "changed", "message"),
    [
        ("[network]\n", "[network]\nrates = [6, 12]\n", "there is no setting 'rates'"),
        ("[predict.crf]\n", "[predict.old]\n", "'crf' is missing"),
        ("flip = true\n", "", "'flip' is missing"),
    ],
)
def test_segmenter__load_refuses_a_model_of_another_version(tmp_path, stored, changed, message):
    TorchSegmenter(build_network(CONFIG, 3), CLASSES, CONFIG, 64).save(tmp_path)
    settings = (tmp_path / "model.toml").read_text()
    assert stored in settings
    (tmp_path / "model.toml").write_text(settings.replace(stored, changed))
    with pytest.raises(DataError, match=rf"model\.toml was written by another version of coarse2fine: {message}"):
        TorchSegmenter.load(tmp_path)


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
