from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from coarse2fine.config import NetworkConfig, TrainConfig
from coarse2fine.data import read_image
from coarse2fine.errors import Coarse2FineError, ConfigError
from coarse2fine.masks.png import mask_path, read_mask, write_mask
from coarse2fine.networks.build import build_network
from coarse2fine.networks.normalization import normalize
from coarse2fine.networks.segmentation import SegmentationNetwork
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.processes import World
from coarse2fine.training.loop import Round, RoundModule, count_loader_workers, pixel_loss, rate_factor, train_round
from coarse2fine.types import IGNORE, Photo

NETWORK = NetworkConfig(
    encoder="mobilenetv2_050",
    encoder_weights="none",
    decoder_channels=16,
    freeze_batch_norm=False,
    frozen_stages=0,
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
    loader_workers=0,
    precision="fp32",
)
QUIET = Console(quiet=True)


def draw_photos(folder: Path, count: int) -> list[Photo]:
    """Red squares of class 1 and blue ones of class 2 on gray."""
    rng = np.random.default_rng(0)
    photos = []
    for index in range(count):
        label = 1 + index % 2
        image = np.full((32, 32, 3), 120, np.uint8) + rng.integers(0, 20, (32, 32, 3), np.uint8)
        mask = np.zeros((32, 32), np.uint8)
        top, left = rng.integers(2, 14, 2)
        mask[top : top + 16, left : left + 16] = label
        image[mask > 0] = (220, 30, 30) if label == 1 else (30, 30, 220)
        name = f"{label}/{index}"
        path = folder / f"{index}.png"
        Image.fromarray(image).save(path)
        write_mask(mask_path(folder / "masks", name), mask)
        photos.append(Photo(path, name, label))
    return photos


def make_round(tmp_path: Path, photos: list[Photo], name: str = "a", epochs: int = 2, **settings) -> Round:
    config = TRAIN.model_copy(update=settings)
    return Round(NETWORK.encoder, photos, tmp_path / "masks", config, epochs, 5, tmp_path / name)


def new_network() -> nn.Module:
    torch.manual_seed(1)
    return build_network(NETWORK, 3)


def weights_of(network: nn.Module) -> list[np.ndarray]:
    return [tensor.detach().numpy().copy() for tensor in network.state_dict().values()]


def test_train_round__lowers_the_loss(tmp_path):
    photos = draw_photos(tmp_path, 8)
    first = train_round(new_network(), make_round(tmp_path, photos, "first", 1), World(), QUIET)
    later = train_round(new_network(), make_round(tmp_path, photos, "later", 25), World(), QUIET)
    assert later < 0.5 * first
    assert (tmp_path / "later" / "csv").is_dir()


@pytest.mark.parametrize("average_decay", [0.0, 0.9])
def test_train_round__killed_and_resumed_gives_the_same_weights(tmp_path, monkeypatch, average_decay):
    photos = draw_photos(tmp_path, 8)
    settings = {"checkpoint_photos": 8, "average_decay": average_decay}
    whole = new_network()
    loss = train_round(whole, make_round(tmp_path, photos, "whole", 4, **settings), World(), QUIET)

    calls = []

    def die_at_the_sixth(*arguments):
        calls.append(1)
        if len(calls) == 6:
            raise RuntimeError("killed")
        return pixel_loss(*arguments)

    monkeypatch.setattr("coarse2fine.training.loop.pixel_loss", die_at_the_sixth)
    work = make_round(tmp_path, photos, "parts", 4, **settings)
    with pytest.raises(RuntimeError, match="killed"):
        train_round(new_network(), work, World(), QUIET)
    monkeypatch.setattr("coarse2fine.training.loop.pixel_loss", pixel_loss)
    torch.manual_seed(99)
    resumed = build_network(NETWORK, 3)
    assert train_round(resumed, work, World(), QUIET) == pytest.approx(loss, abs=0)
    assert len(calls) == 6
    assert all((a == b).all() for a, b in zip(weights_of(whole), weights_of(resumed), strict=True))


def test_train_round__says_when_the_loss_is_no_number(tmp_path):
    photos = draw_photos(tmp_path, 4)
    with pytest.raises(Coarse2FineError, match="no longer a number at step .* lower the learning rate"):
        train_round(new_network(), make_round(tmp_path, photos, epochs=20, learning_rate=1e12), World(), QUIET)


def test_train_round__one_photo_is_enough(tmp_path):
    photos = draw_photos(tmp_path, 1)
    assert train_round(new_network(), make_round(tmp_path, photos, epochs=8), World(), QUIET) > 0


