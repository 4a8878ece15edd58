import base64
import io

import numpy as np
from PIL import Image

from coarse2fine.masks.palette import overlay_color_table
from coarse2fine.masks.png import mask_path, write_mask
from coarse2fine.report.thumbnails import ALPHA, SIDE_PX, draw_row, mask_layer
from coarse2fine.types import Photo


def pixels(uri: str) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
        return np.asarray(image)


def test_draw_row__photo_then_masks(tmp_path):
    photo = Photo(tmp_path / "a.png", "x/a", (1,))
    Image.new("RGB", (2 * SIDE_PX, SIDE_PX), (10, 200, 10)).save(photo.path)
    mask = np.zeros((SIDE_PX, 2 * SIDE_PX), np.uint8)
    mask[:, SIDE_PX:] = 1
    write_mask(mask_path(tmp_path / "m", photo.name), mask)
    columns = [("photo", None), ("round 1", mask_layer(tmp_path / "m")), ("round 2", mask_layer(tmp_path / "n"))]
    row = draw_row(photo, columns, "p0")
    plain, masked, absent = row.pictures
    assert (row.key, row.name, row.width, row.height) == ("p0", "x/a", SIDE_PX, SIDE_PX // 2)
    small = pixels(row.photo)
    assert small.shape == (SIDE_PX // 2, SIDE_PX, 3) and np.abs(small[9, 9].astype(int) - (10, 200, 10)).max() < 12
    layer = pixels(masked.layer)
    assert layer.shape == (SIDE_PX // 2, SIDE_PX, 4) and layer[9, 9, 3] == 0
    assert layer[9, SIDE_PX - 9].tolist() == [*overlay_color_table()[1], round(255 * ALPHA)]
    assert layer[9, SIDE_PX // 2].tolist() == [255] * 4  # the contour
    assert plain.layer is None and (absent.layer, absent.problem) == (None, "no mask yet")


def test_draw_row__a_small_photo_keeps_its_size(tmp_path):
    photo = Photo(tmp_path / "a.png", "x/a", (1,))
    Image.new("RGB", (30, 20)).save(photo.path)
    row = draw_row(photo, [("photo", None)], "p0")
    assert (row.width, row.height) == (30, 20) and pixels(row.photo).shape == (20, 30, 3)


def test_draw_row__what_cannot_be_read_has_a_problem(tmp_path):
    photo = Photo(tmp_path / "gone.png", "x/gone", (1,))
    columns = [("photo", None), ("coarse", mask_layer(tmp_path))]

    def problems() -> list[str | None]:
        return [one.problem for one in draw_row(photo, columns, "p0").pictures]

    assert problems() == ["no such file"] * 2
    Image.new("RGB", (30, 30)).save(photo.path)
    write_mask(mask_path(tmp_path, photo.name), np.zeros((30, 29), np.uint8))
    assert problems() == [None, "the mask has another size than the photo"]
    mask_path(tmp_path, photo.name).write_bytes(b"no PNG")
    assert problems() == [None, "the mask file is damaged"]
