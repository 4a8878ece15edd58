from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from coarse2fine.config import NetworkConfig, TrainConfig
from coarse2fine.data import read_image
from coarse2fine.masks.png import mask_path, read_mask, write_mask
from coarse2fine.networks.build import build_network
from coarse2fine.networks.normalization import normalize
from coarse2fine.networks.segmentation import SegmentationNetwork
from coarse2fine.runtime.context import Context
from coarse2fine.training.loop import train
from coarse2fine.training.segmentation import SegmentationJob, pixel_cross_entropy
from coarse2fine.types import IGNORE, Photo

NETWORK = NetworkConfig(
    encoder="mobilenetv2_050", encoder_weights="none", decoder_channels=16, freeze_batch_norm=False, frozen_stages=0
)
TRAIN = TrainConfig(
    batch=4,
    resize_px=32,
    keep_aspect=False,
    crop_px=32,
    scale_jitter=(1.0, 1.0),
    color_jitter=0.0,
    optimizer="adamw",
    learning_rate=0.003,
    head_learning_rate_factor=1.0,
    weight_decay=0.0005,
    warmup_share=0.0,
    average_decay=0.0,
    loader_workers=0,
    precision="fp32",
    checkpoint_photos=2000,
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> list[Photo]:
    """Red squares of class 1 and blue squares of class 2 on gray; masks lie below ``masks``."""
    folder, rng, drawn = tmp_path_factory.mktemp("photos"), np.random.default_rng(0), []
    for index in range(8):
        label = 1 + index % 2
        image = np.full((32, 32, 3), 120, np.uint8) + rng.integers(0, 20, (32, 32, 3), np.uint8)
        mask = np.zeros((32, 32), np.uint8)
        top, left = rng.integers(2, 14, 2)
        mask[top : top + 16, left : left + 16] = label
        image[mask > 0] = (220, 30, 30) if label == 1 else (30, 30, 220)
        photo = Photo(folder / f"{index}.png", f"{label}/{index}", (label,))
        Image.fromarray(image).save(photo.path)
        write_mask(mask_path(folder / "masks", photo.name), mask)
        drawn.append(photo)
    return drawn


def make_job(folder: Path, photos: list[Photo], epochs: int, **changes: object) -> SegmentationJob:
    config = TRAIN.model_copy(update=changes)
    steps = config.count_steps(len(photos), epochs)
    return SegmentationJob(NETWORK.encoder, photos, photos[0].path.parent / "masks", config, steps, 5, folder)


def make_network() -> nn.Module:
    torch.manual_seed(1)
    return build_network(NETWORK, 3)


@pytest.mark.slow
def test_segmentation_job__lowers_the_loss(tmp_path, photos):
    first = train(make_network(), make_job(tmp_path / "first", photos, 1), Context())
    later = train(make_network(), make_job(tmp_path / "later", photos, 18), Context())
    assert later < 0.6 * first


@pytest.mark.slow
def test_segmentation_job__killed_and_resumed_gives_the_same_weights(tmp_path, photos, monkeypatch):
    settings = {"checkpoint_photos": 8, "average_decay": 0.9}
    whole, resumed = make_network(), make_network()
    loss = train(whole, make_job(tmp_path / "whole", photos, 2, **settings), Context())
    job = make_job(tmp_path / "parts", photos, 2, **settings)
    calls = []

    def stop_at_fourth(*arguments):
        calls.append(1)
        if len(calls) == 4:
            raise RuntimeError("killed")
        return pixel_cross_entropy(*arguments)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="killed"):
        patch.setattr("coarse2fine.training.segmentation.pixel_cross_entropy", stop_at_fourth)
        train(make_network(), job, Context())
    assert train(resumed, job, Context()) == pytest.approx(loss, abs=0)
    assert all(torch.equal(tensor, resumed.state_dict()[name]) for name, tensor in whole.state_dict().items())


def test_segmentation_job__one_photo_is_enough(tmp_path, photos):
    assert train(make_network(), make_job(tmp_path, photos[:1], 8), Context()) > 0


@pytest.mark.parametrize("optimizer, kind", [("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)])
def test_make_optimizer__as_configured(tmp_path, photos, optimizer, kind):
    made = make_job(tmp_path, photos, 1, optimizer=optimizer).make_optimizer(make_network())
    assert isinstance(made, kind) and made.param_groups[0]["lr"] == 0.003


class ImagesAsLogits(SegmentationNetwork):
    """A network that returns its input."""

    def __init__(self):
        encoder = nn.Identity()
        encoder.out_channels, encoder.output_stride = [2], 1
        super().__init__(encoder)

    def decode(self, features):
        return features


def test_pixel_cross_entropy__ignored_pixels_do_not_count():
    logits = torch.zeros(1, 2, 1, 2)
    logits[0, 1, 0, 0] = 100.0
    network = ImagesAsLogits()
    assert pixel_cross_entropy(network, logits, torch.tensor([[[1, IGNORE]]])) == 0
    assert pixel_cross_entropy(network, logits, torch.tensor([[[0, IGNORE]]])) == 100
    assert pixel_cross_entropy(network, logits, torch.full((1, 1, 2), IGNORE)) == 0
    assert pixel_cross_entropy(network, logits, torch.tensor([[[1, 1]]])) == pytest.approx(np.log(2) / 2)


def test_pixel_cross_entropy__is_the_mean_over_the_pixels_of_all_photos():
    torch.manual_seed(0)
    logits, masks = torch.randn(3, 4, 5, 6), torch.randint(0, 4, (3, 5, 6))
    masks[0, :4] = IGNORE
    expected = nn.functional.cross_entropy(logits, masks, ignore_index=IGNORE)
    assert pixel_cross_entropy(ImagesAsLogits(), logits, masks).item() == pytest.approx(expected.item())


def test_compute_loss__has_a_part_for_each_scale_and_one_for_their_maximum(tmp_path, photos):
    network = build_network(NETWORK.model_copy(update={"scales": (0.5, 1.0)}), 3).eval()
    job = make_job(tmp_path, photos, 1)
    images = torch.stack([torch.from_numpy(read_image(photo.path)).permute(2, 0, 1) for photo in photos[:2]])
    masks = torch.stack([torch.from_numpy(read_mask(mask_path(job.masks, photo.name))).long() for photo in photos[:2]])
    small, large = network.compute_scale_logits(normalize(images, NETWORK.encoder))
    all_logits = (small, large, torch.maximum(small, large))
    parts = [nn.functional.cross_entropy(logits, masks, ignore_index=IGNORE) for logits in all_logits]
    assert job.compute_loss(network, images, masks).item() == pytest.approx(sum(parts).item())
    network.scales = (1.0,)
    assert job.compute_loss(network, images, masks).item() == pytest.approx(parts[1].item())
