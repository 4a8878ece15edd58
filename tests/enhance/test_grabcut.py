from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coarse2fine.config import EnhanceConfig
from coarse2fine.enhance import ENHANCERS, enhancer_from
from coarse2fine.enhance.grabcut import Enhanced, grabcut, grabcut_with_note
from coarse2fine.errors import DataError
from coarse2fine.metrics import binary_iou
from coarse2fine.types import Image, Mask

CONFIG = EnhanceConfig()


def draw_disc(side_px: int = 80, radius_px: float = 20, centre_px: float = 40) -> tuple[Image, Mask]:
    """An orange disc with grain on blue with grain, and where it is."""
    rows, columns = np.mgrid[:side_px, :side_px]
    truth = ((rows - centre_px) ** 2 + (columns - centre_px) ** 2 <= radius_px**2).astype(np.uint8)
    colours = np.array([[40, 70, 160], [220, 130, 40]])[truth]
    grain = np.random.default_rng(0).normal(0, 12, colours.shape)
    return (colours + grain).clip(0, 255).astype(np.uint8), truth


def fill(shape: tuple[int, int], y0: int, x0: int, y1: int, x1: int) -> Mask:
    mask = np.zeros(shape, np.uint8)
    mask[y0:y1, x0:x1] = 1
    return mask


def test_grabcut__box_start_finds_the_disc():
    image, truth = draw_disc()
    rough = fill(truth.shape, 14, 14, 66, 66)
    assert binary_iou(rough, truth) < 0.5
    assert binary_iou(grabcut(image, rough, CONFIG, "box"), truth) > 0.97


def test_grabcut__mask_start_corrects_a_shifted_mask():
    image, truth = draw_disc()
    rough = np.roll(truth, 3, axis=1)
    config = EnhanceConfig(band_share=0.15)
    assert binary_iou(rough, truth) < 0.85
    assert binary_iou(grabcut(image, rough, config, "mask"), truth) > 0.97


def test_grabcut__mask_start_leaves_what_is_deeper_than_the_band():
    image, truth = draw_disc()
    _, rough = draw_disc(radius_px=26)
    _, inner = draw_disc(radius_px=22)
    ring = (inner == 1) & (truth == 0)
    narrow, wide = EnhanceConfig(band_share=0.05), EnhanceConfig(band_share=0.2)
    assert grabcut(image, rough, narrow, "mask")[ring].all()
    assert grabcut(image, rough, wide, "mask")[ring].mean() < 0.1


def test_grabcut__box_of_the_largest_component_leaves_the_rest_out():
    image, truth = draw_disc()
    rough = np.maximum(truth, fill(truth.shape, 2, 2, 6, 6))
    image[2:6, 2:6] = (220, 130, 40)
    assert grabcut(image, rough, EnhanceConfig(box="all"), "box")[2:6, 2:6].any()
    assert not grabcut(image, rough, EnhanceConfig(box="largest"), "box")[2:6, 2:6].any()


def test_grabcut__mask_over_the_whole_photo_still_separates():
    image, truth = draw_disc()
    enhanced = grabcut_with_note(image, np.ones_like(truth), CONFIG, "box")
    assert enhanced.note is None
    assert binary_iou(enhanced.mask, truth) > 0.95


def test_grabcut__ignored_pixels_are_background():
    image, truth = draw_disc()
    ignoring = np.where(truth, truth, 255).astype(np.uint8)
    assert (grabcut(image, ignoring, CONFIG, "mask") == grabcut(image, truth, CONFIG, "mask")).all()


@pytest.mark.parametrize("start", ["box", "mask"])
def test_grabcut__reduced_copy_keeps_the_mask_in_place(start):
    image, truth = draw_disc(side_px=161, radius_px=40, centre_px=75)
    rough = fill(truth.shape, 25, 25, 125, 125) if start == "box" else truth
    enhanced = grabcut(image, rough, EnhanceConfig(max_side_px=50), start)
    assert enhanced.shape == truth.shape
    assert binary_iou(enhanced, truth) > 0.95
    offset_px = np.argwhere(enhanced).mean(axis=0) - np.argwhere(truth).mean(axis=0)
    assert np.abs(offset_px).max() < 0.5


