import numpy as np
import pytest
import torch
from torch import nn

from coarse2fine.coarse.judge import correlate, extract_features, fit_ridge, score_masks
from coarse2fine.networks.backbone import IMAGENET_MEAN, IMAGENET_STD, build_encoder


def draw(photos: int, masks_of) -> tuple[list, list]:
    """Features of two channels, object and background, at random cells, and the masks that ``masks_of`` makes."""
    rng = np.random.default_rng(0)
    objects = [(rng.random((6, 8)) > 0.5).astype(np.uint8) for _ in range(photos)]
    features = [np.stack([one, 1 - one], axis=-1).astype(np.float32) for one in objects]
    return features, [masks_of(one, rng) for one in objects]


def test_score_masks__those_of_the_objects_are_predicted_and_random_ones_are_not():
    features, masks = draw(10, lambda one, rng: [one, (rng.random(one.shape) > 0.5).astype(np.uint8)])
    objects, noise = score_masks(features, masks)
    assert objects == pytest.approx(1, abs=1e-3) and abs(noise) < 0.2


def test_score_masks__a_mask_that_is_the_reverse_counts_as_much_and_an_empty_one_counts_0():
    features, masks = draw(4, lambda one, _: [1 - one, np.zeros_like(one), np.ones_like(one)])
    assert score_masks(features, masks) == pytest.approx([1, 0, 0], abs=1e-3)


def test_score_masks__masks_of_any_size():
    features, masks = draw(4, lambda one, _: [np.kron(one, np.ones((5, 5), np.uint8))])
    assert score_masks(features, masks) == pytest.approx([1], abs=1e-3)


def test_fit_ridge__a_line_through_centered_points():
    coefficients = fit_ridge(np.array([[1.0], [2.0], [3.0]], np.float32), np.array([[5.0], [7.0], [9.0]], np.float32))
    np.testing.assert_allclose(coefficients, [[4 / (2 + 3 * 0.003)]], rtol=1e-5)


def test_correlate__each_column():
    first = np.array([[1, 1, 5], [2, 2, 5], [3, 3, 5]], np.float32)
    second = np.array([[2, 9, 1], [4, 5, 2], [6, 1, 3]], np.float32)
    np.testing.assert_allclose(correlate(first, second), [1, -1, 0], atol=1e-6)


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_extract_features__one_vector_per_cell_of_16_px(output_stride):
    torch.manual_seed(0)
    encoder = build_encoder("resnet18", output_stride, "none").eval()
    photo = np.random.default_rng(0).integers(0, 255, (64, 100, 3), np.uint8)
    features = extract_features(encoder, photo, (IMAGENET_MEAN, IMAGENET_STD))
    assert features.shape == (4, 6, 128 + 256 + 512)  # 64 x 96 px
    np.testing.assert_allclose((features[..., :128] ** 2).sum(axis=-1), 1, rtol=1e-4)


def test_extract_features__large_photos_are_reduced_and_small_ones_fill_a_multiple_of_32():
    class Shades(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Parameter(torch.zeros(1))

        def forward(self, images):
            return [images, images, images, nn.functional.avg_pool2d(images, 8), nn.functional.avg_pool2d(images, 16)]

    for size, grid in (((300, 640), (10, 20)), ((20, 20), (2, 2))):
        photo = np.full((*size, 3), 200, np.uint8)
        assert extract_features(Shades(), photo, ((0, 0, 0), (1, 1, 1))).shape == (*grid, 6)
