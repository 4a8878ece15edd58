import subprocess
import sys
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch

from coarse2fine.config import PredictConfig, PredictCrfConfig
from coarse2fine.errors import DataError
from coarse2fine.inference.segmenter import Segmenter, decide_classes, working_shape


@pytest.mark.parametrize(
    "shape, size_px, working",
    [
        ((375, 500), 320, (256, 320)),
        ((500, 375, 3), 320, (320, 256)),
        ((1, 4000), 320, (32, 320)),
        ((9, 9), 64, (64, 64)),
    ],
)
def test_working_shape__multiples_of_the_deepest_stride(shape, size_px, working):
    assert working_shape(shape, size_px) == working


def test_decide_classes__ties_go_to_the_lower_class():
    probabilities = np.zeros((3, 1, 4), np.float32)
    probabilities[:, 0] = [[0.5, 0.3, 0.2, 0.4], [0.5, 0.4, 0.3, 0.2], [0.0, 0.3, 0.5, 0.4]]
    assert decide_classes(probabilities, 1, 4, foreground_first=False).tolist() == [[0, 1, 2, 0]]
    assert decide_classes(probabilities, 3, 8, foreground_first=False).shape == (3, 8)
    assert decide_classes(probabilities, 1, 4, foreground_first=True).tolist() == [[0, 1, 2, 2]]
    assert decide_classes(probabilities, 3, 8, foreground_first=True).shape == (3, 8)
    equal = np.array([[[0.4, 0.5]], [[0.3, 0.5]], [[0.3, 0.0]]], np.float32)
    assert decide_classes(equal, 1, 2, foreground_first=True).tolist() == [[1, 0]]


def test_decide_classes__foreground_first_takes_an_object_of_uncertain_class_for_foreground():
    probabilities = np.array([[[0.4, 0.4, 0.6]], [[0.25, 0.2, 0.4]], [[0.35, 0.2, 0.0]], [[0.0, 0.2, 0.0]]], np.float32)
    assert decide_classes(probabilities, 1, 3, foreground_first=True).tolist() == [[2, 0, 0]]
    assert decide_classes(probabilities, 1, 3, foreground_first=False).tolist() == [[0, 0, 0]]


def test_decide_classes__with_one_class_both_rules_are_the_same():
    foreground = np.random.default_rng(0).random((1, 9, 9), np.float32)
    masks = [decide_classes(np.concatenate([1 - foreground, foreground]), 9, 9, rule) for rule in (True, False)]
    assert np.array_equal(*masks) and {0, 1} == set(masks[0].ravel().tolist())


@pytest.mark.parametrize("foreground_first", [True, False])
def test_decide_classes__leaves_the_probabilities_as_they_were(foreground_first):
    probabilities = np.array([[[0.2]], [[0.8]]], np.float32)
    assert decide_classes(probabilities, 1, 1, foreground_first).tolist() == [[1]]
    assert probabilities[:, 0, 0].tolist() == pytest.approx([0.2, 0.8])


@dataclass(frozen=True)
class Columns(Segmenter):
    """A network whose probability of class 1 is the column, whatever the photo shows. Records the first pixel."""

    flip: bool
    scales: tuple[float, ...]
    foreground_first: bool = True
    classes: tuple[str, ...] = ("background", "a")
    size_px: int = 32
    crf: PredictCrfConfig = field(default_factory=PredictCrfConfig)
    seen: list[int] = field(default_factory=list)

    def run_network(self, batch, shape):
        self.seen.append(int(batch[0, 0, 0, 0]))
        column = np.broadcast_to(np.arange(shape[1], dtype=np.float32) / shape[1], (len(batch), *shape))
        return np.stack([1 - column, column], axis=1)


@pytest.mark.parametrize(
    ("flip", "scales", "mirrored"),
    [
        (False, (1.0,), [False]),
        (True, (1.0,), [False, True]),
        (False, (1.0, 2.0), [False, False]),
        (True, (1.0, 2.0), [False, True]),
        (True, (1.0, 2.0, 3.0), [False, True, False]),
    ],
)
def test_predict__mirrors_every_second_scale_and_its_probabilities_back(flip, scales, mirrored):
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, 16:] = 9
    network = Columns(flip, scales)
    found = network.predict_probabilities(image)[1, 0]
    assert [value == 9 for value in network.seen] == mirrored
    plain = np.arange(32, dtype=np.float32) / 32
    np.testing.assert_allclose(found, np.mean([plain[::-1] if one else plain for one in mirrored], axis=0), atol=1e-6)


@pytest.fixture
def batch() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (9, 40, 60, 3), np.uint8).repeat(2, axis=1)[:, :60]


def test_predict__one_image_a_batch_or_a_list(small_segmenter, batch):
    one = small_segmenter.predict(batch[0])
    assert one.shape == (60, 60) and one.dtype == np.uint8 and len(np.unique(one)) > 1
    assert (small_segmenter.predict(batch) == np.stack([small_segmenter.predict(image) for image in batch])).all()
    listed = small_segmenter.predict([batch[0], batch[1, :33]])
    assert (listed[0] == one).all() and listed[1].shape == (33, 60)
    assert (small_segmenter.predict([batch[0]])[0] == one).all()
    assert small_segmenter.predict([]) == []