def test_grabcut__same_seed_same_mask_in_every_thread():
    image, truth = draw_disc()
    noisy = np.random.default_rng(1).integers(0, 256, image.shape, np.uint8) // 2 + image // 2
    rough = fill(truth.shape, 14, 14, 66, 66)
    with ThreadPoolExecutor(3) as threads:
        masks = list(threads.map(lambda _: grabcut(noisy, rough, CONFIG, "box", seed=2**40 + 3), range(6)))
    assert all((mask == masks[0]).all() for mask in masks)
    assert 0 < masks[0].sum() < rough.sum()


def test_grabcut__leaves_its_arguments_alone():
    image, truth = draw_disc()
    image.setflags(write=False)
    rough = np.roll(truth, 2, axis=0)
    before = rough.copy()
    rough.setflags(write=False)
    assert grabcut(image, rough, CONFIG, "mask").flags.writeable
    assert (rough == before).all()


def test_grabcut_with_note__empty_stays_empty_and_says_so():
    image, truth = draw_disc()
    enhanced = grabcut_with_note(image, np.zeros_like(truth), CONFIG, "box")
    assert enhanced.note == "empty"
    assert not enhanced.mask.any()


def test_grabcut_with_note__too_few_pixels_keeps_the_mask():
    image, truth = draw_disc()
    seed = fill(truth.shape, 30, 30, 31, 33)
    for start in ("box", "mask"):
        enhanced = grabcut_with_note(image, seed, CONFIG, start)
        assert enhanced.note == "kept: too few pixels for GrabCut"
        assert (enhanced.mask == seed).all()


def test_grabcut_with_note__object_of_the_background_s_colour_keeps_the_mask():
    image = np.random.default_rng(0).integers(90, 110, (60, 60, 3), np.uint8)
    rough = fill((60, 60), 28, 28, 32, 32)
    enhanced = grabcut_with_note(image, rough, CONFIG, "box")
    assert enhanced.note is not None
    assert enhanced.note.startswith("kept: GrabCut")
    assert (enhanced.mask == rough).all()


def test_grabcut_with_note__refusal_of_opencv_keeps_the_mask(monkeypatch):
    def refuse(*_):
        raise cv2.error("insufficient memory")

    image, truth = draw_disc()
    monkeypatch.setattr(cv2, "grabCut", refuse)
    enhanced = grabcut_with_note(image, truth, CONFIG, "mask")
    assert enhanced.note == "kept: OpenCV refused (insufficient memory)"
    assert (enhanced.mask == truth).all()


def test_grabcut__shapes_must_fit():
    image, truth = draw_disc()
    with pytest.raises(DataError, match=r"found \(79, 80\) on \(80, 80\)"):
        grabcut(image, truth[1:], CONFIG, "box")
    with pytest.raises(DataError, match="8-bit RGB"):
        grabcut(image[..., 0], truth, CONFIG, "box")


@st.composite
def photo_with_mask(draw: st.DrawFn) -> tuple[Image, Mask]:
    height, width = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    contrast = draw(st.sampled_from([0, 1, 20, 255]))
    image = generator.integers(0, contrast + 1, (height, width, 3), np.uint8)
    share = draw(st.sampled_from([0.0, 0.02, 0.3, 0.9, 1.0]))
    return image, (generator.random((height, width)) < share).astype(np.uint8)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    pair=photo_with_mask(),
    start=st.sampled_from(["box", "mask"]),
    box=st.sampled_from(["all", "largest"]),
    max_side_px=st.sampled_from([1000, 1, 7]),
    band_share=st.sampled_from([0.01, 0.2, 0.9]),
)
def test_grabcut_with_note__loses_no_mask_whatever_comes_in(pair, start, box, max_side_px, band_share):
    image, rough = pair
    config = EnhanceConfig(box=box, max_side_px=max_side_px, band_share=band_share, iterations=2)
    mask, note = grabcut_with_note(image, rough, config, start)
    assert mask.shape == rough.shape
    assert mask.dtype == np.uint8
    assert mask.max() <= 1
    assert mask.any() == rough.any()
    assert (note == "empty") == (not rough.any())
    if note is not None:
        assert (mask == rough).all()


def test_enhancer_from__each_method_does_what_it_says():
    image, truth = draw_disc()
    rough = np.roll(truth, 3, axis=1)
    boxed = enhancer_from(EnhanceConfig(method="box"), "box", 0)(image, rough)
    kept = enhancer_from(EnhanceConfig(method="none"), "box", 0)(image, rough)
    cut = enhancer_from(EnhanceConfig(method="grabcut", band_share=0.15), "mask", 0)(image, rough)
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
