from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coarse2fine.config import EnhanceConfig, GrabCutConfig
from coarse2fine.enhance import ENHANCERS, enhancer_from
from coarse2fine.enhance import grabcut as grabcut_module
from coarse2fine.enhance.grabcut import Enhanced, grabcut
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.evaluation.metrics import binary_iou
from coarse2fine.types import Image, Mask

ENGINES = {engine: GrabCutConfig(engine=engine) for engine in ("fast", "opencv")}


def draw_disc(side_px: int = 80, radius_px: float = 20, center_px: float = 40) -> tuple[Image, Mask]:
    """An orange disc with grain on blue with grain, and where it is."""
    rows, columns = np.mgrid[:side_px, :side_px]
    truth = ((rows - center_px) ** 2 + (columns - center_px) ** 2 <= radius_px**2).astype(np.uint8)
    colors = np.array([[40, 70, 160], [220, 130, 40]])[truth]
    grain = np.random.default_rng(0).normal(0, 12, colors.shape)
    return (colors + grain).clip(0, 255).astype(np.uint8), truth


def fill(shape: tuple[int, int], y0: int, x0: int, y1: int, x1: int) -> Mask:
    mask = np.zeros(shape, np.uint8)
    mask[y0:y1, x0:x1] = 1
    return mask


@pytest.mark.parametrize("config", ENGINES.values(), ids=ENGINES)
def test_grabcut__box_start_finds_the_disc(config):
    image, truth = draw_disc()
    rough = fill(truth.shape, 14, 14, 66, 66)
    assert binary_iou(rough, truth) < 0.5
    assert binary_iou(grabcut(image, rough, "box", config=config).mask, truth) > 0.97


@pytest.mark.parametrize("side_px", [40, 200, 400])
def test_grabcut__engines_agree_at_any_size(side_px):
    image, truth = draw_disc(side_px, side_px / 4, 0.47 * side_px)
    low, high = round(0.47 * side_px - 0.33 * side_px), round(0.47 * side_px + 0.33 * side_px)
    rough = fill(truth.shape, low, low, high, high)
    fast, opencv = (grabcut(image, rough, "box", config=config).mask for config in ENGINES.values())
    assert binary_iou(fast, opencv) > 0.98 > 0.6 > binary_iou(rough, opencv)


def test_grabcut__scores_start_weighs_scores_against_colors(monkeypatch):
    image, truth = draw_disc()
    image[:, :40] = image[:, 40:][:, ::-1]  # colors cannot tell the left half from its mirror image
    likely = np.where(truth, 0.7, 0.3).astype(np.float32)
    likely[:, :40] = 0.1
    rough = (likely > 0.5).astype(np.uint8)
    monkeypatch.setattr(grabcut_module, "PROBABILITY_WEIGHT", 20.0)
    assert grabcut(image, rough, "probabilities", likely).mask[:, :35].mean() < 0.02
    monkeypatch.setattr(grabcut_module, "PROBABILITY_WEIGHT", 0.0)
    assert grabcut(image, rough, "probabilities", likely).mask[:, :35].mean() > 0.1


def test_grabcut__scores_start_corrects_what_the_scores_leave_open():
    image, truth = draw_disc()
    likely = np.clip(0.5 + 0.4 * (np.roll(truth, 4, axis=1) - 0.5), 0, 1).astype(np.float32)
    rough = (likely > 0.5).astype(np.uint8)
    small = cv2.resize(likely, (40, 40), interpolation=cv2.INTER_AREA)
    assert binary_iou(rough, truth) < 0.8
    for soft in (likely, small):
        assert binary_iou(grabcut(image, rough, "probabilities", soft=soft).mask, truth) > 0.97


def test_grabcut__what_the_scores_are_sure_of_stays():
    image, truth = draw_disc()
    likely = np.full(truth.shape, 0.5, np.float32)
    likely[truth == 1] = 0.9
    likely[2:8, 2:8] = 1.0
    assert grabcut(image, (likely > 0.6).astype(np.uint8), "probabilities", soft=likely).mask[2:8, 2:8].all()


def test_grabcut__mask_start_corrects_a_shifted_mask():
    image, truth = draw_disc()
    rough = np.roll(truth, 3, axis=1)
    assert binary_iou(rough, truth) < 0.85
    assert binary_iou(grabcut(image, rough, "mask").mask, truth) > 0.97


def test_grabcut__mask_start_leaves_what_is_deeper_than_the_band(monkeypatch):
    image, truth = draw_disc()
    _, rough = draw_disc(radius_px=26)
    _, inner = draw_disc(radius_px=22)
    ring = (inner == 1) & (truth == 0)
    monkeypatch.setattr(grabcut_module, "BAND_SHARE", 0.05)
    assert grabcut(image, rough, "mask").mask[ring].all()
    monkeypatch.setattr(grabcut_module, "BAND_SHARE", 0.2)
    assert grabcut(image, rough, "mask").mask[ring].mean() < 0.1


