import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import ClassVar

import pytest

import coarse2fine
from coarse2fine.runtime import metric_loggers
from coarse2fine.runtime.files import read_json

pytestmark = pytest.mark.slow


class Service:
    """Stands for a run of Weights & Biases."""

    opened: ClassVar[list["Service"]] = []

    def __init__(self, folder: Path, settings: dict, identifier: str | None) -> None:
        self.identifier, self.settings, self.sent, self.ends = identifier or "first", settings, [], []
        self.was_known = identifier is not None
        self.opened.append(self)

    def send(self, group: str, step: int, figures: dict[str, float]) -> None:
        self.sent.append((group, step, sorted(figures)))

    def end(self, is_finished: bool) -> None:
        self.ends.append(is_finished)


def test_fit__sends_trainings_and_rounds_to_a_logger_and_changes_nothing_else(settings, data, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: ModuleSpec(name, None, origin="installed"))
    monkeypatch.setattr(metric_loggers, "_Wandb", Service)
    ground_truth = [data / "val", data / "train_masks"]
    for _ in range(2):
        run = coarse2fine.fit(data / "train", tmp_path / "run", settings(), ground_truth, logger="wandb")
    first, second = Service.opened
    before, training = ["left_out", "masks_iou_coarse", "masks_iou_enhanced"], ["learning_rate", "loss"]
    after = ["left_out", "mIoU", "masks_iou_enhanced", "masks_iou_refined", "quality"]
    assert first.sent == [
        ("rounds", 0, before),
        ("round-1-training", 0, training),
        ("rounds", 1, after),
        ("round-2-training", 0, training),
        ("rounds", 2, after),
    ]
    assert first.settings["train"]["batch"] == 6 and first.ends == [True] and not first.was_known
    assert second.sent == [] and second.ends == [True] and second.was_known
    plain = coarse2fine.fit(data / "train", tmp_path / "plain", settings(), ground_truth)
    keys = [[read_json(one.training(number) / "done.json")["key"] for number in (1, 2)] for one in (run, plain)]
    assert keys[0] == keys[1] and run.weights(2).read_bytes() == plain.weights(2).read_bytes()
    assert not plain.logger.exists()
