from dataclasses import replace

import numpy as np
import pytest

from coarse2fine.errors import DataError
from coarse2fine.evaluation.mask_quality import (
    COMPARISON_PX,
    Quality,
    RoundMasks,
    compute_score,
    count_pieces,
    measure_agreement,
    measure_border_share,
    measure_confidence,
    measure_correlation,
    measure_quality,
    shrink_mask,
    summarize_classes,
)
from coarse2fine.masks.png import mask_path, read_mask, write_mask, write_soft
from coarse2fine.store.run import Run
from coarse2fine.types import Dataset, Photo


def of(photo: str, score: float, class_name: str = "cat", confidence: float | None = 0.5) -> Quality:
    return Quality(photo, class_name, score, confidence, None, 0.25, None, 0.125, 2, 0.0)


@pytest.mark.parametrize(
    "parts, score",
    [
        ((0.8, 0.6, 0.5, 0.7), 0.7 * 0.6),
        ((0.8, None, 0.5, 0.7), 0.8 * 0.6),
        ((0.8, 0.6, 0.5, None), 0.7 * 0.5),
        ((None, None, 0.5, 0.7), 0.6),
        ((0.8, None, None, 0.7), 0.8 * 0.7),
        ((0.0, 0.0, 0.0, 0.0), 0.0),
        ((1.0, 1.0, 1.0, 1.0), 1.0),
        ((0.8, 0.6, 0.5, 0.7, 0.3, 0.25), (0.7 * 0.5 * 0.25) ** 0.5),
        ((0.8, 0.6, 0.5, 0.7, 0.3, 0.0), 0.0),
    ],
)
def test_compute_score__is_mean_confidence_times_mean_agreement(parts, score):
    assert compute_score(*parts) == pytest.approx(score)


def test_measure_agreement__by_hand():
    one, other = np.array([[1, 0.5, 0]], np.float32), np.array([[0.5, 0.5, 1]], np.float32)
    assert measure_agreement(one, other) == pytest.approx(1.0 / 2.5)
    assert measure_agreement(one, one) == 1
    empty = np.zeros((1, 3), np.float32)
    assert measure_agreement(empty, empty) == measure_agreement(one, empty) == 0


def test_measure_confidence__inside_the_mask_only():
    soft, mask = np.array([[0.9, 0.1, 0.7, 0.2]], np.float32), np.array([[1, 0, 1, 0]], np.float32)
    assert measure_confidence(soft, mask) == pytest.approx(0.8)
    assert measure_confidence(soft, np.zeros_like(mask)) == 0
    assert measure_confidence(np.full((2, 8), 0.6, np.float32), mask) == pytest.approx(0.6)


