from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from coarse2fine.config import StudentNetworkConfig, StudentTrainConfig
from coarse2fine.masks.png import mask_path
from coarse2fine.networks.student import EvalSegNet, build_student
from coarse2fine.runtime.context import Context
from coarse2fine.training.loop import train
from coarse2fine.training.sampler import SampleIndex
from coarse2fine.training.student import (
    EvalSegJob,
    StudentJob,
    evalseg_target,
    soft_mask_mse,
    train_evalseg,
)
from coarse2fine.training.student_samples import StudentSamples
from coarse2fine.types import Example, Photo

pytestmark = pytest.mark.slow

NETWORK = StudentNetworkConfig(width=0.25, input_px=32, view_px=32)
TRAIN = StudentTrainConfig(
    batch=8, resize_px=36, learning_rate=0.01, loader_workers=0, precision="fp32", checkpoint_photos=1000
)


def pair(photos: list[Photo], folder: Path) -> list[Example]:
    return [Example(photo.path, mask_path(folder / "masks", photo.name)) for photo in photos]


def make_job(folder: Path, photos: list[Photo], name: str, epochs: int, **changes: object) -> StudentJob:
    config = TRAIN.model_copy(update=changes)
    return StudentJob(pair(photos, folder), config, epochs, NETWORK.input_px, 5, folder / name, name)


def make_student() -> nn.Module:
    torch.manual_seed(1)
    return build_student(NETWORK)


def test_student_job__finds_the_squares(tmp_path, draw_squares):
    photos = draw_squares(tmp_path, 12)
    network = make_student()
    loss = train(network, make_job(tmp_path, photos, "a", 100), Context())
    samples = StudentSamples(pair(photos, tmp_path), TRAIN, 32, seed=99)
    images, wanted = (
        torch.stack(parts) for parts in zip(*(samples[SampleIndex(0, i)] for i in range(12)), strict=True)
    )
    with torch.inference_mode():
        found = network.eval()(images)
        at_first = make_student().eval()(images)
    assert evalseg_target(found, wanted).mean() > 0.6 > 0.5 > evalseg_target(at_first, wanted).mean()
    assert loss < 0.02 < soft_mask_mse(at_first, wanted)


def test_student_job__killed_and_resumed_gives_the_same_weights(tmp_path, monkeypatch, draw_squares):
    photos = draw_squares(tmp_path, 8)
    whole, halves = make_student(), make_student()
    loss = train(whole, make_job(tmp_path, photos, "whole", 4, checkpoint_photos=16), Context())
    calls = []

    def kill(found, wanted):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return soft_mask_mse(found, wanted)

    job = make_job(tmp_path, photos, "halves", 4, checkpoint_photos=16)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("coarse2fine.training.student.soft_mask_mse", kill)
        train(halves, job, Context())
    assert (tmp_path / "halves" / "checkpoint.pt").exists()
    again = make_student()
    assert train(again, job, Context()) == pytest.approx(loss)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def test_train_evalseg__good_masks_have_higher_scores(tmp_path, draw_squares):
    """A student that sees only the left half: its masks are good if the square is there."""
    photos = draw_squares(tmp_path, 24)

    class HalfBlind(nn.Module):
        def forward(self, images):
            bright = (images.mean(dim=1) > 0.45).float()
            bright[..., 16:] = 0
            return bright

    job = EvalSegJob(**vars(make_job(tmp_path, photos, "evalseg", 60, flip=False)), student=HalfBlind())
    evalseg = EvalSegNet(8)
    train_evalseg(evalseg, job, Context())
    samples = StudentSamples(pair(photos, tmp_path), job.config, 32, seed=99)
    images, wanted = (
        torch.stack(parts) for parts in zip(*(samples[SampleIndex(0, i)] for i in range(24)), strict=True)
    )
    found = HalfBlind()(images)
    with torch.inference_mode():
        scores = evalseg.eval()(images, found)
    assert np.corrcoef(scores.numpy(), evalseg_target(found, wanted).numpy())[0, 1] > 0.7


def test_evalseg_target__is_the_soft_iou_and_one_for_two_empty_masks():
    found = torch.tensor([[[1.0, 0.0], [0.5, 0.0]], [[0.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]]])
    wanted = torch.tensor([[[1.0, 0.0], [1.0, 0.5]], [[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    assert evalseg_target(found, wanted).tolist() == pytest.approx([1.5 / 2.5, 1.0, 0.0])
    enlarged = wanted.repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert torch.allclose(evalseg_target(found, enlarged), evalseg_target(found, wanted))


def test_soft_mask_mse__averages_the_target_to_the_size_of_the_prediction():
    wanted = torch.zeros(1, 4, 4)
    wanted[0, :2, :1] = 1.0  # half of the first of four cells
    assert soft_mask_mse(torch.tensor([[[0.5, 0.0], [0.0, 0.0]]]), wanted) == 0
    assert float(soft_mask_mse(torch.zeros(1, 2, 2), wanted)) == pytest.approx(0.25 / 4)
