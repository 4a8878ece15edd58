import numpy as np
import pytest
import torch

from coarse2fine.coarse import binarize_coarse, coarse_from
from coarse2fine.coarse.combined import combine, cut_box
from coarse2fine.coarse.student import Student
from coarse2fine.config import CoarseConfig, CoarseStudentConfig, StudentNetworkConfig
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.networks.student import build_student

PHOTO = np.full((40, 60, 3), 30, np.uint8)
PHOTO[12:28, 20:40] = (200, 180, 40)


def test_combine__the_student_counts_twice():
    student, saliency = np.array([[1.0, 0.5, 0.0]], np.float32), np.array([[1.0, 0.0, 0.0]], np.float32)
    soft = combine(student, saliency, np.array([[1, 1, 1]], np.uint8), student_weight=2)
    np.testing.assert_allclose(soft, [[1, 0.5, 0.25]])
    assert soft.dtype == np.float32
    equal = combine(student, saliency, np.array([[1, 1, 1]], np.uint8), student_weight=1)
    np.testing.assert_allclose(equal, [[1, 0.5, 1 / 3]])


def test_cut_box__finds_the_block():
    np.testing.assert_array_equal(cut_box(PHOTO, 0.8), (PHOTO[..., 0] > 100).astype(np.uint8))


@pytest.mark.parametrize("method", ["combined", "combined-equal"])
def test_binarize_coarse__otsu_means_one_half_for_combined_methods(method):
    soft = np.array([[0.0, 0.4, 0.45, 0.6]], np.float32)
    np.testing.assert_array_equal(binarize_coarse(soft, CoarseConfig(method=method)), [[0, 0, 0, 1]])
    np.testing.assert_array_equal(binarize_coarse(soft, CoarseConfig(method=method, threshold=0.42)), [[0, 0, 1, 1]])
    np.testing.assert_array_equal(binarize_coarse(soft, CoarseConfig(method="student")), [[0, 1, 1, 1]])


def test_binarize_coarse__falls_back_to_otsu_where_nothing_is_above_one_half():
    soft = np.array([[0.0, 0.1, 0.4, 0.4]], np.float32)
    np.testing.assert_array_equal(binarize_coarse(soft, CoarseConfig(method="combined")), [[0, 0, 1, 1]])


def test_coarse_from__combined_uses_the_student_of_the_settings(tmp_path):
    network = StudentNetworkConfig(width=0.1, input_px=32, view_px=32)
    torch.manual_seed(0)
    Student(build_student(network), network).save(tmp_path / "s.safetensors")
    config = CoarseConfig(method="combined", student=CoarseStudentConfig(weights=tmp_path / "s.safetensors"))
    soft = coarse_from(config)(PHOTO)
    assert (soft.shape, soft.dtype) == ((40, 60), np.float32) and config.gives_probabilities
    assert soft[20, 30] > soft[0, 0] and soft.min() >= 0 and soft.max() <= 1
    assert not np.array_equal(soft, coarse_from(config.with_method("combined-equal"))(PHOTO))
    np.testing.assert_array_equal(soft, coarse_from(config)(PHOTO))


def test_coarse_from__combined_needs_its_student(tmp_path):
    config = CoarseConfig(method="combined", student=CoarseStudentConfig(weights=tmp_path / "none.safetensors"))
    with pytest.raises(DataError, match="There is no student"):
        coarse_from(config)


def test_coarse_from__auto_is_only_for_fit():
    with pytest.raises(ConfigError, match=r"coarse\.method = auto is only for fit.*Choose combined"):
        coarse_from(CoarseConfig(method="auto"))
