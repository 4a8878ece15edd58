import base64
import io

import numpy as np
from PIL import Image

from coarse2fine.masks.png import mask_path, write_mask
from coarse2fine.report.thumbnails import SIDE_PX, draw_row, resize_longer_side
from coarse2fine.types import Photo


def pixels(uri: str) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
        return np.asarray(image.convert("RGB"))


def test_draw_row__photo_then_masks(tmp_path):
    photo = Photo(tmp_path / "a.png", "x/a", (1,))
    Image.new("RGB", (600, 300), (10, 200, 10)).save(photo.path)
    mask = np.zeros((300, 600), np.uint8)
    mask[:, 300:] = 1
    write_mask(mask_path(tmp_path / "m", photo.name), mask)
    plain, masked, absent = draw_row(photo, [("photo", None), ("round 1", tmp_path / "m"), ("round 2", tmp_path / "n")])
    assert (plain.width, plain.height) == (masked.width, masked.height) == (SIDE_PX, SIDE_PX // 2)
    assert pixels(plain.uri).shape == (SIDE_PX // 2, SIDE_PX, 3)
    left, right = pixels(masked.uri)[48, 30].astype(int), pixels(masked.uri)[48, 150].astype(int)
    assert np.abs(left - (10, 200, 10)).max() < 12 and right[0] > left[0] + 30 and right[1] < left[1] - 60
    assert absent.uri is None and absent.problem == "no mask yet"


def test_draw_row__what_cannot_be_read_has_a_problem(tmp_path):
    photo = Photo(tmp_path / "gone.png", "x/gone", (1,))
    assert [one.problem for one in draw_row(photo, [("photo", None), ("coarse", tmp_path)])] == ["no such file"] * 2
    Image.new("RGB", (30, 30)).save(photo.path)
    mask_path(tmp_path, photo.name).parent.mkdir()
    mask_path(tmp_path, photo.name).write_bytes(b"no PNG")
    assert [one.problem for one in draw_row(photo, [("photo", None), ("coarse", tmp_path)])] == [
        None,
        "the mask file is damaged",
    ]


def test_resize_longer_side__extreme_shapes_keep_a_pixel():
    assert resize_longer_side(np.zeros((4, 4000, 3), np.uint8), 192).shape == (1, 192, 3)
    assert resize_longer_side(np.zeros((10, 5, 3), np.uint8), 192).shape == (192, 96, 3)
