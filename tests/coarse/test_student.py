import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from coarse2fine.coarse import coarse_from
from coarse2fine.coarse.student import SETTINGS_KEY, Student, predict_soft_masks
from coarse2fine.config import CoarseConfig, CoarseStudentConfig, StudentNetworkConfig
from coarse2fine.errors import DataError
from coarse2fine.networks.student import build_student
from coarse2fine.runtime.processes import World

CONFIG = StudentNetworkConfig(width=0.1, input_px=32, view_px=32)


def new_student() -> Student:
    torch.manual_seed(3)
    return Student(build_student(CONFIG), CONFIG).to()


class Redness(nn.Module):
    """Foreground is what is red."""

    def __init__(self) -> None:
        super().__init__()
        self.none = nn.Parameter(torch.zeros(1))

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(images[:, 0] - images[:, 1], 2)


def image(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)


@pytest.mark.parametrize("half", [False, True])
def test_student__comes_back_from_its_file(tmp_path, half):
    student, photo = new_student(), image(30, 50)
    student.save(tmp_path / "s.safetensors", {"frames": 7}, half)
    back = Student.load(tmp_path / "s.safetensors")
    assert back.config == CONFIG
    np.testing.assert_allclose(back(photo), student(photo), atol=0.01 if half else 1e-7)
    assert (load_file(tmp_path / "s.safetensors")["head.weight"].dtype == torch.float16) == half


def test_student__knows_red_in_photos_of_any_shape():
    student = Student(Redness(), CONFIG).to()
    for height, width in ((20, 90), (300, 40), (8, 8)):
        photo = np.zeros((height, width, 3), np.uint8)
        photo[:, : width // 2, 0] = 255
        soft = student(photo)
        assert soft.shape == (height, width) and soft.dtype == np.float32
        assert soft[:, : width // 4].min() > 0.95 and soft[:, -width // 4 :].max() < 0.05


def test_student__a_photo_and_its_mirror_get_mirrored_masks():
    student, photo = new_student(), image(40, 40)
    np.testing.assert_allclose(student(photo[:, ::-1])[:, ::-1], student(photo), atol=0.02)


def test_predict_soft_masks__as_one_by_one_whoever_does_it(tmp_path, monkeypatch):
    monkeypatch.setattr("coarse2fine.coarse.student.BATCH", 3)
    student, paths = new_student(), []
    for index in range(7):
        paths.append(tmp_path / f"{index}.png")
        Image.fromarray(image(20 + index, 40, index)).save(paths[-1])
    found = dict(predict_soft_masks(student, paths, threads=2))
    assert list(found) == list(range(7))
    shared = [dict(predict_soft_masks(student, paths, 1, World(rank, 2))) for rank in (0, 1)]
    assert set(shared[0]) == {0, 1, 2, 6} and set(shared[1]) == {3, 4, 5}
    for index, soft in {**shared[0], **shared[1]}.items():
        assert (soft == found[index]).all()
    late = dict(predict_soft_masks(student, paths, 1, wanted=lambda index: index == 4))
    assert set(late) == {3, 4, 5} and (late[4] == found[4]).all()


WIDE = '{"network": {"shape": "lowres", "width": 16.0}}'


def write_nan(path) -> None:
    student = new_student()
    nn.init.constant_(student.network.head.bias, float("nan"))
    student.save(path)


def write_with(path, tensors, settings: str | None) -> None:
    save_file(tensors, path, None if settings is None else {SETTINGS_KEY: settings})


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda path: None, "There is no student"),
        (lambda path: path.write_bytes(b"nothing"), "must be a readable safetensors file"),
        (lambda path: write_with(path, {"a": torch.zeros(1)}, None), "its metadata describe no network"),
        (lambda path: write_with(path, {"a": torch.zeros(1)}, "{}"), "another version"),
        (lambda path: write_with(path, {"a": torch.zeros(1)}, '{"network": {"depth": 3}}'), "another version"),
        (lambda path: write_with(path, {"a": torch.zeros(1)}, '{"network": {}}'), "do not fit the network"),
        (lambda path: write_with(path, {"a": torch.zeros(1)}, '{"network": {"width": "1"}}'), "width must be a valid"),
        (lambda path: write_with(path, {"a": torch.zeros(1)}, '{"network": {"width": 1e9}}'), "width must be less"),
        (lambda path: write_with(path, {"a": torch.zeros(1)}, WIDE), r"parameters, but .* holds only 0\.0 million"),
        (lambda path: write_with(path, {"a": torch.zeros(1)}, "[" * 100_000), "another version"),
        (write_nan, "must be finite numbers"),
        (lambda path: path.symlink_to("/dev/zero"), "There is no student"),
    ],
)
def test_student__refuses_what_is_none(tmp_path, make, said):
    path = tmp_path / "s.safetensors"
    make(path)
    with pytest.raises(DataError, match=said):
        coarse_from(CoarseConfig(method="student", student=CoarseStudentConfig(weights=path)))


def test_embedded_student__is_small_and_at_work():
    file = CoarseConfig(method="student").student.file
    assert file.stat().st_size < 8e6
    soft = coarse_from(CoarseConfig(method="student"))(image(60, 80))
    assert soft.shape == (60, 80) and soft.min() >= 0 and soft.max() <= 1


def test_view__a_lowres_net_sees_what_it_learned_from_and_a_unet_its_own_size():
    for shape, wanted in (("lowres", 128), ("dilated", 160)):
        config = StudentNetworkConfig(shape=shape, width=0.02)
        student = Student(build_student(config), config).to()
        assert student.network_input(image(40, 300)).shape == (wanted, wanted, 3)
        assert student(image(40, 300)).shape == (40, 300)
