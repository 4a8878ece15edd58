import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest

from coarse2fine.coarse.box import centered_box
from coarse2fine.data.videos import open_video
from coarse2fine.distillation import principal_components as principal
from coarse2fine.distillation.videopca import (
    COLOR_BINS,
    ColorCounts,
    centered_gaussian,
    color_bins,
    color_model,
    find_error_range,
    hysteresis,
    reconstruction_error,
    rough_mask,
    soft_mask,
    videopca,
)
from coarse2fine.evaluation.metrics import binary_iou
from coarse2fine.masks.png import read_mask

DAVIS = Path(__file__).parents[3] / "shared" / "data" / "davis"
HEIGHT, WIDTH, SIDE = 60, 90, 18


def moving_square(count: int = 24) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """An orange square that wanders before a noisy green wall, and where it is."""
    rng = np.random.default_rng(0)
    wall = rng.integers(60, 120, (HEIGHT, WIDTH, 3)) * np.array([0.5, 1, 0.6])
    frames, masks = [], []
    for number in range(count):
        row, column = 21 + round(9 * np.sin(number * 0.9)), 36 + round(16 * np.cos(number * 0.53))
        frame, mask = wall + rng.normal(scale=3, size=wall.shape), np.zeros((HEIGHT, WIDTH), np.uint8)
        frame[row : row + SIDE, column : column + SIDE] = (230, 120, 30)
        mask[row : row + SIDE, column : column + SIDE] = 1
        frames.append(frame.clip(0, 255).astype(np.uint8))
        masks.append(mask)
    return frames, masks


def mean_iou(softs, masks) -> float:
    return float(np.mean([binary_iou((s > 0.5).astype(np.uint8), t) for s, t in zip(softs, masks, strict=True)]))


def test_videopca__finds_what_moves():
    frames, masks = moving_square()
    softs = list(videopca(frames, threads=2))
    assert all(soft.shape == (HEIGHT, WIDTH) and soft.dtype == np.float32 for soft in softs)
    assert min(soft.min() for soft in softs) == 0 and max(soft.max() for soft in softs) <= 1
    guess = [centered_box(frame, 0.5) for frame in frames]
    assert mean_iou(softs, masks) > 0.9 > 0.4 > mean_iou(guess, masks)


def test_videopca__same_bits_again_whatever_the_threads():
    frames, _ = moving_square(8)
    one, other = (np.stack(list(videopca(frames, threads))) for threads in (1, 3))
    assert one.tobytes() == other.tobytes()


def test_videopca__chunks_change_nothing(monkeypatch):
    frames, _ = moving_square(12)
    whole = np.stack(list(videopca(frames)))
    monkeypatch.setattr(principal, "CHUNK_MB", 0)
    assert np.abs(whole - np.stack(list(videopca(frames)))).mean() < 1e-3