def test_predict_probabilities__at_the_size_of_the_images(small_segmenter, batch):
    one = small_segmenter.predict_probabilities(batch[0])
    assert one.shape == (3, 60, 60) and one.dtype == np.float32
    assert np.allclose(one.sum(axis=0), 1, atol=1e-5)
    assert (decide_classes(one, 60, 60, foreground_first=True) == small_segmenter.predict(batch[0])).all()
    most_probable = replace(small_segmenter, foreground_first=False).predict(batch[0])
    assert (one.argmax(axis=0) == most_probable).all() and (most_probable != small_segmenter.predict(batch[0])).any()
    assert small_segmenter.predict_probabilities(batch[:2]).shape == (2, 3, 60, 60)
    assert [p.shape for p in small_segmenter.predict_probabilities([batch[0], batch[1, :33]])] == [
        (3, 60, 60),
        (3, 33, 60),
    ]


@pytest.mark.parametrize("as_float", [False, True])
def test_predict__tensors_in_tensors_out(small_segmenter, batch, as_float):
    tensors = torch.from_numpy(batch).permute(0, 3, 1, 2)
    tensors = tensors.float() / 255 if as_float else tensors
    masks = small_segmenter.predict(tensors)
    assert masks.dtype == torch.int64 and masks.device == tensors.device
    assert (masks.numpy() == small_segmenter.predict(batch)).all()
    one = small_segmenter.predict_probabilities(tensors[0])
    assert one.dtype == torch.float32 and (one.numpy() == small_segmenter.predict_probabilities(batch[0])).all()
    listed = small_segmenter.predict([tensors[0], tensors[1, :, :33]])
    assert [tuple(mask.shape) for mask in listed] == [(60, 60), (33, 60)] and (listed[0] == masks[0]).all()


def test_predict__with_a_crf_in_batches_as_one_by_one(small_segmenter, batch, monkeypatch):
    refined = small_segmenter.with_settings(settings_with_crf())
    alone = refined.predict(list(batch[:2]))
    assert (alone[0] != small_segmenter.predict(batch[0])).any()
    monkeypatch.setattr(type(refined), "crf_in_batches", True)
    assert (refined.predict(batch[:2]) == np.stack(alone)).all()
    assert (refined.with_crf(False).predict(batch[0]) == small_segmenter.predict(batch[0])).all()


def settings_with_crf():
    return PredictConfig(size_px=64, scales=(1.0, 0.5), crf=True)


@pytest.mark.parametrize(
    "images, message",
    [
        (np.zeros((4, 5, 3), np.float32), r"8-bit RGB, .* found float32 \(4, 5, 3\); convert values from 0 to 1: "),
        (np.zeros((2, 4, 5, 4), np.uint8), r"found uint8 \(2, 4, 5, 4\); leave out the transparency: "),
        (np.zeros((0, 4, 5, 3), np.uint8), r"found uint8 \(0, 4, 5, 3\); it is empty"),
        (torch.zeros((0, 3, 4, 5)), r"found torch.float32 \(0, 3, 4, 5\)"),
        (np.zeros((4, 5), np.uint8), r"found uint8 \(4, 5\)"),
        (np.zeros((3, 4, 5), np.uint8), r"found uint8 \(3, 4, 5\)"),
        (np.zeros((0, 5, 3), np.uint8), r"found uint8 \(0, 5, 3\)"),
        (torch.zeros((4, 5, 3), dtype=torch.uint8), r"torch image must be RGB, .* found torch.uint8 \(4, 5, 3\)"),
        (torch.zeros((3, 4, 5), dtype=torch.int64), "found torch.int64"),
        (torch.full((3, 4, 5), -1.5), r"values from 0 to 1, found -1\.5 to -1\.5; pass the image before"),
        (torch.full((3, 4, 5), float("nan")), "values from 0 to 1, found nan"),
        ([np.zeros((2, 4, 5, 3), np.uint8)], "must hold single images, but item 0 is not"),
        ("photo.jpg", r"found str; read a file with coarse2fine\.read_image"),
    ],
)
@pytest.mark.fault("python-arrays")
def test_predict__refuses_other_types_shapes_and_ranges(small_segmenter, images, message):
    with pytest.raises(DataError, match=message):
        small_segmenter.predict(images)


def test_load__a_run_or_an_exported_network_by_text_or_path(small_run, small_onnx, clouds):
    masks = [
        Segmenter.load(path, "cpu", 1).predict(clouds[0])
        for path in (small_run, str(small_run / "model"), str(small_onnx))
    ]
    assert all((mask == masks[0]).all() for mask in masks)


def test_load__on_the_cpu_never_touches_the_gpu(small_run, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    moved = []
    to = torch.nn.Module.to
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, *a, **k: moved.append((a, k)) or to(self, *a, **k))
    assert Segmenter.load(small_run, "cpu").device == torch.device("cpu")
    assert not any("cuda" in str(arguments) for arguments in moved)


def test_load__torch_keeps_its_number_of_threads(small_run, clouds):
    before = torch.get_num_threads()
    segmenter = Segmenter.load(small_run, "cpu", threads=before + 2)
    assert torch.get_num_threads() == before
    seen = []
    segmenter.network.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    segmenter.folded.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    segmenter.predict(clouds[0])
    assert set(seen) == {before + 2} and torch.get_num_threads() == before


def test_import__of_the_interface_needs_no_torch():
    code = "import sys, coarse2fine; coarse2fine.Segmenter, coarse2fine.predict_photos; print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "False\n"