def test_grabcut__box_of_the_largest_component_leaves_the_rest_out():
    image, truth = draw_disc()
    rough = np.maximum(truth, fill(truth.shape, 2, 2, 6, 6))
    image[2:6, 2:6] = (220, 130, 40)
    assert grabcut(image, rough, config=GrabCutConfig(box="all")).mask[2:6, 2:6].any()
    assert not grabcut(image, rough, config=GrabCutConfig(box="largest")).mask[2:6, 2:6].any()


def test_grabcut__mask_over_the_whole_photo_still_separates():
    image, truth = draw_disc()
    enhanced = grabcut(image, np.ones_like(truth), "box")
    assert enhanced.note is None
    assert binary_iou(enhanced.mask, truth) > 0.95


def test_grabcut__ignored_pixels_are_background():
    image, truth = draw_disc()
    ignoring = np.where(truth, truth, 255).astype(np.uint8)
    assert (grabcut(image, ignoring, "mask").mask == grabcut(image, truth, "mask").mask).all()


@pytest.mark.parametrize("start", ["box", "mask"])
def test_grabcut__reduced_copy_keeps_the_mask_in_place(start):
    image, truth = draw_disc(side_px=161, radius_px=40, center_px=75)
    rough = fill(truth.shape, 25, 25, 125, 125) if start == "box" else truth
    enhanced = grabcut(image, rough, start, config=GrabCutConfig(max_side_px=50)).mask
    assert enhanced.shape == truth.shape
    assert binary_iou(enhanced, truth) > 0.93
    offset_px = np.argwhere(enhanced).mean(axis=0) - np.argwhere(truth).mean(axis=0)
    assert np.abs(offset_px).max() < 0.5


@pytest.mark.parametrize("config", ENGINES.values(), ids=ENGINES)
def test_grabcut__same_seed_same_mask_in_every_thread(config):
    image, truth = draw_disc()
    noisy = np.random.default_rng(1).integers(0, 256, image.shape, np.uint8) // 2 + image // 2
    rough = fill(truth.shape, 14, 14, 66, 66)
    with ThreadPoolExecutor(3) as threads:
        masks = list(threads.map(lambda _: grabcut(noisy, rough, "box", config=config, seed=2**40 + 3).mask, range(6)))
    assert all((mask == masks[0]).all() for mask in masks)
    assert 0 < masks[0].sum() < rough.sum()


def test_grabcut__leaves_its_arguments_alone():
    image, truth = draw_disc()
    image.setflags(write=False)
    rough = np.roll(truth, 2, axis=0)
    before = rough.copy()
    rough.setflags(write=False)
    assert grabcut(image, rough, "mask").mask.flags.writeable
    assert (rough == before).all()


def test_grabcut__empty_stays_empty_and_says_so():
    image, truth = draw_disc()
    enhanced = grabcut(image, np.zeros_like(truth), "box")
    assert enhanced.note == "empty"
    assert not enhanced.mask.any()


def test_grabcut__too_few_pixels_keeps_the_mask():
    image, truth = draw_disc()
    seed = fill(truth.shape, 30, 30, 31, 33)
    for start in ("box", "mask"):
        enhanced = grabcut(image, seed, start)
        assert enhanced.note == "unchanged: too few pixels for GrabCut"
        assert (enhanced.mask == seed).all()


@pytest.mark.parametrize("config", ENGINES.values(), ids=ENGINES)
def test_grabcut__object_of_the_background_s_color_keeps_the_mask(config):
    image = np.random.default_rng(0).integers(90, 110, (60, 60, 3), np.uint8)
    rough = fill((60, 60), 28, 28, 32, 32)
    enhanced = grabcut(image, rough, "box", config=config)
    assert enhanced.note is not None
    assert enhanced.note.startswith("unchanged: GrabCut")
    assert (enhanced.mask == rough).all()


def test_grabcut__failure_of_opencv_keeps_the_mask(monkeypatch):
    def refuse(*_):
        raise cv2.error("insufficient memory")

    image, truth = draw_disc()
    monkeypatch.setattr(cv2, "grabCut", refuse)
    enhanced = grabcut(image, truth, "mask", config=ENGINES["opencv"])
    assert enhanced.note == "unchanged: OpenCV failed (insufficient memory)"
    assert (enhanced.mask == truth).all()


def test_grabcut__a_mask_that_runs_over_the_photo_is_kept_as_it_was():
    image = np.full((60, 60, 3), 90, np.uint8)
    image[:, 30:] = 200
    rough = fill((60, 60), 20, 40, 40, 50)
    soft = np.full((60, 60), 0.49, np.float32)
    soft[20:40, 40:50] = 0.51
    enhanced = grabcut(image, rough, "probabilities", soft=soft)
    assert enhanced.note == "unchanged: GrabCut grew the mask to more than 2 times its size"
    assert (enhanced.mask == rough).all()