@pytest.mark.parametrize("kind", ["black", "flat", "frozen", "three pictures"])
def test_videopca__nothing_moves_nothing_is_found(kind):
    pictures = np.random.default_rng(0).integers(0, 255, (3, 20, 30, 3)).astype(np.uint8)
    frames = {
        "black": [np.zeros((20, 30, 3), np.uint8)] * 6,
        "flat": [np.full((20, 30, 3), 10 * number, np.uint8) for number in range(6)],
        "frozen": [pictures[0]] * 6,
        "three pictures": list(pictures) * 3,
    }[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not np.stack(list(videopca(frames))).any()


def test_videopca__a_black_frame_among_others_is_empty():
    frames, _ = moving_square()
    frames[3] = np.zeros_like(frames[3])
    softs = list(videopca(frames))
    assert not softs[3].any() and softs[4].any()


class Endless:
    """Frames that are drawn when they are asked for."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self):
        for number in range(self.count):
            frame = np.full((120, 160, 3), 40, np.uint8)
            frame[40:80, (7 * number) % 120 : (7 * number) % 120 + 40] = (200, number % 200, 90)
            yield frame


@pytest.mark.slow
def test_videopca__memory_does_not_grow_with_the_video(monkeypatch):
    monkeypatch.setattr(principal, "CHUNK_MB", 1)
    peaks = []
    for count in (40, 200):
        tracemalloc.start()
        for _ in videopca(Endless(count), threads=1):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    frames_as_float = 200 * 120 * 160 * 3 * 4
    assert peaks[1] < 1.2 * peaks[0]
    assert peaks[1] < frames_as_float / 1.5


def test_reconstruction_error__what_the_directions_do_not_tell():
    frame = np.array([[[255, 0, 0], [0, 0, 0]]], np.uint8)
    nothing = np.zeros((1, 6), np.float32)
    centered = np.array([5, -1, -1, -1, -1, -1]) / 6
    assert reconstruction_error(frame, nothing)[0] == pytest.approx([np.sqrt(27) / 6, np.sqrt(3) / 6])
    own = (centered / np.linalg.norm(centered)).astype(np.float32)[np.newaxis]
    assert reconstruction_error(frame, own)[0] == pytest.approx([0, 0], abs=1e-6)


def test_find_error_range__of_the_whole_video():
    dark, bright = np.zeros((1, 2, 3), np.uint8), np.array([[[255, 0, 0], [0, 0, 0]]], np.uint8)
    nothing = np.zeros((1, 6), np.float32)
    assert find_error_range([dark, bright], nothing, 1) == pytest.approx((0, np.sqrt(27) / 6))


def test_centered_gaussian__sigma_is_a_third_of_the_shorter_side():
    prior = centered_gaussian(31, 61)
    assert prior[15, 30] == 1 and prior.max() == 1
    assert prior[15 + 10, 30] == pytest.approx(np.exp(-((10 / (31 / 3)) ** 2) / 2))
    assert prior[15, 30 + 10] == prior[15 + 10, 30]


def test_rough_mask__above_half_of_the_frame_s_maximum():
    error = np.zeros((41, 41), np.float32)
    error[18:23, 18:23] = 0.01
    rough = rough_mask(error)
    assert rough[20, 20] and not rough[0, 0] and rough.sum() < 400
    assert (rough == rough_mask(error * 50)).all()
    assert not rough_mask(np.zeros((41, 41), np.float32)).any()


def test_color_bins__corners_of_the_color_space():
    colors = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 255]]], np.uint8)
    black, white, red, cyan = color_bins(colors)[0].tolist()
    gray = (50 * 25 + 12) * 10
    assert (black, white) == (gray, gray + 9)
    assert red == (99 * 25 + 12) * 10 + 9
    assert cyan // 250 == 0 and cyan % 10 == 9
    everything = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    assert color_bins(everything).min() >= 0 and color_bins(everything).max() < COLOR_BINS


def test_color_model__foreground_against_smoothed_background():
    foreground, background = np.zeros(COLOR_BINS, np.int64), np.zeros(COLOR_BINS, np.int64)
    foreground[[0, 1]] = 3, 1
    background[1] = 999
    likely = color_model(ColorCounts(foreground, background))
    total = 999 + COLOR_BINS
    assert likely[0] == pytest.approx(0.75 / (0.75 + 1 / total))
    assert likely[1] == pytest.approx(0.25 / (0.25 + 1000 / total))
    assert likely[2] == 0
    assert not color_model(ColorCounts(np.zeros_like(foreground), background)).any()


def test_hysteresis__weak_regions_stay_where_they_touch_strong_ones():
    values = np.array([[0.9, 0.6, 0.1, 0.6], [0.1, 0.1, 0.6, 0.1], [0.1, 0.1, 0.1, 0.1], [0.6, 0.6, 0.1, 0.1]])
    kept = hysteresis(values.astype(np.float32), 0.5, 0.8)
    assert kept.astype(int).tolist() == [[1, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert not hysteresis(np.zeros((2, 2), np.float32), 0, 0).any()


def test_soft_mask__keeps_the_probability_itself():
    likely = np.zeros((30, 30), np.float32)
    likely[12:18, 12:18], likely[0, 0] = 0.4, 1
    soft = soft_mask(likely)
    assert soft[15, 15] == np.float32(0.4) and soft[0, 0] == 0
    assert np.count_nonzero(soft) == 36


def test_videopca__davis():
    if not DAVIS.is_dir():
        pytest.skip("no data")
    footage = open_video(DAVIS / "frames" / "car-shadow")
    masks = [read_mask(DAVIS / "masks" / "car-shadow" / f"{name}.png") for name in footage.names]
    assert mean_iou(videopca(footage), masks) > 0.45
