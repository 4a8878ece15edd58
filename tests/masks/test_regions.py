import numpy as np
import pytest

from coarse2fine.errors import DataError
from coarse2fine.masks.constraint import constrain, constrain_soft, reason_to_leave_out
from coarse2fine.masks.palette import (
    color_table,
    draw_layer,
    hex_color,
    overlay,
    overlay_color_table,
    overlay_hex_color,
    paint,
)
from coarse2fine.masks.regions import Box, bounding_box, fill_box, foreground_mask, foreground_values, largest_component
from coarse2fine.masks.resize import fit_size, resize_mask, resize_soft, squash
from coarse2fine.types import Mask, Probabilities


def as_mask(*rows: str) -> Mask:
    return np.array([[int(pixel) for pixel in row] for row in rows], np.uint8)


def as_scores(*pixels: tuple[float, ...]) -> Probabilities:
    """One row of pixels, each given as its probabilities by class."""
    return np.array(pixels, np.float32).T[:, None, :]


def test_color_table__first_classes_are_those_of_voc():
    expected = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128)]
    assert [tuple(color) for color in color_table()[:7]] == expected
    assert tuple(color_table()[8]) == (64, 0, 0)
    assert tuple(color_table()[20]) == (0, 64, 128)


def test_color_table__every_index_has_its_own_color_and_ignore_is_beige():
    table = color_table()
    assert table.shape == (256, 3)
    assert table.dtype == np.uint8
    assert tuple(table[255]) == (224, 224, 192)
    assert len(np.unique(table[:255], axis=0)) == 255


def test_color_table__cannot_be_changed_by_a_caller():
    with pytest.raises(ValueError, match="read-only"):
        color_table()[0] = 1


def test_foreground_mask__ignored_pixels_and_background_are_no_foreground():
    assert foreground_mask(np.array([[0, 1, 7, 255]], np.uint8)).tolist() == [[0, 1, 1, 0]]


def test_bounding_box__spans_all_foreground_with_exclusive_ends():
    mask = as_mask("00000", "01000", "00020", "00000")
    assert bounding_box(mask) == Box(y0=1, x0=1, y1=3, x1=4)


def test_bounding_box__none_without_foreground():
    assert bounding_box(np.full((2, 3), 255, np.uint8)) is None
    assert bounding_box(np.zeros((2, 3), np.uint8)) is None


def test_largest_component__diagonal_neighbors_belong_together():
    mask = as_mask("10000", "02000", "00033", "00000")
    assert largest_component(as_mask("10011", "01000", "00100")).tolist() == as_mask("10000", "01000", "00100").tolist()
    assert largest_component(mask)[:2, :2].tolist() == [[1, 0], [0, 1]]


def test_largest_component__of_equals_the_first_in_raster_order_stays():
    assert largest_component(as_mask("001", "100", "000")).tolist() == as_mask("001", "000", "000").tolist()
    assert largest_component(as_mask("00001", "10001", "10000")).tolist() == as_mask("00001", "00001", "00000").tolist()


def test_largest_component__empty_stays_empty():
    assert not largest_component(np.zeros((3, 3), np.uint8)).any()


def test_fill_box__all_spans_every_piece_and_largest_only_one():
    mask = as_mask("1100", "1000", "0001")
    assert fill_box(mask, "all").tolist() == as_mask("1111", "1111", "1111").tolist()
    assert fill_box(mask, "largest").tolist() == as_mask("1100", "1100", "0000").tolist()


def test_fill_box__empty_stays_empty():
    assert not fill_box(np.zeros((2, 2), np.uint8), "largest").any()


def test_constrain__other_classes_become_background():
    scores = as_scores((0.1, 0.8, 0.1), (0.1, 0.1, 0.8), (0.8, 0.1, 0.1))
    assert constrain(scores, 1).tolist() == [[1, 0, 0]]
    assert constrain(scores, 2).tolist() == [[0, 1, 0]]


def test_constrain__pair_compares_with_background_only():
    scores = as_scores((0.1, 0.2, 0.7), (0.3, 0.2, 0.5), (0.2, 0.7, 0.1))
    assert constrain(scores, 1, "pair").tolist() == [[1, 0, 1]]
    assert constrain(scores, 1, "label").tolist() == [[0, 0, 1]]


