import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from scipy.linalg import eigh

from coarse2fine.coarse import binarize, coarse_from, features
from coarse2fine.coarse.features import (
    SIMILAR,
    WEAK_EDGE,
    cut_photo,
    find_cut,
    fit_to_patches,
    join_similar,
    keep_seed_component,
    soften,
)
from coarse2fine.config import CoarseConfig, CoarseFeaturesConfig, FitConfig, dump_config, parse_config
from coarse2fine.errors import ConfigError
from coarse2fine.networks import vit
from coarse2fine.store.fingerprints import coarse_settings

TINY = "vit_tiny_patch16_224"


def with_features(method: str = "features", **changes: object) -> CoarseConfig:
    return CoarseConfig(method=method, features=CoarseFeaturesConfig(**changes))


def changed(config: CoarseConfig, **changes: object) -> CoarseConfig:
    return config.model_copy(update={"features": config.features.model_copy(update=changes)})


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Random weights of a tiny ViT."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(timm.create_model(TINY, pretrained=False).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def config(weights):
    return with_features(model=TINY, weights=str(weights))


@pytest.fixture(scope="module", autouse=True)
def small_photos():
    """Resize photos to 160 px instead of 480, which takes a tenth of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "SIDE_PX", 160)
        yield


@pytest.fixture(scope="module")
def method(config, small_photos):
    return coarse_from(config)


def draw_disc(height=120, width=160, seed=0):
    """Draw a red disc on noisy grass; returns photo and true mask."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((height, width))
    mask = (rows - height * 0.5) ** 2 + (columns - width * 0.6) ** 2 < (0.3 * height) ** 2
    photo = np.where(mask[..., None], (220, 40, 30), (60, 140, 60))
    return (photo + rng.integers(-10, 11, photo.shape)).astype(np.uint8), mask


