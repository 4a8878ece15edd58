import numpy as np
import pytest

from coarse2fine.app.smart_brush import OTHER, SAME_CLASS, STROKE, extend_stroke


def draw_disc(height: int, width: int, center: tuple[float, float], radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return (rows - center[0]) ** 2 + (columns - center[1]) ** 2 <= radius**2


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return (one & other).sum() / (one | other).sum()


@pytest.mark.parametrize("scale", [1, 6])  # 6: the part is larger than MAX_SIDE_PX
def test_extend_stroke__reaches_the_edges_of_the_object_and_no_other_object(scale):
    height, width = 80 * scale, 100 * scale
    disc = draw_disc(height, width, (40 * scale, 40 * scale), 18 * scale)
    other = draw_disc(height, width, (40 * scale, 85 * scale), 10 * scale)  # of the same color, beyond reach
    image = np.where((disc | other)[..., None], (210, 80, 60), (60, 110, 70)).astype(float)
    image = np.clip(image + np.random.default_rng(0).normal(0, 8, image.shape), 0, 255).astype(np.uint8)
    hints = np.full((height, width), OTHER, np.uint8)
    hints[36 * scale : 44 * scale, 30 * scale : 50 * scale] = STROKE
    found = extend_stroke(image, hints, 20.0 * scale) == 1
    assert iou(found, disc) > 0.95 and not (found & other).any()


def test_extend_stroke__keeps_the_stroke_and_adds_nothing_to_other_parts_of_the_class():
    image = np.full((40, 40, 3), 100, np.uint8)
    hints = np.zeros((40, 40), np.uint8)
    hints[18:22, 10:20], hints[0:4, 30:40] = STROKE, SAME_CLASS
    found = extend_stroke(image, hints, 5.0)
    assert (found[hints == STROKE] == 1).all() and not found[hints == SAME_CLASS].any()


@pytest.mark.parametrize("value", [OTHER, STROKE, SAME_CLASS])
def test_extend_stroke__without_anything_to_compare_returns_the_stroke(value):
    hints = np.full((4, 4), value, np.uint8)
    found = extend_stroke(np.zeros((4, 4, 3), np.uint8), hints, 5.0)
    assert found.tolist() == (hints == STROKE).astype(int).tolist()