def test_shrink_mask__shares_of_foreground_and_small_ones_stay():
    mask = np.zeros((2 * COMPARISON_PX, 4 * COMPARISON_PX), np.uint8)
    mask[:, : 2 * COMPARISON_PX + 2], mask[0, -1] = 7, 255
    small = shrink_mask(mask)
    assert small.shape == (COMPARISON_PX // 2, COMPARISON_PX)
    assert small.mean() == pytest.approx((mask == 7).mean())
    assert small[0, 0] == 1 and small[0, COMPARISON_PX // 2] == 0.5 and small[0, -1] == 0
    assert shrink_mask(np.array([[0, 3, 255]], np.uint8)).tolist() == [[0, 1, 0]]


def test_count_pieces_and_border__tiny_pieces_do_not_count():
    mask = np.zeros((30, 30), np.float32)
    mask[0:10, 0:15], mask[20:25, 20:25], mask[28, 28] = 1, 1, 1
    assert count_pieces(mask) == 2
    assert measure_border_share(mask) == pytest.approx((15 + 10) / 120)
    assert count_pieces(np.zeros_like(mask)) == 0


def block(left: int, right: int, label: int = 1) -> np.ndarray:
    mask = np.zeros((8, 16), np.uint8)
    mask[:, left:right] = label
    return mask


CLASSES = ("background", "cat", "dog")


def masks_of(run: Run, number: int, **known) -> RoundMasks:
    return RoundMasks(number, run.enhanced(number - 1), run.refined(number), run.enhanced(number), **known)


@pytest.fixture
def round_of_masks(tmp_path) -> tuple[Run, list[Photo]]:
    """One photo whose masks halve from stage to stage, one without any foreground."""
    run = Run(tmp_path)
    photos = [Photo(tmp_path / "a.jpg", "cat/a", (1,)), Photo(tmp_path / "b.jpg", "dog/b", (2,))]
    for folder, right in ((run.enhanced(0), 16), (run.refined(1), 8), (run.enhanced(1), 4)):
        write_mask(mask_path(folder, "cat/a"), block(0, right))
        write_mask(mask_path(folder, "dog/b"), block(0, 0))
    for photo in photos:
        write_soft(mask_path(run.soft_masks(1), photo.name), np.full((4, 8), 0.8, np.float32))
    return run, photos


def test_measure_quality__by_hand(round_of_masks):
    run, photos = round_of_masks
    masks = masks_of(run, 1, soft_masks=run.soft_masks(1), previous_confidence={"cat/a": 0.4})
    cat, dog = measure_quality(masks, Dataset(CLASSES, tuple(photos)), threads=2)
    assert (cat.photo, cat.class_name, cat.pieces) == ("cat/a", "cat", 1)
    assert (cat.agreement_training_mask, cat.agreement_enhanced_mask, cat.area_share) == (0.5, 0.5, 0.25)
    assert cat.confidence == pytest.approx(0.8, abs=0.002) and cat.previous_confidence == 0.4
    assert cat.score == pytest.approx(0.6 * 0.5, abs=0.002)
    assert (dog.score, dog.confidence, dog.area_share) == (0, 0, 0)


def test_measure_quality__masks_not_enhanced_and_runs_without_probabilities(round_of_masks):
    run, photos = round_of_masks
    cat, _ = measure_quality(masks_of(run, 1, not_enhanced={"cat/a"}), Dataset(CLASSES, tuple(photos)), threads=1)
    assert cat.confidence is None and cat.agreement_enhanced_mask is None
    assert cat.score == cat.agreement_training_mask == 0.5


def test_measure_quality__corrected_masks_score_1_and_need_no_probabilities(round_of_masks):
    run, photos = round_of_masks
    mask_path(run.soft_masks(1), "cat/a").unlink()
    masks = masks_of(run, 1, soft_masks=run.soft_masks(1), corrected={"cat/a"})
    cat, dog = measure_quality(masks, Dataset(CLASSES, tuple(photos)), threads=1)
    assert (cat.score, cat.confidence, dog.score) == (1, None, 0)


def test_measure_quality__the_correlation_with_a_linear_model_counts_too(round_of_masks):
    run, photos = round_of_masks
    soft = np.array([[0.9, 0.2], [0.4, 0.1]], np.float32)
    write_soft(mask_path(run.linear(1), "cat/a"), soft)
    write_soft(mask_path(run.linear(1), "dog/b"), np.zeros((1, 2), np.float32))
    masks = masks_of(run, 1, soft_masks=run.soft_masks(1), linear=run.linear(1))
    cat, dog = measure_quality(masks, Dataset(CLASSES, tuple(photos)), threads=1)
    cells = read_mask(mask_path(run.enhanced(1), "cat/a")).astype(float)
    cells = cells.reshape(2, cells.shape[0] // 2, 2, -1).mean(axis=(1, 3))  # each cell is a quarter of the photo
    expected = max(0.0, np.corrcoef(cells.ravel(), soft.ravel())[0, 1])
    assert cat.correlation_linear_model == pytest.approx(expected, abs=0.01) and expected > 0.1
    with_model = cat.agreement_linear_model
    assert with_model is not None and 0 < with_model < 1
    assert cat.score == pytest.approx((0.8 * (0.5 + 0.5 + with_model) / 3 * expected) ** 0.5, abs=0.01)
    assert (dog.score, dog.agreement_linear_model, dog.correlation_linear_model) == (0, 0, 0)
    corrected, _ = measure_quality(replace(masks, corrected={"cat/a"}), Dataset(CLASSES, tuple(photos)), threads=1)
    assert (corrected.score, corrected.agreement_linear_model, corrected.correlation_linear_model) == (1, None, None)
    failed, _ = measure_quality(replace(masks, not_enhanced={"cat/a"}), Dataset(CLASSES, tuple(photos)), threads=1)
    assert failed.agreement_enhanced_mask is None
    assert failed.score == pytest.approx((0.8 * (0.5 + 0.0 + with_model) / 3 * expected) ** 0.5, abs=0.01)
    never, _ = measure_quality(replace(masks, is_enhanced=False), Dataset(CLASSES, tuple(photos)), threads=1)
    assert never.score == pytest.approx((0.8 * (0.5 + with_model) / 2 * expected) ** 0.5, abs=0.01)


def test_measure_correlation__by_hand():
    mask = np.array([[1, 1, 0, 0]], np.float32)
    assert measure_correlation(mask, mask) == pytest.approx(1)
    assert measure_correlation(mask, np.array([[0.2, 0.2, 0.8, 0.8]], np.float32)) == 0
    assert measure_correlation(mask, np.array([[1, 0]], np.float32)) == pytest.approx(1)
    assert measure_correlation(mask, np.array([[0.3, 0.3]], np.float32)) == 0
    assert measure_correlation(np.zeros((1, 4), np.float32), mask) == 0


def test_measure_quality__the_training_masks_of_round_1_do_not_count(round_of_masks, tmp_path):
    run, photos = round_of_masks
    write_mask(mask_path(run.enhanced(1), "cat/a"), block(0, 8))
    for folder, right in ((run.refined(2), 4), (run.enhanced(2), 4)):
        write_mask(mask_path(folder, "cat/a"), block(0, right))
    one, two = (
        next(measure_quality(masks_of(run, number), Dataset(CLASSES, tuple(photos[:1])), threads=1))
        for number in (1, 2)
    )
    assert (one.agreement_training_mask, one.agreement_enhanced_mask, one.score) == (0.5, 1, 1)
    assert (two.agreement_training_mask, two.agreement_enhanced_mask, two.score) == (0.5, 1, 0.75)


def test_measure_quality__a_missing_mask_is_named(round_of_masks):
    run, photos = round_of_masks
    path = mask_path(run.refined(1), "dog/b")
    path.unlink()
    with pytest.raises(DataError, match=r"There is no mask .*dog/b\.png"):
        list(measure_quality(masks_of(run, 1), Dataset(CLASSES, tuple(photos)), threads=1))


def test_summarize_classes__mean_and_standard_deviation():
    cat, dog = summarize_classes([of("a", 0.2), of("c", 0.6), of("b", 0.9, "dog")])
    assert (cat.class_name, cat.photos, dog.photos) == ("cat", 2, 1)
    assert (cat.mean_score, cat.score_std, dog.score_std) == (pytest.approx(0.4), pytest.approx(0.2), 0)


def test_summarize_classes__a_photo_of_several_classes_counts_in_each():
    cat, dog = summarize_classes([of("a", 0.4), of("b", 0.8, "cat|dog")])
    assert (cat.class_name, cat.photos, cat.mean_score) == ("cat", 2, pytest.approx(0.6))
    assert (dog.class_name, dog.photos, dog.mean_score) == ("dog", 1, 0.8)


def test_measure_quality__leaves_out_negatives_and_counts_unknown_classes_as_foreground(tmp_path):
    run, both = Run(tmp_path), Photo(tmp_path / "a.jpg", "a", (1, 2))
    masks = {run.enhanced(0): [[0, 255, 255]], run.refined(1): [[0, 1, 2]], run.enhanced(1): [[0, 1, 2]]}
    for folder, mask in masks.items():
        write_mask(mask_path(folder, "a"), np.array(mask, np.uint8))
    dataset = Dataset(("background", "cat", "dog"), (both, Photo(tmp_path / "n.jpg", "n", ())))
    round_1 = RoundMasks(1, run.enhanced(0), run.refined(1), run.enhanced(1))
    (quality,) = measure_quality(round_1, dataset, threads=1)
    assert (quality.class_name, quality.agreement_training_mask, quality.score) == ("cat|dog", 1, 1)
