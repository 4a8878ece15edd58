import numpy as np
import pytest
import torch
from PIL import Image

from coarse2fine.config import TrainConfig
from coarse2fine.masks.png import mask_path, write_mask
from coarse2fine.training.samples import GRAY, Draw, StreamSampler, TrainingSamples, count_steps
from coarse2fine.types import IGNORE, Photo


def draws(*arguments, **options) -> list[list[Draw]]:
    return list(StreamSampler(*arguments, **options))


def test_stream_sampler__every_photo_once_per_pass():
    batches = draws(5, 2, 0, 5, 3)
    seen = [draw for batch in batches for draw in batch]
    assert [draw.epoch for draw in seen] == [0] * 5 + [1] * 5
    for epoch in (0, 1):
        assert sorted(draw.photo for draw in seen if draw.epoch == epoch) == [0, 1, 2, 3, 4]


def test_stream_sampler__goes_on_at_any_step():
    assert draws(5, 2, 3, 7, 3) == draws(5, 2, 0, 7, 3)[3:]
    assert draws(5, 2, 0, 4, 3) != draws(5, 2, 0, 4, 4)


def test_stream_sampler__processes_share_each_batch():
    whole = draws(6, 4, 0, 3, 1)
    parts = [draws(6, 4, 0, 3, 1, rank, 2) for rank in (0, 1)]
    for batch, first, second in zip(whole, *parts, strict=True):
        assert sorted(batch) == sorted(first + second)
        assert len(first) == len(second) == 2


def test_stream_sampler__batches_are_full_even_with_one_photo():
    assert [len(batch) for batch in draws(1, 4, 0, 2, 0)] == [4, 4]


@pytest.mark.parametrize("photos, epochs, batch, steps", [(10, 3, 4, 8), (1, 1, 12, 1), (12, 2, 12, 2)])
def test_count_steps__covers_all(photos, epochs, batch, steps):
    assert count_steps(photos, epochs, batch) == steps


@pytest.fixture
def one_photo(tmp_path):
    image = np.zeros((20, 40, 3), np.uint8)
    image[:, 20:] = 255
    Image.fromarray(image).save(tmp_path / "a.png")
    mask = np.zeros((20, 40), np.uint8)
    mask[:, 20:] = 2
    write_mask(mask_path(tmp_path, "x/a"), mask)
    return [Photo(tmp_path / "a.png", "x/a", 2)], tmp_path


def test_training_samples__photo_and_mask_stay_together(one_photo):
    config = TrainConfig(resize_px=32, crop_px=16, scale_jitter=(0.5, 2.0), color_jitter=0.0)
    samples = TrainingSamples(*one_photo, config, seed=1)
    for epoch in range(20):
        image, mask, label = samples[Draw(epoch, 0)]
        assert image.shape == (3, 16, 16) and image.dtype == torch.uint8
        assert mask.shape == (16, 16) and mask.dtype == torch.int64 and label == 2
        inside = mask != IGNORE
        assert (image[0][(mask == 2) & inside] > 100).all()
        assert (image[0][(mask == 0) & inside] < 155).all()


def test_training_samples__the_same_draw_is_the_same_sample(one_photo):
    config = TrainConfig(resize_px=32, keep_aspect=False, crop_px=16, color_jitter=0.4, scale_jitter=(0.5, 2.0))
    samples = TrainingSamples(*one_photo, config, seed=1)
    state = torch.random.get_rng_state()
    first, again, other = samples[Draw(0, 0)], samples[Draw(0, 0)], samples[Draw(1, 0)]
    assert (first[0] == again[0]).all() and (first[1] == again[1]).all()
    assert not (first[0] == other[0]).all()
    assert (torch.random.get_rng_state() == state).all()


def test_training_samples__beyond_the_edge_is_gray_and_ignored(one_photo):
    config = TrainConfig(resize_px=16, crop_px=16, flip=False, scale_jitter=(1.0, 1.0), color_jitter=0.0)
    image, mask, _ = TrainingSamples(*one_photo, config, seed=0)[Draw(0, 0)]
    outside = mask == IGNORE
    assert int(outside.sum()) == 16 * 8
    assert (image[:, outside] == torch.tensor(GRAY)[:, None]).all()


def test_training_samples__masks_of_another_size_are_fitted(one_photo):
    photos, folder = one_photo
    write_mask(mask_path(folder, "x/a"), np.repeat(np.array([[0, 2]], np.uint8), 2, axis=0))
    config = TrainConfig(resize_px=16, crop_px=16, flip=False, scale_jitter=(1.0, 1.0), color_jitter=0.0)
    _, mask, _ = TrainingSamples(photos, folder, config, seed=0)[Draw(0, 0)]
    assert int((mask == 2).sum()) == int((mask == 0).sum()) == 64
