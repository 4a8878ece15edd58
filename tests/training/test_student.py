from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from coarse2fine.config import StudentNetworkConfig, StudentTrainConfig
from coarse2fine.masks.png import mask_path
from coarse2fine.networks.student import EvalSegNet, build_student
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.processes import World
from coarse2fine.training.samples import Draw, SoftSamples
from coarse2fine.training.student import Lesson, soft_iou, soft_loss, teach, teach_judge
from coarse2fine.types import Example, Photo

NETWORK = StudentNetworkConfig(width=0.25, input_px=32, view_px=32)
TRAIN = StudentTrainConfig(
    batch=8, resize_px=36, learning_rate=0.01, loader_workers=0, precision="fp32", checkpoint_photos=1000
)
QUIET = Console(quiet=True)


def pair(photos: list[Photo], folder: Path) -> list[Example]:
    return [Example(photo.path, mask_path(folder / "masks", photo.name)) for photo in photos]


def make_lesson(folder: Path, photos: list[Photo], name: str, epochs: int = 100, **changes: object) -> Lesson:
    config = TRAIN.model_copy(update=changes)
    return Lesson(pair(photos, folder), config, epochs, NETWORK.input_px, 5, folder / name)


def new_student() -> nn.Module:
    torch.manual_seed(1)
    return build_student(NETWORK)


def test_teach__a_student_finds_the_squares(tmp_path, draw_squares):
    photos = draw_squares(tmp_path, 16)
    network = new_student()
    loss = teach(network, make_lesson(tmp_path, photos, "a"), World(), QUIET)
    samples = SoftSamples(pair(photos, tmp_path), TRAIN, 32, seed=99)
    images, wanted = (torch.stack(parts) for parts in zip(*(samples[Draw(0, i)] for i in range(16)), strict=True))
    with torch.inference_mode():
        found = network.eval()(images)
        at_first = new_student().eval()(images)
    assert soft_iou(found, wanted).mean() > 0.6 > 0.5 > soft_iou(at_first, wanted).mean()
    assert loss < 0.02 < soft_loss(at_first, wanted)


def test_teach__killed_and_resumed_gives_the_same_student(tmp_path, monkeypatch, draw_squares):
    photos = draw_squares(tmp_path, 8)
    whole, halves = new_student(), new_student()
    loss = teach(whole, make_lesson(tmp_path, photos, "whole", epochs=4, checkpoint_photos=16), World(), QUIET)
    calls = []

    def kill(found, wanted):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return soft_loss(found, wanted)

    lesson = make_lesson(tmp_path, photos, "halves", epochs=4, checkpoint_photos=16)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("coarse2fine.training.student.soft_loss", kill)
        teach(halves, lesson, World(), QUIET)
    assert (tmp_path / "halves" / "checkpoint.ckpt").exists()
    again = new_student()
    assert teach(again, lesson, World(), QUIET) == pytest.approx(loss)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def test_teach_judge__good_masks_score_higher(tmp_path, draw_squares):
    """A student that sees only the left half: its masks are good where the square stands there."""
    photos = draw_squares(tmp_path, 24)

    class HalfBlind(nn.Module):
        def forward(self, images):
            bright = (images.mean(dim=1) > 0.45).float()
            bright[..., 16:] = 0
            return bright

    lesson = make_lesson(tmp_path, photos, "judge", epochs=60, flip=False)
    judge = EvalSegNet(8)
    teach_judge(judge, HalfBlind(), lesson, World(), QUIET)
    samples = SoftSamples(pair(photos, tmp_path), lesson.config, 32, seed=99)
    images, wanted = (torch.stack(parts) for parts in zip(*(samples[Draw(0, i)] for i in range(24)), strict=True))
    found = HalfBlind()(images)
    with torch.inference_mode():
        scores = judge.eval()(images, found)
    assert np.corrcoef(scores.numpy(), soft_iou(found, wanted).numpy())[0, 1] > 0.7


def test_soft_iou__by_hand():
    found = torch.tensor([[[1.0, 0.0], [0.5, 0.0]], [[0.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]]])
    wanted = torch.tensor([[[1.0, 0.0], [1.0, 0.5]], [[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    assert soft_iou(found, wanted).tolist() == pytest.approx([1.5 / 2.5, 1.0, 0.0])
    enlarged = wanted.repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert torch.allclose(soft_iou(found, enlarged), soft_iou(found, wanted))


def test_soft_loss__averages_what_is_wanted():
    wanted = torch.zeros(1, 4, 4)
    wanted[0, :2, :1] = 1.0  # half of the first of four cells
    assert soft_loss(torch.tensor([[[0.5, 0.0], [0.0, 0.0]]]), wanted) == 0
    assert float(soft_loss(torch.zeros(1, 2, 2), wanted)) == pytest.approx(0.25 / 4)
