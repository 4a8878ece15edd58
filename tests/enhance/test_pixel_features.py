import numpy as np
import pytest
import torch
from torch import nn

from coarse2fine.enhance.pixel_features import extract_features
from coarse2fine.networks.backbone import IMAGENET_MEAN, IMAGENET_STD, build_encoder


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_extract_features__one_vector_per_cell_of_16_px(output_stride):
    torch.manual_seed(0)
    encoder = build_encoder("resnet18", output_stride, "none").eval()
    photo = np.random.default_rng(0).integers(0, 255, (200, 320, 3), np.uint8)
    features = extract_features(encoder, photo, (IMAGENET_MEAN, IMAGENET_STD))
    assert features.shape == (12, 20, 128 + 256 + 512)  # 192 x 320 px
    np.testing.assert_allclose((features[..., :128] ** 2).sum(axis=-1), 1, rtol=1e-4)


def test_extract_features__photos_of_any_size_get_a_longer_side_of_320_px():
    class Shades(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Parameter(torch.zeros(1))

        def forward(self, images):
            return [images, images, images, nn.functional.avg_pool2d(images, 8), nn.functional.avg_pool2d(images, 16)]

    for size, grid in (((300, 640), (10, 20)), ((20, 20), (20, 20)), ((900, 9), (20, 2))):
        photo = np.full((*size, 3), 200, np.uint8)
        assert extract_features(Shades(), photo, ((0, 0, 0), (1, 1, 1))).shape == (*grid, 6)
