from itertools import pairwise

import cv2
import numpy as np
import pytest

from coarse2fine.enhance.graph_cut.pyramid import (
    MAX_UNKNOWN_PIXELS,
    GrabCutInput,
    cut_coarse_to_fine,
    plan_scales,
    shrink_trimap,
)
from coarse2fine.enhance.graph_cut.trimap import PROBABLE_FOREGROUND
from coarse2fine.evaluation.metrics import binary_iou


def draw_star(side_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a grainy green star on grainy brown; return the image and its mask."""
    angles = np.arange(10) * np.pi / 5
    radii = side_px * np.where(np.arange(10) % 2, 0.16, 0.36)
    corners = side_px / 2 + np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii[:, None]
    ground_truth = np.zeros((side_px, side_px), np.uint8)
    cv2.fillPoly(ground_truth, [np.rint(corners).astype(np.int32)], 1)
    colors = np.array([[120, 90, 60], [70, 150, 80]])[ground_truth]
    return (colors + np.random.default_rng(0).normal(0, 15, colors.shape)).clip(0, 255).astype(np.uint8), ground_truth


def frame(shape: tuple[int, int], margin_px: int) -> np.ndarray:
    trimap = np.zeros(shape, np.uint8)
    trimap[margin_px:-margin_px, margin_px:-margin_px] = PROBABLE_FOREGROUND
    return trimap


@pytest.mark.parametrize(("unknown", "levels"), [(0, 1), (MAX_UNKNOWN_PIXELS, 1), (2 * MAX_UNKNOWN_PIXELS, 2)])
def test_plan_scales__few_unknown_pixels_need_one_level(unknown, levels):
    assert len(plan_scales(unknown, (400, 400))) == levels


def test_plan_scales__each_level_is_at_most_twice_the_one_before():
    scales = plan_scales(6 * MAX_UNKNOWN_PIXELS, (2000, 2000))
    assert scales[0] == pytest.approx(6**-0.5) and scales[-1] == 1 and len(scales) == 3
    assert all(1 < larger / smaller <= 2.001 for smaller, larger in pairwise(scales))


def test_plan_scales__the_smallest_level_has_an_eighth_of_the_area():
    assert plan_scales(100 * MAX_UNKNOWN_PIXELS, (2000, 2000))[0] ** 2 == pytest.approx(1 / 8)


def test_plan_scales__a_strip_keeps_its_width():
    assert min(plan_scales(10**6, (4, 250_000))) * 4 >= 1


def test_shrink_trimap__a_pixel_is_fixed_if_its_whole_area_is():
    trimap = np.array([[0, 0, 0, 3, 1, 1, 2, 2], [0, 0, 0, 3, 1, 1, 2, 3]], np.uint8)
    assert shrink_trimap(trimap, 1, 4).tolist() == [[0, 3, 1, 2]]


def test_shrink_trimap__keeps_thin_fixed_regions():
    trimap = frame((300, 300), 1)
    shrunk = shrink_trimap(trimap, 50, 50)
    assert (shrunk[0] == 0).all() and (shrunk[:, -1] == 0).all() and (shrunk[1:-1, 1:-1] == PROBABLE_FOREGROUND).all()
    trimap = np.zeros((300, 300), np.uint8)
    trimap[150, 40:260] = 1
    trimap[100:140] = 2
    assert (shrink_trimap(trimap, 50, 50)[25, 7:43] == 1).all()


@pytest.mark.parametrize("side_px", [60, 300, 900])
def test_cut_coarse_to_fine__finds_a_star_with_its_points(side_px):
    image, ground_truth = draw_star(side_px)
    trimap = frame(ground_truth.shape, side_px // 12)
    assert binary_iou(trimap & 1, ground_truth) < 0.4
    assert binary_iou(cut_coarse_to_fine(GrabCutInput(image, trimap), 5), ground_truth) > 0.97


def test_cut_coarse_to_fine__keeps_fixed_pixels():
    image, ground_truth = draw_star(300)
    trimap = frame(ground_truth.shape, 20)
    trimap[140:160, 140:160] = 0
    trimap[30:60, 30:60] = 1
    mask = cut_coarse_to_fine(GrabCutInput(image, trimap), 5)
    assert not mask[140:160, 140:160].any() and mask[30:60, 30:60].all()
    assert mask[100:130, 150].all()


def test_cut_coarse_to_fine__a_prior_decides_where_colors_cannot():
    image = np.random.default_rng(0).integers(100, 104, (300, 300, 3), np.uint8)
    prior = np.full((30, 30), -3, np.float32)
    prior[10:20, 10:20] = 3
    mask = cut_coarse_to_fine(GrabCutInput(image, frame((300, 300), 10), prior), 5)
    expected = np.zeros((300, 300), np.uint8)
    expected[100:200, 100:200] = 1
    assert binary_iou(mask, expected) > 0.8  # a flat photo rounds the corners
    assert binary_iou(cut_coarse_to_fine(GrabCutInput(image, frame((300, 300), 10)), 5), expected) < 0.5


def test_cut_coarse_to_fine__scale_keeps_the_energy_of_the_original():
    image, ground_truth = draw_star(300)
    small = cv2.resize(image, (100, 100), interpolation=cv2.INTER_AREA)
    small_truth = cv2.resize(ground_truth * 255, (100, 100), interpolation=cv2.INTER_AREA) >= 128
    trimap = frame((100, 100), 6)
    assert binary_iou(cut_coarse_to_fine(GrabCutInput(small, trimap, scale=1 / 3), 5), small_truth) > 0.95
    blurred = cv2.GaussianBlur(small, (0, 0), 4)
    masks = [cut_coarse_to_fine(GrabCutInput(blurred, trimap, scale=scale), 5) for scale in (1, 1 / 3)]
    assert (masks[0] != masks[1]).any()


def test_cut_coarse_to_fine__is_deterministic_and_changes_no_argument():
    image, ground_truth = draw_star(300)
    trimap = frame(ground_truth.shape, 20)
    kept = image.copy(), trimap.copy()
    image.setflags(write=False)
    trimap.setflags(write=False)
    first, second = (cut_coarse_to_fine(GrabCutInput(image, trimap), 5) for _ in range(2))
    assert (first == second).all() and first.any()
    assert (image == kept[0]).all() and (trimap == kept[1]).all()


def test_cut_coarse_to_fine__without_unknown_pixels():
    image, ground_truth = draw_star(60)
    assert (cut_coarse_to_fine(GrabCutInput(image, ground_truth), 5) == ground_truth).all()
