"""The CRF against mean field with whole matrices, and on photos whose answer is plain."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from coarse2fine.config import CrfConfig, EnhanceConfig
from coarse2fine.enhance import crf, enhancer_from
from coarse2fine.enhance.crf import dense_crf, dense_crf_many, enhance_with_crf
from coarse2fine.enhance.dense_crf.mean_field import MIN_PROBABILITY, infer_marginals
from coarse2fine.errors import Coarse2FineError, DataError
from coarse2fine.types import Image, Probabilities

TRIAL = CrfConfig(steps=4, position_weight=0.75, bilateral_weight=1, bilateral_sigma_px=8, color_sigma=25)
"""Mild enough that marginals stay between 0 and 1, where a wrong kernel shows."""


def normalize(kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    scale = kernel.sum(1) ** -0.5
    return kernel * scale[:, None] * scale


def gaussian(features: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(-0.5 * ((features[:, None] - features) ** 2).sum(-1))


def exact_crf(scores: Probabilities, image: Image, config: CrfConfig, normalize=normalize) -> NDArray[np.float64]:
    """Mean field with the whole kernel matrices: every pair of pixels, no approximation but mean field itself."""
    height, width = image.shape[:2]
    place = np.stack(np.mgrid[:height, :width], -1).reshape(-1, 2).astype(float)
    near = gaussian(place / config.position_sigma_px)
    color = image.reshape(-1, 3) / config.color_sigma
    alike = gaussian(np.hstack([place / config.bilateral_sigma_px, color]))
    kernel = config.position_weight * normalize(near) + config.bilateral_weight * normalize(alike)
    unary = np.log(np.maximum(scores, MIN_PROBABILITY)).reshape(len(scores), -1).T
    marginals = softmax(unary)
    for _ in range(config.steps):
        marginals = softmax(unary + kernel @ marginals)
    return marginals.T.reshape(scores.shape)


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def draw(seed: int, height: int = 16, width: int = 20, classes: int = 4) -> tuple[Probabilities, Image]:
    """A grainy photo of slopes of color, and noisy scores of classes around a place each."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    image = np.stack([40 + 8 * x, 60 + 5 * y, 120 + 4 * (x - y)], -1) + rng.normal(0, 4, (height, width, 3))
    centers = rng.uniform([0, 0], [height, width], (classes, 2))[..., None, None]
    logits = -((y - centers[:, 0]) ** 2 + (x - centers[:, 1]) ** 2) / 60 + rng.normal(0, 1, (classes, height, width))
    odds = np.exp(logits - logits.max(axis=0))
    return (odds / odds.sum(axis=0)).astype(np.float32), image.clip(0, 255).astype(np.uint8)