def test_grabcut__scores_must_be_there():
    image, truth = draw_disc()
    with pytest.raises(DataError, match="pass soft"):
        grabcut(image, truth, "probabilities")


def test_grabcut__opencv_cannot_start_from_probabilities():
    image, truth = draw_disc()
    with pytest.raises(ConfigError, match="start from mask or box, or use engine fast"):
        grabcut(image, truth, "probabilities", truth.astype(np.float32), ENGINES["opencv"])


def test_grabcut__shapes_must_fit():
    image, truth = draw_disc()
    with pytest.raises(DataError, match=r"found a mask \(79, 80\) for an image \(80, 80\)"):
        grabcut(image, truth[1:], "box")
    with pytest.raises(DataError, match="8-bit RGB"):
        grabcut(image[..., 0], truth, "box")


@st.composite
def photo_with_mask(draw: st.DrawFn) -> tuple[Image, Mask]:
    height, width = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    contrast = draw(st.sampled_from([0, 1, 20, 255]))
    image = generator.integers(0, contrast + 1, (height, width, 3), np.uint8)
    share = draw(st.sampled_from([0.0, 0.02, 0.3, 0.9, 1.0]))
    return image, (generator.random((height, width)) < share).astype(np.uint8)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    pair=photo_with_mask(),
    start_and_engine=st.sampled_from(
        [("box", "fast"), ("mask", "fast"), ("probabilities", "fast"), ("box", "opencv"), ("mask", "opencv")]
    ),
    box=st.sampled_from(["all", "largest"]),
    max_side_px=st.sampled_from([1000, 1, 7]),
    band_share=st.sampled_from([0.01, 0.2, 0.9]),
)
def test_grabcut__loses_no_mask_whatever_comes_in(pair, start_and_engine, box, max_side_px, band_share):
    (image, rough), (start, engine) = pair, start_and_engine
    config = GrabCutConfig(engine=engine, box=box, max_side_px=max_side_px, iterations=2)
    soft = cv2.blur(rough.astype(np.float32), (3, 3))
    with patch.object(grabcut_module, "BAND_SHARE", band_share):
        mask, note = grabcut(image, rough, start, soft, config)
    assert mask.shape == rough.shape
    assert mask.dtype == np.uint8
    assert mask.max() <= 1
    assert mask.any() == rough.any()
    assert (note == "empty") == (not rough.any())
    if note is not None:
        assert (mask == rough).all()


@st.composite
def large_photo_with_mask(draw: st.DrawFn) -> tuple[Image, Mask]:
    """Photos whose undecided pixels need smaller copies, long strips among them."""
    height, width = draw(st.sampled_from([(3, 9000), (9000, 3), (150, 170), (160, 400), (1, 30000)]))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    image = cv2.resize(generator.integers(0, 256, (1 + height // 9, 1 + width // 9, 3), np.uint8), (width, height))
    mask = cv2.resize(generator.integers(0, 2, (1 + height // 30, 1 + width // 30), np.uint8), (width, height))
    return image.reshape(height, width, 3), mask.reshape(height, width)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    pair=large_photo_with_mask(),
    start=st.sampled_from(["box", "mask", "probabilities"]),
    max_side_px=st.sampled_from([1000, 30_000]),
)
def test_grabcut__loses_no_mask_of_a_large_photo(pair, start, max_side_px):
    image, rough = pair
    config = GrabCutConfig(max_side_px=max_side_px, iterations=2)
    soft = cv2.blur(rough.astype(np.float32), (9, 9))
    with patch.object(grabcut_module, "BAND_SHARE", 0.9):
        mask, note = grabcut(image, rough, start, soft, config)
    assert mask.shape == rough.shape and mask.max() <= 1 and mask.any() == rough.any()
    assert note is None or (mask == rough).all()


def test_enhancer_from__each_method_does_what_it_says():
    image, truth = draw_disc()
    rough = np.roll(truth, 3, axis=1)
    boxed = enhancer_from(EnhanceConfig(method="box"), "box", 0)(image, rough)
    kept = enhancer_from(EnhanceConfig(method="none"), "box", 0)(image, rough)
    cut = enhancer_from(EnhanceConfig(method="grabcut"), "mask", 0)(image, rough)
    assert boxed.mask.sum() == 41 * 41
    assert (kept.mask == rough).all()
    assert binary_iou(cut.mask, truth) > binary_iou(kept.mask, truth)
    assert boxed.note is kept.note is cut.note is None


@pytest.mark.parametrize("method", sorted(ENHANCERS))
def test_enhancer_from__empty_and_ignored_stay_empty(method):
    image, truth = draw_disc()
    ignored = np.full_like(truth, 255)
    enhanced = enhancer_from(EnhanceConfig(method=method), "box", 0)(image, ignored)
    assert isinstance(enhanced, Enhanced)
    assert enhanced.note == "empty"
    assert not enhanced.mask.any()


def test_enhancers__are_the_methods_of_the_settings():
    assert set(ENHANCERS) == set(EnhanceConfig.methods())
