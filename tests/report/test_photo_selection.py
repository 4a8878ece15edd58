from pathlib import Path

from coarse2fine.evaluation.mask_quality import Quality
from coarse2fine.report.photo_selection import EACH, PICTURES, pick_evenly, pick_samples
from coarse2fine.types import Photo


def make(counts: dict[str, int]) -> tuple[list[Photo], list[str], dict[str, Quality]]:
    photos = [
        Photo(Path(f"{name}-{index}"), f"{name}/{index:03}", label)
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


def test_pick_samples__doubtful_from_below_good_from_above():
    doubtful, good = pick_samples(*make({"cat": 100}), columns=5)
    assert (doubtful.kind, good.kind, len(doubtful.photos), len(good.photos)) == ("doubtful", "good", EACH, EACH)
    scores = [int(photo.name[-3:]) for photo in doubtful.photos], [int(photo.name[-3:]) for photo in good.photos]
    assert scores[0] == [0, 6, 12, 17, 23, 29] and scores[1][0] == 70 and scores[1][-1] == 99


def test_pick_samples__one_photo_is_shown_once():
    samples = pick_samples(*make({"cat": 1, "dog": 2}), columns=5)
    names = [photo.name for sample in samples for photo in sample.photos]
    assert sorted(names) == ["cat/000", "dog/000", "dog/001"] and len(set(names)) == 3


def test_pick_samples__never_more_than_fit():
    for classes in (1, 7, 40, 254):
        samples = pick_samples(*make({f"{index:03}": 9 for index in range(classes)}), columns=8)
        assert 0 < 8 * sum(len(sample.photos) for sample in samples) <= PICTURES


def test_pick_samples__without_quality_some_of_every_class():
    photos, classes, _ = make({"cat": 3, "dog": 30})
    samples = pick_samples(photos, classes, {}, columns=3)
    assert [(one.class_name, one.kind, len(one.photos)) for one in samples] == [("cat", "some", 3), ("dog", "some", 6)]