def test_constrain__foreground_takes_what_background_has_less_than_half_of():
    scores = as_scores((0.4, 0.0, 0.6), (0.45, 0.25, 0.3), (0.6, 0.4, 0.0), (0.0, 0.5, 0.5))
    assert constrain(scores, 1, "foreground").tolist() == [[1, 1, 0, 1]]
    assert constrain(scores, 1, "label").tolist() == [[0, 0, 0, 0]]


def test_constrain__foreground_threshold_is_relative_to_the_highest_foreground_of_the_photo():
    unsure = as_scores((0.6, 0.3, 0.1), (0.8, 0.1, 0.1), (0.85, 0.1, 0.05), (1.0, 0.0, 0.0))
    assert constrain(unsure, 1, "foreground", threshold=0.45).tolist() == [[1, 1, 0, 0]]  # limit 0.45 * 0.4


def test_constrain__foreground_of_a_photo_without_any_is_empty():
    assert constrain(as_scores((1, 0, 0), (1, 0, 0)), 1, "foreground").tolist() == [[0, 0]]


@pytest.mark.parametrize("rule", ["label", "pair", "foreground"])
def test_constrain__a_tie_with_background_is_background(rule):
    mask = constrain(as_scores((0.5, 0.5), (0.25, 0.75), (0.0, 1.0)), 1, rule)
    assert mask.tolist() == [[0, 1, 1]]
    assert mask.dtype == np.uint8


def test_constrain__a_tie_between_classes_is_background():
    scores = as_scores((0.0, 0.5, 0.5))
    assert constrain(scores, 1).tolist() == [[0]]
    assert constrain(scores, 2).tolist() == [[0]]


@pytest.mark.parametrize("label", [-1, 0, 2, 255])
def test_constrain__label_must_be_a_foreground_class(label):
    with pytest.raises(DataError, match=f"1 to 1, found {label};"):
        constrain(as_scores((0.5, 0.5)), label)


def test_reason_to_leave_out__between_the_limits_it_stays():
    mask = np.zeros((10, 100), np.uint8)
    mask.flat[:10] = 3
    assert reason_to_leave_out(mask, 0.01, 0.8) is None
    mask.flat[:800] = 1
    assert reason_to_leave_out(mask, 0.01, 0.8) is None


def test_reason_to_leave_out__says_how_much_is_too_little_or_too_much():
    mask = np.zeros((10, 100), np.uint8)
    mask.flat[:4] = 1
    assert reason_to_leave_out(mask, 0.01, 0.8) == "foreground 0.4 % is below 1 %"
    mask.flat[:905] = 1
    assert reason_to_leave_out(mask, 0.01, 0.8) == "foreground 90.5 % is above 80 %"


def test_reason_to_leave_out__ignored_pixels_are_no_foreground():
    assert reason_to_leave_out(np.full((4, 4), 255, np.uint8), 0.01, 0.8) == "foreground 0 % is below 1 %"


def test_resize_mask__invents_no_class_and_keeps_its_place():
    doubled = resize_mask(as_mask("05", "30"), 4, 4)
    assert doubled.tolist() == as_mask("0055", "0055", "3300", "3300").tolist()
    assert resize_mask(doubled, 2, 2).tolist() == as_mask("05", "30").tolist()


def test_resize_mask__same_size_is_the_same_array():
    mask = as_mask("012")
    assert resize_mask(mask, 1, 3) is mask


def test_resize_soft__averages_areas_when_it_shrinks():
    soft = np.array([[0, 1, 1, 1], [0, 1, 1, 1]], np.float32)
    assert resize_soft(soft, 1, 2).tolist() == [[0.5, 1.0]]
    assert resize_soft(soft, 2, 4) is soft


def test_resize_soft__grows_evenly_within_zero_and_one():
    grown = resize_soft(np.array([[0, 1]], np.float32), 1, 4)
    assert grown.tolist() == [[0.0, 0.25, 0.75, 1.0]]
    assert grown.dtype == np.float32


def test_squash__averages_areas_only_if_both_sides_shrink():
    soft = np.array([[0, 1, 0, 1]] * 4, np.float32)
    assert squash(soft, 2).tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert np.allclose(squash(soft[:1], 2), 0.5)
    assert np.allclose(squash(np.array([[0], [1]], np.float32), 4)[:, 0], [0, 0.25, 0.75, 1])
    assert squash(soft, 4) is soft


