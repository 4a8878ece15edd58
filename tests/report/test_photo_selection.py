from pathlib import Path

from coarse2fine.evaluation.mask_quality import Quality
from coarse2fine.report.photo_selection import MAX_PICTURES, MAX_ROWS_EACH, pick_evenly, select_photos
from coarse2fine.types import Photo


def make(counts: dict[str, int]) -> tuple[list[Photo], list[str], dict[str, Quality]]:
    photos = [
        Photo(Path(f"{name}-{index}"), f"{name}/{index:03}", (label,))
        for label, (name, count) in enumerate(counts.items(), start=1)
        for index in range(count)
    ]
    classes = ["background", *counts]
    qualities = {
        one.name: Quality(one.name, classes[one.label], int(one.name[-3:]) / 100, None, None, 1.0, None, 0.1, 1, 0.0)
        for one in photos
    }
    return photos, classes, qualities


def test_pick_evenly__first_and_last():
    assert pick_evenly(range(9), 3) == [0, 4, 8]
    assert pick_evenly([1, 2], 5) == [1, 2] and pick_evenly([1, 2], 1) == [1] and pick_evenly([], 3) == []


def test_select_photos__low_and_high_scores():
    low, high = select_photos(*make({"cat": 100}), columns=5)
    assert (low.kind, high.kind, len(low.photos), len(high.photos)) == (
        "lowest scores",
        "highest scores",
        MAX_ROWS_EACH,
        MAX_ROWS_EACH,
    )
    scores = [int(photo.name[-3:]) for photo in low.photos], [int(photo.name[-3:]) for photo in high.photos]
    assert scores[0] == [0, 6, 12, 17, 23, 29] and scores[1][0] == 70 and scores[1][-1] == 99


def test_select_photos__one_photo_is_shown_once():
    selections = select_photos(*make({"cat": 1, "dog": 2}), columns=5)
    names = [photo.name for selection in selections for photo in selection.photos]
    assert sorted(names) == ["cat/000", "dog/000", "dog/001"] and len(set(names)) == 3


def test_select_photos__never_more_than_fit():
    for classes in (1, 7, 40, 254):
        selections = select_photos(*make({f"{index:03}": 9 for index in range(classes)}), columns=8)
        assert 0 < 8 * sum(len(selection.photos) for selection in selections) <= MAX_PICTURES


def test_select_photos__without_scores_examples_of_every_class():
    photos, classes, _ = make({"cat": 3, "dog": 30})
    selections = select_photos(photos, classes, {}, columns=3)
    assert [(one.class_name, one.kind, len(one.photos)) for one in selections] == [
        ("cat", "examples", 3),
        ("dog", "examples", 6),
    ]