def two_colors(height: int = 30, width: int = 40) -> Image:
    image = np.full((height, width, 3), (60, 90, 130), np.uint8)
    image[:, width // 2 :] = (150, 110, 60)
    return image


def noisy_halves(height: int = 30, width: int = 40, wrong: float = 0.25) -> Probabilities:
    """Two classes, left and right, of which a quarter of the pixels says the opposite."""
    right = np.zeros((height, width), bool)
    right[:, width // 2 :] = True
    right ^= np.random.default_rng(0).random((height, width)) < wrong
    likely = np.where(right, 0.7, 0.3).astype(np.float32)
    return np.stack([1 - likely, likely])


def gap(found, wanted) -> float:
    return float(np.abs(found - wanted).mean())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_dense_crf__is_mean_field_with_the_whole_kernels(seed):
    """Measured: mean difference 0.0014, at most 0.016, other labels on 0.6 % of the pixels at most."""
    scores, image = draw(seed)
    found, exact = dense_crf(scores, image, TRIAL), exact_crf(scores, image, TRIAL)
    assert gap(found, exact) < 0.002 < 0.03 < gap(scores, exact)
    assert np.abs(found - exact).max() < 0.03
    assert np.mean(found.argmax(axis=0) != exact.argmax(axis=0)) < 0.01
    for change in (
        {"position_weight": 0.6},
        {"bilateral_weight": 0.8},
        {"position_weight": 1, "bilateral_weight": 0.75},
        {"position_sigma_px": 0.7},
        {"bilateral_sigma_px": 3.0},
        {"color_sigma": 17.0},
        {"color_sigma": 37.0},
        {"steps": 1},
    ):
        assert gap(found, exact_crf(scores, image, TRIAL.model_copy(update=change))) > 0.002, change
    by_rows = exact_crf(scores, image, TRIAL, lambda kernel: kernel / kernel.sum(1, keepdims=True))
    without_own = exact_crf(scores, image, TRIAL, lambda kernel: normalize(kernel - np.eye(len(kernel)) + 1e-9))
    assert min(gap(found, by_rows), gap(found, without_own)) > 0.002


@pytest.mark.parametrize("grain", [0, 2])
def test_dense_crf__with_published_settings_finds_the_exact_labels(grain):
    image = two_colors(16, 20).astype(float) + np.random.default_rng(0).normal(0, grain, (16, 20, 3))
    image, scores = image.clip(0, 255).astype(np.uint8), noisy_halves(16, 20)
    found, exact = dense_crf(scores, image, CrfConfig()), exact_crf(scores, image, CrfConfig())
    assert np.abs(found - exact).max() < 0.01 < 0.2 < gap(scores, exact)
    assert (found.argmax(axis=0) == exact.argmax(axis=0)).all()


def test_dense_crf__the_position_kernel_alone_is_exact():
    scores, image = draw(3)
    config = CrfConfig(bilateral_weight=0, position_sigma_px=1.7)
    assert np.abs(dense_crf(scores, image, config) - exact_crf(scores, image, config)).max() < 2e-3


def test_dense_crf__without_weights_gives_back_the_scores():
    scores, image = draw(0)
    found = dense_crf(scores, image, CrfConfig(position_weight=0, bilateral_weight=0))
    assert np.abs(found - scores).max() < 1e-4


def test_dense_crf__more_steps_converge():
    scores, image = draw(0)
    at = [dense_crf(scores, image, TRIAL.model_copy(update={"steps": steps})) for steps in (1, 2, 5, 20, 40)]
    moves = [gap(after, before) for before, after in pairwise(at)]
    assert moves[0] > 1e-3 > 1e-5 > moves[-1]


def test_dense_crf__noise_is_cleaned_up_to_the_color_edge():
    scores, image = noisy_halves(), two_colors()
    truth = np.arange(40) >= 20
    before, after = (scores.argmax(axis=0) == truth).mean(), dense_crf(scores, image, CrfConfig()).argmax(axis=0)
    assert before < 0.8
    assert (after == truth).all()


def test_dense_crf__a_shifted_edge_moves_to_the_photos():
    scores = np.full((2, 30, 40), 0.3, np.float32)
    scores[0, :, :24] = scores[1, :, 24:] = 0.7
    assert (dense_crf(scores, two_colors(), CrfConfig()).argmax(axis=0) == (np.arange(40) >= 20)).all()


def test_dense_crf__on_a_flat_photo_the_majority_wins():
    scores = noisy_halves(wrong=0.0)
    scores[:, :, 12:20] = scores[:, :, 20:28]
    found = dense_crf(scores, np.full((30, 40, 3), 128, np.uint8), CrfConfig())
    assert (found.argmax(axis=0) == 1).all()


@pytest.mark.parametrize("height, width", [(1, 40), (40, 1), (1, 1)])
def test_dense_crf__of_the_thinnest_photos(height, width):
    scores, image = draw(0, height, width, 3)
    found = dense_crf(scores, image, CrfConfig())
    assert found.shape == (3, height, width) and np.allclose(found.sum(axis=0), 1, atol=1e-5)
    assert gap(found, exact_crf(scores, image, CrfConfig())) < 0.02


def test_dense_crf__many_classes_of_which_few_have_a_chance():
    scores, image = draw(0, classes=3)
    many = np.full((60, 16, 20), 2e-4, np.float32)
    many[[7, 20, 50]] = scores * (1 - 57 * 2e-4)
    found = dense_crf(many, image, TRIAL)
    assert np.allclose(found.sum(axis=0), 1, atol=1e-5)
    assert (found[0] == many[0]).all()
    assert gap(found, exact_crf(many, image, TRIAL)) < 2e-3
    equal = np.full((60, 16, 20), 1 / 60, np.float32)
    assert np.allclose(dense_crf(equal, image, TRIAL), equal, atol=1e-5)


def test_dense_crf__the_same_again_and_sums_to_one():
    scores, image = draw(1, 30, 41, 5)
    kept = scores.copy()
    first, second = (dense_crf(scores, image) for _ in range(2))
    mirrored = dense_crf(scores[..., ::-1], image[:, ::-1]).argmax(axis=0)[:, ::-1]
    assert np.mean(mirrored == first.argmax(axis=0)) > 0.95
    assert (first == second).all() and (scores == kept).all()
    assert np.allclose(first.sum(axis=0), 1, atol=1e-5) and first.min() >= 0
    assert first.dtype == np.float32


def test_dense_crf__impossible_classes_and_one_class_are_no_trouble():
    scores, image = np.zeros((2, 30, 40), np.float32), two_colors()
    scores[0] = 1
    assert (dense_crf(scores, image, CrfConfig()) == scores).all()
    scores[:, 3, 3] = 0, 1
    found = dense_crf(scores, image, CrfConfig())
    assert np.isfinite(found).all() and found[0, 20, 20] > 0.99


def test_dense_crf__small_scores_grow_and_large_photos_shrink():
    image = two_colors(60, 80)
    scores = np.full((2, 6, 8), 0.2, np.float32)
    scores[0, :, :4] = scores[1, :, 4:] = 0.8
    found = dense_crf(scores, image, CrfConfig(max_side_px=40))
    assert found.shape == (2, 30, 40) and (found.argmax(axis=0) == (np.arange(40) >= 20)).all()
    assert dense_crf(scores, image, CrfConfig()).shape == (2, 60, 80)


def test_dense_crf__refuses_what_is_no_photo_or_no_scores():
    scores, image = draw(0)
    with pytest.raises(DataError, match="8-bit RGB image"):
        dense_crf(scores, image[..., :1], CrfConfig())
    with pytest.raises(DataError, match="class probabilities"):
        dense_crf(scores[0], image, CrfConfig())


def test_dense_crf__a_gpu_that_is_too_small_is_one_sentence(monkeypatch):
    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    monkeypatch.setattr("coarse2fine.enhance.dense_crf.mean_field.build_lattice", fail)
    with pytest.raises(
        Coarse2FineError, match=r"for a CRF with 4 classes on a photo of 20 x 16 px; compute on the CPU .*, and"
    ):
        dense_crf(*draw(0), TRIAL)
    photos = [draw(0), draw(1, 9, 30, 5)]
    with pytest.raises(
        Coarse2FineError, match=r"with 5 classes on a batch of 2 photos of up to 30 x 16 px; use smaller batches"
    ):
        dense_crf_many(photos, TRIAL)


def several() -> list[tuple[Probabilities, Image]]:
    """Photos of all kinds: upright, lying, thin, a lone pixel, of many classes, of one that has no rival."""
    photos = [draw(seed, *shape) for seed, shape in enumerate([(16, 20), (20, 16), (1, 1), (1, 40), (40, 1), (33, 17)])]
    photos += [draw(7, 16, 20, 2), draw(8, 16, 20, 18)]
    sure = np.full((3, 8, 8), 1e-4, np.float32)
    sure[1] = 0.9998
    small_scores = draw(9, 5, 4, 3)[0]
    return [*photos, (sure, draw(9, 16, 20)[1]), (small_scores, two_colors(60, 80))]


@pytest.mark.parametrize("max_megapixels", [2.0, 0.001, 1e-9])
def test_dense_crf_many__each_photo_gets_what_it_gets_alone(max_megapixels, monkeypatch):
    sizes, photos = [], several()

    def watch(problems, *arguments):
        sizes.append(len(problems))
        return infer_marginals(problems, *arguments)

    monkeypatch.setattr("coarse2fine.enhance.crf.infer_marginals", watch)
    config = TRIAL.model_copy(update={"max_side_px": 40})
    together = dense_crf_many(photos, config, max_megapixels=max_megapixels)
    assert sum(sizes) == len(photos) - 1  # where one class alone has a chance there is nothing to infer
    assert max(sizes) == {2.0: 9, 0.001: 2, 1e-9: 1}[max_megapixels]
    for (scores, image), found in zip(photos, together, strict=True):
        alone = dense_crf(scores, image, config)
        assert found.shape == alone.shape and np.abs(found - alone).max() < 1e-5
        assert max_megapixels > 1e-9 or (found == alone).all()
    assert (together[-2] == 1e-4).any(axis=(1, 2)).tolist() == [True, False, True]
    assert dense_crf_many([], config) == []


def test_dense_crf_many__is_mean_field_with_the_whole_kernels():
    photos = [draw(seed, *shape) for seed, shape in enumerate([(16, 20), (20, 16), (13, 23), (16, 20)])]
    for (scores, image), found in zip(photos, dense_crf_many(photos, TRIAL), strict=True):
        exact = exact_crf(scores, image, TRIAL)
        assert gap(found, exact) < 0.002 < 0.03 < gap(scores, exact)
        assert np.abs(found - exact).max() < 0.03


def test_dense_crf_many__refuses_what_is_no_photo_among_others():
    with pytest.raises(DataError, match="8-bit RGB image"):
        dense_crf_many([draw(0), (draw(0)[0], np.zeros((16, 20), np.uint8)), draw(1)])


def block() -> tuple[Image, NDArray[np.uint8]]:
    image = np.full((40, 60, 3), 128, np.uint8)
    image[10:30, 15:45] = (230, 20, 20)
    truth = np.zeros((40, 60), np.uint8)
    truth[10:30, 15:45] = 1
    return image, truth


def test_enhance_with_crf__from_scores_of_another_size():
    image, truth = block()
    soft = np.full((20, 30), 0.2, np.float32)
    soft[4:16, 6:24] = 0.8
    rough = np.kron(soft > 0.5, np.ones((2, 2))).astype(np.uint8)
    made = enhance_with_crf(image, rough, "probabilities", soft)
    assert made.note is None and (made.mask == truth).all() and (rough != truth).any()


@pytest.mark.parametrize("start", ["mask", "box"])
def test_enhance_with_crf__from_a_mask_without_scores(start, monkeypatch):
    image, truth = block()
    rough = np.roll(truth, 4, axis=1)
    made = enhancer_from(EnhanceConfig(method="crf"), start, 0)(image, rough)
    assert made.note is None and (made.mask == truth).all()
    monkeypatch.setattr(crf, "MASK_PROBABILITY", 0.999)
    assert (enhancer_from(EnhanceConfig(method="crf"), start, 0)(image, rough).mask != truth).any()


def test_enhance_with_crf__keeps_what_is_empty_vanishes_or_explodes():
    image, truth = block()
    assert enhance_with_crf(image, 0 * truth).note == "empty"
    flat = np.full_like(image, 128)
    few, most = np.zeros_like(truth), np.ones_like(truth)
    few[18:22, 28:32], most[:, 25:] = 1, 0
    gone = enhance_with_crf(flat, few)
    assert gone.note == "unchanged: the CRF found no foreground" and (gone.mask == few).all()
    grown = enhance_with_crf(flat, most, "probabilities", np.where(most, 0.9, 0.45).astype(np.float32))
    assert "more than 2 times" in grown.note and (grown.mask == most).all()


def test_enhance_with_crf__needs_scores_where_it_starts_from_them():
    image, truth = block()
    with pytest.raises(DataError, match="The CRF with start = probabilities needs the soft mask"):
        enhance_with_crf(image, truth, "probabilities")


def test_enhance_with_crf__of_a_large_photo_is_seen_small():
    image, truth = (np.kron(array, np.ones((3, 3, 1)[: array.ndim], np.uint8)) for array in block())
    made = enhance_with_crf(image, np.roll(truth, 9, axis=1), config=CrfConfig(max_side_px=60))
    assert made.mask.shape == (120, 180) and np.mean(made.mask == truth) > 0.99


def test_enhance_with_crf__of_a_lone_pixel():
    image, truth = block()
    assert enhance_with_crf(image[10:11, 15:16], truth[10:11, 15:16]).mask == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_dense_crf__on_the_gpu_like_on_the_cpu():
    scores, image = draw(1, 60, 80, 5)
    first, second = (dense_crf(scores, image, TRIAL, torch.device("cuda")) for _ in range(2))
    assert (first == second).all()
    assert np.abs(first - dense_crf(scores, image, TRIAL)).max() < 1e-3