@pytest.mark.parametrize("batch, size", [(1, 1), (3, 2), (2, 2)])
def test_train_round__refuses_batches_too_small_for_batch_norm(tmp_path, batch, size):
    work = make_round(tmp_path, [], batch=batch)
    with pytest.raises(ConfigError, match=f"multiple of the {size} processes .*but is {batch}"):
        train_round(nn.Identity(), work, World(0, size, size), QUIET)


class Scored(SegmentationNetwork):
    """A network whose scores are the images."""

    def __init__(self):
        encoder = nn.Identity()
        encoder.out_channels, encoder.output_stride = [2], 1
        super().__init__(encoder)

    def decode(self, features):
        return features


def test_pixel_loss__ignored_pixels_do_not_count():
    logits = torch.zeros(1, 2, 1, 2)
    logits[0, 1, 0, 0] = 100.0
    right = torch.tensor([[[1, IGNORE]]])
    assert pixel_loss(Scored(), logits, right) == 0
    assert pixel_loss(Scored(), logits, torch.tensor([[[0, IGNORE]]])) == 100
    assert pixel_loss(Scored(), logits, torch.full((1, 1, 2), IGNORE)) == 0
    assert pixel_loss(Scored(), logits, torch.tensor([[[1, 1]]])) == pytest.approx(np.log(2) / 2)


def test_pixel_loss__is_the_mean_over_the_pixels_of_all_photos():
    torch.manual_seed(0)
    logits, masks = torch.randn(3, 4, 5, 6), torch.randint(0, 4, (3, 5, 6))
    masks[0, :4] = IGNORE
    expected = nn.functional.cross_entropy(logits, masks, ignore_index=IGNORE)
    assert pixel_loss(Scored(), logits, masks).item() == pytest.approx(expected.item())


def test_rate_factor__rises_then_falls_to_nothing():
    config = TrainConfig(warmup_share=0.1, poly_power=1.0)
    factors = [rate_factor(step, 100, config) for step in range(101)]
    assert factors[0] < 0.1 and factors[100] == 0
    assert factors[50] == pytest.approx(0.5)
    assert max(factors) == pytest.approx(0.9, abs=0.02)


def test_count_loader_workers__as_set_or_by_cores(monkeypatch):
    monkeypatch.setattr("coarse2fine.training.loop.count_cores", lambda: 16)
    assert count_loader_workers(TrainConfig(loader_workers=3), World()) == 3
    assert count_loader_workers(TrainConfig(), World(0, 4, 4)) == 4
    assert count_loader_workers(TrainConfig(), World()) == 8


def test_train_round__averaged_weights_survive_a_kill_after_the_last_step(tmp_path):
    photos = draw_photos(tmp_path, 6)
    whole = make_round(tmp_path, photos, "a", average_decay=0.9, checkpoint_photos=4)
    first, second, third = new_network(), new_network(), new_network()
    train_round(first, whole, World(), QUIET)
    train_round(second, whole, World(), QUIET)  # as after a kill that left the last checkpoint alone
    train_round(third, make_round(tmp_path, photos, "b", checkpoint_photos=4), World(), QUIET)
    weights = [torch.cat([part.flatten() for part in network.parameters()]) for network in (first, second, third)]
    assert torch.equal(weights[0], weights[1]) and not torch.allclose(weights[0], weights[2])


def test_find_loss__has_a_part_for_each_scale_and_one_for_their_maximum(tmp_path):
    photos = draw_photos(tmp_path, 2)
    network = build_network(NETWORK.model_copy(update={"scales": (0.5, 1.0)}), 3).eval()
    module = RoundModule(network, make_round(tmp_path, photos), World())
    images = torch.stack([torch.from_numpy(read_image(photo.path)).permute(2, 0, 1) for photo in photos])
    masks = torch.stack([torch.from_numpy(read_mask(mask_path(tmp_path / "masks", p.name))).long() for p in photos])
    small, large = network.score_scales(normalize(images, NETWORK.encoder))
    all_scores = (small, large, torch.maximum(small, large))
    parts = [nn.functional.cross_entropy(logits, masks, ignore_index=IGNORE) for logits in all_scores]
    assert module.find_loss((images, masks, torch.zeros(2))).item() == pytest.approx(sum(parts).item())
    network.scales = (1.0,)
    assert module.find_loss((images, masks, torch.zeros(2))).item() == pytest.approx(parts[1].item())