def test_fit_size__only_shrinks():
    assert fit_size((30, 40, 3), 100) == (30, 40)
    assert fit_size((3000, 4000), 2000) == (1500, 2000)
    assert fit_size((1, 9000), 100) == (1, 100)


def test_paint__takes_palette_colors():
    assert paint(as_mask("01")).tolist() == [[[0, 0, 0], [128, 0, 0]]]


def test_overlay__mixes_inside_traces_the_contour_and_leaves_background():
    image = np.full((7, 7, 3), 100, np.uint8)
    mask = np.zeros((7, 7), np.uint8)
    mask[1:6, 1:6] = 1
    shown = overlay(image, mask, alpha=0.5)
    assert shown[3, 3].tolist() == [156, 69, 69]  # (100 + 212) / 2, (100 + 38) / 2
    assert shown[1, 1].tolist() == shown[5, 3].tolist() == [255, 255, 255]
    assert shown[0, 0].tolist() == [100, 100, 100]
    assert (image == 100).all()


def test_draw_layer__over_the_photo_is_the_overlay():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    mask = np.zeros((20, 30), np.uint8)
    mask[4:15, 6:20], mask[2:4, 25:29] = 1, 255
    layer = draw_layer(mask, alpha=0.4).astype(float)
    opacity = layer[..., 3:] / 255
    mixed = (1 - opacity) * image + opacity * layer[..., :3]
    assert np.abs(mixed - overlay(image, mask, alpha=0.4)).max() <= 0.5


def test_overlay_color_table__is_bright_and_different_for_all_classes():
    colors = overlay_color_table()
    assert len(np.unique(colors, axis=0)) == 256 and colors[0].tolist() == [0, 0, 0]
    assert colors[1:].max(axis=1).min() >= 0.6 * 255 and colors[1].tolist() == [212, 38, 38]
    assert overlay_hex_color(1) == "#d42626" and hex_color(1) == "#800000"  # files keep the palette of VOC


def test_overlay__photo_and_mask_must_fit():
    with pytest.raises(DataError, match=r"its photo, \(3, 2\), found \(2, 3\)"):
        overlay(np.zeros((3, 2, 3), np.uint8), np.zeros((2, 3), np.uint8))


@pytest.mark.parametrize("rule", ["label", "pair", "foreground"])
def test_constrain_soft__is_above_one_half_where_constrain_keeps(rule):
    scores = np.random.default_rng(0).dirichlet(np.ones(4), 500).T.reshape(4, 20, 25).astype(np.float32)
    likely = constrain_soft(scores, 2, rule, threshold=0.7)
    assert likely.min() >= 0 and likely.max() <= 1
    assert ((likely > 0.5) == constrain(scores, 2, rule, threshold=0.7)).all()
    assert 0.05 < (likely > 0.5).mean() < 0.95


def test_constrain_soft__by_hand():
    scores = as_scores((0.2, 0.6, 0.2), (0.5, 0.2, 0.3))
    assert constrain_soft(scores, 1)[0] == pytest.approx([0.75, 0.2 / 0.7])
    assert constrain_soft(scores, 1, "pair")[0] == pytest.approx([0.75, 0.2 / 0.7])
    # odds of foreground 4 and 1; the limit is 0.75 * 0.8, with odds 1.5
    assert constrain_soft(scores, 1, "foreground", threshold=0.75)[0] == pytest.approx([4 / 5.5, 1 / 2.5])


def test_constrain_soft__of_what_is_neither_is_none():
    assert constrain_soft(as_scores((0, 0, 1)), 1, "pair").tolist() == [[0]]


def test_constrain__foreground_above_a_threshold():
    scores = np.array([[[0.3, 0.45, 0.5, 0.0]], [[0.3, 0.5, 0.1, 0.0]], [[0.4, 0.05, 0.4, 1.0]]], np.float32)
    assert constrain(scores, 1, "foreground").tolist() == [[1, 1, 0, 1]]
    assert constrain(scores, 1, "foreground", threshold=0.6).tolist() == [[1, 0, 0, 1]]


def test_foreground_values__white_means_the_object_where_there_is_no_class():
    white = np.array([[0, 255]], np.uint8)
    assert foreground_values(white) == [255]
    assert foreground_values(np.array([[0, 3, 255]], np.uint8)) == [3]
    assert foreground_values(np.zeros((2, 2), np.uint8)) == []