def mean_colors(photo, patch_px=8):
    """Keys that are each patch's mean color about mid-gray."""
    height, width = photo.shape[:2]
    patches = photo.reshape(height // patch_px, patch_px, width // patch_px, patch_px, 3)
    return patches.mean(axis=(1, 3)).astype(np.float32) - 127


def iou(mask, truth):
    return (mask.astype(bool) & truth).sum() / (mask.astype(bool) | truth).sum()


def test_join_similar__edges_by_hand():
    keys = np.array([[2, 0], [3, 0], [0, 5], [-1, 0], [0, 0]], np.float32)
    weak = WEAK_EDGE
    expected = [
        [1, 1, weak, weak, weak],
        [1, 1, weak, weak, weak],
        [weak, weak, 1, weak, weak],
        [weak, weak, weak, 1, weak],
        [weak, weak, weak, weak, weak],
    ]
    np.testing.assert_array_equal(join_similar(keys), expected)


@pytest.mark.parametrize(("cosine", "joined"), [(SIMILAR - 0.01, False), (SIMILAR + 0.01, True)])
def test_join_similar__threshold_is_that_of_the_paper(cosine, joined):
    weights = join_similar(np.array([[1, 0], [cosine, np.sqrt(1 - cosine**2)]]))
    assert weights[0, 1] == weights[1, 0] == (1 if joined else WEAK_EDGE)
    assert SIMILAR == 0.2


def test_find_cut__two_clusters_are_split_exactly():
    keys = np.array([[1, 0]] * 5 + [[0, 1]] * 2)
    eigenvector = find_cut(join_similar(keys))
    small, large = eigenvector[5:], eigenvector[:5]
    np.testing.assert_allclose(small, small[0])
    np.testing.assert_allclose(large, large[0])
    degrees = np.array([5 + 2e-5] * 5 + [2 + 5e-5] * 2)
    assert (eigenvector @ degrees) == pytest.approx(0, abs=1e-9)
    assert small[0] / large[0] == pytest.approx(-degrees[:5].sum() / degrees[5:].sum(), rel=1e-6)


def test_find_cut__solves_the_generalized_problem():
    keys = np.random.default_rng(0).normal(size=(40, 6))
    weights = join_similar(keys)
    degrees = np.diag(weights.sum(axis=1))
    values, vectors = eigh(degrees - weights, degrees)
    eigenvector = find_cut(weights)
    assert values[1] < values[2] - 1e-3
    cosine = eigenvector @ vectors[:, 1] / np.linalg.norm(eigenvector) / np.linalg.norm(vectors[:, 1])
    assert abs(cosine) == pytest.approx(1)


@pytest.mark.parametrize(
    "keys", [np.ones((6, 2)), np.eye(6), np.zeros((6, 2)), np.ones((1, 3))], ids=["alike", "unlike", "zero", "single"]
)
def test_find_cut__no_cut_where_all_edges_are_alike(keys):
    assert not find_cut(join_similar(keys)).any()
    assert not soften(find_cut(join_similar(keys))).any()


def test_soften__by_hand_in_either_sign():
    eigenvector = np.array([-1.0, -1.0, -0.5, 0.5, 4.5])  # mean 0.5
    expected = [0, 0, 0.5 - 0.5 * np.sqrt(2 / 3), 0.5, 1]
    np.testing.assert_allclose(soften(eigenvector), expected, atol=1e-7)
    np.testing.assert_allclose(soften(-eigenvector), expected, atol=1e-7)
    assert soften(eigenvector).dtype == np.float32


def test_soften__foreground_is_the_side_of_the_largest_value():
    soft = soften(find_cut(join_similar(np.array([[1, 0]] * 5 + [[0, 1]] * 2))))
    np.testing.assert_allclose(soft, [0, 0, 0, 0, 0, 1, 1], atol=1e-6)


def test_soften__half_is_the_mean_and_order_stays():
    eigenvector = np.random.default_rng(0).gamma(1, size=50)
    soft = soften(eigenvector)
    np.testing.assert_array_equal(soft > 0.5, eigenvector > eigenvector.mean())
    np.testing.assert_array_equal(np.argsort(soft), np.argsort(eigenvector))
    assert (soft.min(), soft.max()) == (0, 1)


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_soften__alike_values_are_empty(value):
    assert not soften(np.full(4, value)).any()


def test_keep_seed_component__corners_do_not_connect_and_background_beside_it_stays():
    soft = np.array([[0.4, 0.9, 0.2, 0.1], [0.6, 0.3, 0.8, 0.4], [1.0, 0.5, 0.7, 0.3]], np.float32)
    expected = np.array([[0.4, 0, 0, 0], [0.6, 0.3, 0, 0], [1.0, 0.5, 0, 0]], np.float32)
    np.testing.assert_array_equal(keep_seed_component(soft), expected)
    assert not keep_seed_component(np.zeros((2, 3), np.float32)).any()


@pytest.mark.parametrize(
    ("size", "fitted"),
    [((375, 500), (352, 480)), ((100, 100), (480, 480)), ((1, 300), (16, 480)), ((7, 5), (480, 336))],
)
def test_fit_to_patches__whole_patches_at_the_longer_side(size, fitted):
    photo = np.full((*size, 3), 90, np.uint8)
    result = fit_to_patches(photo, 480, 16)
    assert result.shape == (*fitted, 3)
    assert (result == 90).all()


@pytest.mark.parametrize("threshold", [0.5, "otsu"])
def test_cut_photo__finds_the_disc_by_its_keys(threshold):
    photo, truth = draw_disc()
    soft = cut_photo(photo, mean_colors, patch_px=8, side_px=320)
    assert (soft.shape, soft.dtype) == (truth.shape, np.float32)
    assert iou(binarize(soft, threshold), truth) > 0.85 > iou(np.ones_like(truth), truth)


def test_cut_photo__keeps_one_of_two_objects():
    photo, _ = draw_disc()
    photo[:24, :24] = (220, 40, 30)
    foreground = cut_photo(photo, mean_colors, patch_px=8, side_px=160) > 0.5
    assert foreground[4, 4] != foreground[60, 96]


@pytest.mark.parametrize("level", [0, 127, 255])
def test_cut_photo__flat_photo_is_empty_whatever_its_keys(level):
    photo = np.full((60, 80, 3), level, np.uint8)
    photo[30:40, 30:40] ^= 1

    def place(fitted):
        return np.indices((fitted.shape[0] // 8, fitted.shape[1] // 8)).transpose(1, 2, 0).astype(np.float32) - 3

    assert not cut_photo(photo, place, patch_px=8, side_px=80).any()
    photo[:30] ^= 64
    assert cut_photo(photo, place, patch_px=8, side_px=80).any()


@pytest.mark.parametrize("seed", range(3))
def test_features__even_random_weights_find_a_disc_of_strong_color(method, seed):
    photo, truth = draw_disc(240, 320, seed)
    soft = method(photo)
    assert iou(binarize(soft, 0.5), truth) > 0.7 > iou(np.ones_like(truth), truth)
    assert iou(binarize(soft, "otsu"), truth) > 0.7


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (1, 300), (300, 1), (37, 41), (200, 90)])
def test_features__any_shape_gives_finite_values(method, shape):
    photo = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    soft = method(photo)
    assert (soft.shape, soft.dtype) == (shape, np.float32)
    assert np.isfinite(soft).all()
    assert 0 <= soft.min() <= soft.max() <= 1


def test_features__same_in_every_thread_and_one_at_a_time(config, monkeypatch):
    at_once, most = 0, 0
    ask = vit.extract_keys

    def watch(network, photo):
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        time.sleep(0.01)
        keys = ask(network, photo)
        at_once -= 1
        return keys

    monkeypatch.setattr(vit, "extract_keys", watch)
    method = coarse_from(config)
    photos = [draw_disc(seed=seed)[0] for seed in range(6)]
    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(method, photos))
    again = coarse_from(config)
    for photo, soft in zip(photos, threaded, strict=True):
        np.testing.assert_array_equal(soft, again(photo))
    assert most == 1


