from pathlib import Path

import numpy as np
import pytest

from coarse2fine.errors import DataError
from coarse2fine.evaluation.mask_quality import (
    WORKING_PX,
    Quality,
    count_pieces,
    find_border_share,
    find_confidence,
    find_worst,
    measure_quality,
    read_quality,
    score_mask,
    shrink_mask,
    soft_iou,
    summarize_classes,
    write_class_quality,
    write_quality,
)
from coarse2fine.masks.png import mask_path, write_mask, write_soft
from coarse2fine.store.run import Run
from coarse2fine.types import Photo


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
    ],
)
def test_score_mask__is_mean_confidence_times_mean_agreement(parts, score):
    assert score_mask(*parts) == pytest.approx(score)


def test_soft_iou__by_hand():
    one, other = np.array([[1, 0.5, 0]], np.float32), np.array([[0.5, 0.5, 1]], np.float32)
    assert soft_iou(one, other) == pytest.approx(1.0 / 2.5)
    assert soft_iou(one, one) == 1
    empty = np.zeros((1, 3), np.float32)
    assert soft_iou(empty, empty) == soft_iou(one, empty) == 0


def test_find_confidence__inside_the_mask_only():
    soft, mask = np.array([[0.9, 0.1, 0.7, 0.2]], np.float32), np.array([[1, 0, 1, 0]], np.float32)
    assert find_confidence(soft, mask) == pytest.approx(0.8)
    assert find_confidence(soft, np.zeros_like(mask)) == 0
    assert find_confidence(np.full((2, 8), 0.6, np.float32), mask) == pytest.approx(0.6)


