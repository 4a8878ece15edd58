import numpy as np
import pytest

from coarse2fine.masks.png import mask_path, write_mask
from coarse2fine.pipeline.mask_signs import MaskSigns, explain_hopeless_masks, measure_signs
from coarse2fine.types import Photo


def write_masks(folder, masks):
    photos = [Photo(folder / f"{index}.jpg", f"cat/{index:02}", (1,)) for index in range(len(masks))]
    for photo, mask in zip(photos, masks, strict=True):
        write_mask(mask_path(folder, photo.name), mask)
    return photos


def draw_box(top: int, left: int, side: int) -> np.ndarray:
    mask = np.zeros((64, 64), np.uint8)
    mask[top : top + side, left : left + side] = 1
    return mask


def test_measure_signs__shares_by_hand(tmp_path):
    masks = [draw_box(0, 0, 0)] * 3 + [draw_box(0, 0, 64)] * 2 + [draw_box(8, 8, 16)] * 5
    photos = write_masks(tmp_path, masks)
    notes = {"cat/00": "empty", "cat/05": "unchanged: GrabCut found no foreground"}
    signs = measure_signs(photos, tmp_path, notes, max_share=0.8, threads=1)
    assert signs == MaskSigns(empty=0.3, full=0.2, unchanged=0.1, alike=0.0), "alike needs ten masks that are not empty"


def test_measure_signs__masks_that_are_alike(tmp_path):
    same = write_masks(tmp_path / "same", [draw_box(16, 16, 32)] * 10)
    assert measure_signs(same, tmp_path / "same", {}, 0.8, 1) == MaskSigns(0.0, 0.0, 0.0, 1.0)
    moved = write_masks(tmp_path / "moved", [draw_box(2 * index, 16, 32) for index in range(10)])
    # Pairs are 10 rows apart: 22 of 42 rows are common.
    assert measure_signs(moved, tmp_path / "moved", {}, 0.8, 1) == MaskSigns(0.0, 0.0, 0.0, 22 / 42)


def test_measure_signs__few_photos_say_nothing(tmp_path):
    assert measure_signs(write_masks(tmp_path, [draw_box(0, 0, 0)] * 9), tmp_path, {}, 0.8, 1) is None


@pytest.mark.fault("messages")
def test_explain_hopeless_masks__names_what_is_unusual_and_what_to_do():
    assert explain_hopeless_masks(MaskSigns(0.2, 0.2, 0.3, 0.7), 0.8) is None
    shown = explain_hopeless_masks(MaskSigns(0.6, 0.0, 0.0, 0.95), 0.8)
    assert shown is not None
    assert "60% of them are empty; they have nearly the same shape" in shown and "--coarse.method" in shown
    assert "cover more than 80% of the photo" in str(explain_hopeless_masks(MaskSigns(0.0, 0.7, 0.0, 0.0), 0.8))
    assert "no better contour for 51%" in str(explain_hopeless_masks(MaskSigns(0.0, 0.0, 0.51, 0.0), 0.8))
