import numpy as np
import pytest
import torch
from PIL import Image

from coarse2fine.config import TrainConfig
from coarse2fine.masks.png import mask_path, write_mask
from coarse2fine.training.sampler import SampleIndex
from coarse2fine.training.segmentation_samples import FILL_RGB, SegmentationSamples
from coarse2fine.types import IGNORE, Photo

PLAIN = TrainConfig(resize_px=16, keep_aspect=True, crop_px=16, flip=False, scale_jitter=(1.0, 1.0), color_jitter=0.0)


@pytest.fixture
def one_photo(tmp_path):
    """A photo that is black on the left and white on the right; the right half is class 2."""
    image = np.zeros((20, 40, 3), np.uint8)
    image[:, 20:] = 255
    Image.fromarray(image).save(tmp_path / "a.png")
    mask = np.zeros((20, 40), np.uint8)
    mask[:, 20:] = 2
    write_mask(mask_path(tmp_path, "x/a"), mask)
    return [Photo(tmp_path / "a.png", "x/a", (2,))], tmp_path


def test_segmentation_samples__photo_and_mask_are_transformed_together(one_photo):
    config = PLAIN.model_copy(update={"resize_px": 32, "scale_jitter": (0.5, 2.0), "flip": True})
    samples = SegmentationSamples(*one_photo, config, seed=1)
    for epoch in range(20):
        image, mask = samples[SampleIndex(epoch, 0)]
        assert image.shape == (3, 16, 16) and image.dtype == torch.uint8
        assert mask.shape == (16, 16) and mask.dtype == torch.uint8
        inside = mask != IGNORE
        assert (image[0][(mask == 2) & inside] > 100).all()
        assert (image[0][(mask == 0) & inside] < 155).all()


def test_segmentation_samples__the_same_index_gives_the_same_sample(one_photo):
    changes = {"resize_px": 32, "keep_aspect": False, "color_jitter": 0.4, "scale_jitter": (0.5, 2.0), "flip": True}
    samples = SegmentationSamples(*one_photo, PLAIN.model_copy(update=changes), seed=1)
    state = torch.random.get_rng_state()
    first, again, other = samples[SampleIndex(0, 0)], samples[SampleIndex(0, 0)], samples[SampleIndex(1, 0)]
    assert (first[0] == again[0]).all() and (first[1] == again[1]).all()
    assert not (first[0] == other[0]).all()
    assert (torch.random.get_rng_state() == state).all()


def test_segmentation_samples__outside_the_photo_is_gray_and_ignored(one_photo):
    image, mask = SegmentationSamples(*one_photo, PLAIN, seed=0)[SampleIndex(0, 0)]
    outside = mask == IGNORE
    assert int(outside.sum()) == 16 * 8
    assert (image[:, outside] == torch.tensor(FILL_RGB)[:, None]).all()


def test_segmentation_samples__masks_of_another_size_are_resized(one_photo):
    photos, folder = one_photo
    write_mask(mask_path(folder, "x/a"), np.repeat(np.array([[0, 2]], np.uint8), 2, axis=0))
    _, mask = SegmentationSamples(photos, folder, PLAIN, seed=0)[SampleIndex(0, 0)]
    assert int((mask == 2).sum()) == int((mask == 0).sum()) == 64


def test_segmentation_samples__a_photo_of_40_to_1_keeps_a_pixel(tmp_path):
    Image.new("RGB", (320, 8), "white").save(tmp_path / "strip.png")
    write_mask(mask_path(tmp_path, "x/strip"), np.ones((8, 320), np.uint8))
    config = PLAIN.model_copy(update={"resize_px": 64, "crop_px": 64, "scale_jitter": (0.5, 0.5)})
    samples = SegmentationSamples([Photo(tmp_path / "strip.png", "x/strip", (1,))], tmp_path, config, seed=0)
    image, mask = samples[SampleIndex(0, 0)]
    assert int((mask == 1).sum()) == 32 and (image[:, mask == 1] == 255).all()