def test_shrink_mask__shares_of_foreground_and_small_ones_stay():
    mask = np.zeros((2 * WORKING_PX, 4 * WORKING_PX), np.uint8)
    mask[:, : 2 * WORKING_PX + 2], mask[0, -1] = 7, 255
    small = shrink_mask(mask)
    assert small.shape == (WORKING_PX // 2, WORKING_PX)
    assert small.mean() == pytest.approx((mask == 7).mean())
    assert small[0, 0] == 1 and small[0, WORKING_PX // 2] == 0.5 and small[0, -1] == 0
    assert shrink_mask(np.array([[0, 3, 255]], np.uint8)).tolist() == [[0, 1, 0]]


def test_count_pieces_and_border__crumbs_do_not_count():
    mask = np.zeros((30, 30), np.float32)
    mask[0:10, 0:15], mask[20:25, 20:25], mask[28, 28] = 1, 1, 1
    assert count_pieces(mask) == 2
    assert find_border_share(mask) == pytest.approx((15 + 10) / 120)
    assert count_pieces(np.zeros_like(mask)) == 0


def block(left: int, right: int, label: int = 1) -> np.ndarray:
    mask = np.zeros((8, 16), np.uint8)
    mask[:, left:right] = label
    return mask


@pytest.fixture
def round_of_masks(tmp_path) -> tuple[Run, list[Photo]]:
    """One photo whose masks halve from stage to stage, one without any foreground."""
    run = Run(tmp_path)
    photos = [Photo(tmp_path / "a.jpg", "cat/a", 1), Photo(tmp_path / "b.jpg", "dog/b", 2)]
    for folder, right in ((run.enhanced(0), 16), (run.refined(1), 8), (run.enhanced(1), 4)):
        write_mask(mask_path(folder, "cat/a"), block(0, right))
        write_mask(mask_path(folder, "dog/b"), block(0, 0))
    for photo in photos:
        write_soft(mask_path(run.scores(1), photo.name), np.full((4, 8), 0.8, np.float32))
    return run, photos


def test_measure_quality__by_hand(round_of_masks):
    run, photos = round_of_masks
    classes = ("background", "cat", "dog")
    cat, dog = measure_quality(run, photos, classes, 1, run.scores(1), {"cat/a": 0.4}, set(), set(), threads=2)
    assert (cat.photo, cat.class_name, cat.pieces) == ("cat/a", "cat", 1)
    assert (cat.agreement_taught, cat.agreement_enhanced, cat.area) == (0.5, 0.5, 0.25)
    assert cat.confidence == pytest.approx(0.8, abs=0.002) and cat.confidence_before == 0.4
    assert cat.score == pytest.approx(0.6 * 0.5, abs=0.002)
    assert (dog.score, dog.confidence, dog.area) == (0, 0, 0)


def test_measure_quality__kept_masks_and_runs_without_scores(round_of_masks):
    run, photos = round_of_masks
    classes = ("background", "cat", "dog")
    cat, _ = measure_quality(run, photos, classes, 1, None, {}, {"cat/a"}, set(), threads=1)
    assert cat.confidence is None and cat.agreement_enhanced is None
    assert cat.score == cat.agreement_taught == 0.5


def test_measure_quality__masks_that_people_corrected_score_1_and_have_no_scores(round_of_masks):
    run, photos = round_of_masks
    mask_path(run.scores(1), "cat/a").unlink()
    classes = ("background", "cat", "dog")
    cat, dog = measure_quality(run, photos, classes, 1, run.scores(1), {}, set(), {"cat/a"}, threads=1)
    assert (cat.score, cat.confidence, dog.score) == (1, None, 0)


def test_measure_quality__what_round_1_was_taught_does_not_count(round_of_masks, tmp_path):
    run, photos = round_of_masks
    write_mask(mask_path(run.enhanced(1), "cat/a"), block(0, 8))
    for folder, right in ((run.refined(2), 4), (run.enhanced(2), 4)):
        write_mask(mask_path(folder, "cat/a"), block(0, right))
    classes = ("background", "cat", "dog")
    one, two = (next(measure_quality(run, photos[:1], classes, number, None, {}, set(), set(), 1)) for number in (1, 2))
    assert (one.agreement_taught, one.agreement_enhanced, one.score) == (0.5, 1, 1)
    assert (two.agreement_taught, two.agreement_enhanced, two.score) == (0.5, 1, 0.75)


def test_measure_quality__a_missing_mask_is_named(round_of_masks):
    run, photos = round_of_masks
    path = mask_path(run.refined(1), "dog/b")
    path.unlink()
    with pytest.raises(DataError, match=r"There is no mask .*dog/b\.png"):
        list(measure_quality(run, photos, ("background", "cat", "dog"), 1, None, {}, set(), set(), threads=1))


def test_find_worst__of_every_class_its_share():
    found = [of(f"cat/{index}", index / 10) for index in range(10)]
    found += [of(f"dog/{index}", 0.01 * index, "dog") for index in range(3)]
    assert find_worst(found, 0.3) == {"cat/0", "cat/1", "cat/2"}
    assert find_worst(found, 0.34) == {"cat/0", "cat/1", "cat/2", "dog/0"}
    assert find_worst(found, 0) == set()
    assert find_worst([of("b", 0.5), of("a", 0.5)], 0.5) == {"a"}


def test_summarize_classes__mean_and_spread():
    cat, dog = summarize_classes([of("a", 0.2), of("c", 0.6), of("b", 0.9, "dog")])
    assert (cat.class_name, cat.photos, dog.photos) == ("cat", 2, 1)
    assert (cat.score, cat.spread, dog.spread) == (pytest.approx(0.4), pytest.approx(0.2), 0)


def test_write_quality__comes_back_whatever_the_names(tmp_path):
    names = ['cat/"<b>x</b>"', "cat/a,b\nc", "cat/ü 'q'\r", "cat/=1+1"]
    written = [of(name, 0.125, class_name="c,\"at'", confidence=None) for name in names]
    write_quality(tmp_path / "q.csv", written)
    assert read_quality(tmp_path / "q.csv") == written
    assert (tmp_path / "q.csv").read_bytes().startswith(b"photo,class,score,confidence,confidence_before,")
    write_class_quality(tmp_path / "c.csv", summarize_classes([of("a", 0.25)]))
    assert (tmp_path / "c.csv").read_bytes() == b"class,photos,score,spread\r\ncat,1,0.2500,0.0000\r\n"


@pytest.mark.parametrize("text", [None, "photo,score\na,1\n", "photo,class,score\na,b,none\n"])
def test_read_quality__another_table_is_one_sentence(text, tmp_path: Path):
    path = tmp_path / "quality.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=r"must be a quality\.csv of coarse2fine .* makes it again\."):
        read_quality(path)
