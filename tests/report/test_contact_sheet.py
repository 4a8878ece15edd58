import numpy as np
from PIL import Image

from coarse2fine.masks.png import mask_path, write_mask
from coarse2fine.report.contact_sheet import CELL_PX, draw_rounds, pick_rows, resize_longer_side
from coarse2fine.store.run import Run
from coarse2fine.types import Photo


def test_pick_rows__classes_in_turn(tmp_path):
    photos = [Photo(tmp_path, f"{label}/{index}", (label,)) for label in (1, 2) for index in range(3)]
    assert [photo.name for photo in pick_rows(photos, 3)] == ["1/0", "2/0", "1/1"]
    assert len(pick_rows(photos, 99)) == 6


def test_draw_rounds__one_row_per_photo_one_column_per_stage(tmp_path):
    run = Run(tmp_path / "run")
    photo = Photo(tmp_path / "a.png", "x/a", (1,))
    Image.new("RGB", (40, 20), (10, 200, 10)).save(photo.path)
    empty, full = np.zeros((20, 40), np.uint8), np.ones((20, 40), np.uint8)
    for folder, mask in ((run.coarse, empty), (run.enhanced(0), empty), (run.enhanced(1), full)):
        write_mask(mask_path(folder, photo.name), mask)
    draw_rounds(run, [photo, photo], 1, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 4 * CELL_PX and 2 * CELL_PX < sheet.height < 3 * CELL_PX
        middle = sheet.height // 4
        colors = [sheet.getpixel((6 + column * (CELL_PX + 6) + CELL_PX // 2, middle + 20)) for column in range(4)]
    assert colors[0] == colors[1] == colors[2] == (10, 200, 10)
    assert colors[3] != colors[0] and colors[3][0] > 50


def test_resize_longer_side__extreme_shapes_keep_a_pixel():
    assert resize_longer_side(np.zeros((4, 4000, 3), np.uint8), 192).shape == (1, 192, 3)
    assert resize_longer_side(np.zeros((10, 5, 3), np.uint8), 192).shape == (192, 96, 3)