def test_features__network_is_loaded_once_for_all_photos(config, monkeypatch):
    loads = []
    build = vit.build_key_network
    monkeypatch.setattr(vit, "build_key_network", lambda *given: loads.append(given) or build(*given))
    method = coarse_from(config)
    for seed in range(3):
        method(draw_disc(seed=seed)[0])
    assert loads == [(TINY, config.features.weights)]


@pytest.mark.parametrize(
    ("model", "weights"),
    [
        ("vit_small_patch14_dinov2.lvd142m", "pretrained"),
        ("vit_small_patch14_dinov2", "own.safetensors"),
        ("vit_small_patch16_dinov3.lvd1689m", "pretrained"),
        ("vit_base_patch16_clip_224.openai", "pretrained"),
        ("vit_base_patch16_siglip_224", "own.safetensors"),
        ("vit_small_patch16_224.augreg_in1k", "own.safetensors"),
        ("vit_small_patch16_224", "pretrained"),
        ("vit_base_patch16_224.mae", "pretrained"),
    ],
)
def test_config__networks_not_trained_by_dino_are_refused(model, weights):
    with pytest.raises(ConfigError, match=rf"trained by DINO.*found '{model}'.*Choose vit_small_patch16_224\.dino"):
        with_features(model=model, weights=weights)
    assert with_features("box", model=model, weights=weights).features.model == model


@pytest.mark.parametrize("size", ["small", "base"])
@pytest.mark.parametrize("patch_px", [8, 16])
def test_config__all_of_dinos_transformers_are_accepted(size, patch_px):
    name = f"vit_{size}_patch{patch_px}_224.dino"
    assert with_features(model=name).features.weights == "pretrained"
    assert timm.models.get_pretrained_cfg(name).hf_hub_id == f"timm/{name}"


def test_config__comes_back_from_its_own_toml(config):
    whole = FitConfig(coarse=config)
    assert parse_config(dump_config(whole), "test") == whole


def test_coarse_settings__weights_count_by_content(config, tmp_path):
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes(Path(config.features.weights).read_bytes())
    settings = coarse_settings(config)
    assert coarse_settings(changed(config, weights=str(moved))) == settings
    moved.write_bytes(b"others")
    assert coarse_settings(changed(config, weights=str(moved))) != settings
    assert coarse_settings(changed(config, model="x")) != settings
    assert coarse_settings(config.model_copy(update={"threshold": 0.5})) != settings
    assert not any("features" in name for name in coarse_settings(CoarseConfig()))
