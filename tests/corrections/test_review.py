"""Decisions of the review app in a whole run: what fit applies, repeats, and leaves unchanged."""

import shutil
import threading

import numpy as np
import pytest

import coarse2fine
from coarse2fine.corrections.review import (
    REJECTED,
    Review,
    apply_review_decisions,
    decisions_path,
    list_rejected,
    read_decisions,
)
from coarse2fine.errors import DataError
from coarse2fine.masks.png import encode_mask, mask_path, read_mask, write_mask
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.files import read_json, write_text
from coarse2fine.store.photos import read_photos
from coarse2fine.store.run import Run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fresh(settings, data, tmp_path_factory) -> Run:
    return coarse2fine.fit(data, tmp_path_factory.mktemp("runs") / "run", settings())


@pytest.fixture
def run(fresh, tmp_path) -> Run:
    return Run(shutil.copytree(fresh.root, tmp_path / "run"))


def done_again(said: str) -> list[str]:
    return [line.split(": run again")[0] for line in said.splitlines() if ": run again" in line]


def test_fit__leaves_out_what_is_rejected_and_does_only_training_again(settings, run, data, capsys):
    name = read_photos(run).photos[3].name
    Review(run.review).keep(name, "rejected", "round-2")
    coarse2fine.fit(data, run.root, settings(), quiet=False)
    said = capsys.readouterr().out
    assert "coarse masks: already done" in said and "\nenhancement: already done" in said
    assert done_again(said)[:2] == ["round 1: training", "round 1: refined masks"]
    for number in (1, 2):
        assert read_json(run.round(number) / "filter.json")[name] == REJECTED
        assert read_json(run.training(number) / "done.json")["photos"] < 12
    assert read_json(run.filter_file(0))[name] == REJECTED
    assert read_json(run.training(1) / "done.json")["photos"] == 11
    coarse2fine.fit(data, run.root, settings(), quiet=False)
    assert not done_again(capsys.readouterr().out)


def test_fit__a_rejected_photo_that_is_accepted_comes_back(settings, run, data):
    name = read_photos(run).photos[3].name
    review = Review(run.review)
    review.keep(name, "rejected", "round-2")
    coarse2fine.fit(data, run.root, settings())
    accepted = mask_path(run.enhanced(2), name).read_bytes()
    review.keep(name, "accepted", "round-2", accepted)
    coarse2fine.fit(data, run.root, settings())
    assert read_json(run.training(1) / "done.json")["photos"] == 12
    assert read_json(run.round(2) / "filter.json")[name] is None
    assert mask_path(run.corrected, name).read_bytes() == accepted
    folders = (run.coarse, *map(run.enhanced, range(3)), run.refined(1), run.refined(2))
    assert all(mask_path(folder, name).read_bytes() == accepted for folder in folders)


def test_fit__a_fixed_mask_stays_until_it_is_taken_back(settings, run, data):
    name, drawn = read_photos(run).photos[0].name, np.zeros((48, 48), np.uint8)
    drawn[3:9], drawn[20:30] = 2, 1
    before = read_mask(mask_path(run.coarse, name))
    review = Review(run.review)
    review.keep(name, "fixed", "round-1", encode_mask(drawn))
    coarse2fine.fit(data, run.root, settings())
    assert np.array_equal(read_mask(mask_path(run.enhanced(2), name)), drawn)
    review.take_back(name)
    coarse2fine.fit(data, run.root, settings())
    assert not mask_path(run.corrected, name).exists()
    assert np.array_equal(read_mask(mask_path(run.coarse, name)), before)


def test_apply_review_decisions__only_what_came_from_review_leaves(run):
    photos, quiet = read_photos(run).photos, Console(quiet=True)
    review, mask = Review(run.review), np.ones((48, 48), np.uint8)
    write_mask(mask_path(run.corrected, photos[5].name), mask)  # imported by --start-from
    for photo in photos[:2]:
        review.keep(photo.name, "accepted", "coarse", encode_mask(mask))
    apply_review_decisions(run.review, photos, run.corrected, quiet)
    newer = mask * 2
    write_mask(mask_path(run.corrected, photos[0].name), newer)  # imported later
    apply_review_decisions(run.review, photos, run.corrected, quiet)
    assert np.array_equal(read_mask(mask_path(run.corrected, photos[0].name)), newer)
    for photo in photos[:2]:
        review.take_back(photo.name)
    review.keep(photos[4].name, "rejected", "coarse")
    apply_review_decisions(run.review, photos, run.corrected, quiet)
    left = [photo.name for photo in photos if mask_path(run.corrected, photo.name).exists()]
    assert left == [photos[0].name, photos[5].name]
    assert list_rejected(photos, run.corrected) == [photos[4].name]


def test_apply_review_decisions__without_review_writes_nothing(run):
    apply_review_decisions(run.review, read_photos(run).photos, run.corrected, Console(quiet=True))
    assert not run.corrected.exists()


def test_apply_review_decisions__what_is_damaged_or_too_large_is_one_sentence(run):
    photos, quiet = read_photos(run).photos, Console(quiet=True)
    Review(run.review).keep(photos[0].name, "fixed", "", encode_mask(np.ones((9, 9), np.uint8)))
    with pytest.raises(DataError, match="must have the size of its photo"):
        apply_review_decisions(run.review, photos, run.corrected, quiet)
    write_text(decisions_path(run.review), '{"cat/a": {"decision": "perhaps"}}')
    with pytest.raises(DataError, match=r"must hold decisions .* cat/a -> decision"):
        Review(run.review)


def test_keep__where_nothing_can_be_written_the_earlier_decision_holds(tmp_path, monkeypatch):
    review = Review(tmp_path / "review")
    review.keep("cat/a", "rejected", "coarse")

    def fail(*_arguments):
        raise DataError("full")

    with monkeypatch.context() as patch:
        patch.setattr("coarse2fine.corrections.review.write_json", fail)
        with pytest.raises(DataError, match="full"):
            review.take_back("cat/a")
    assert review.decided["cat/a"].decision == "rejected"
    assert read_decisions(review.folder) == dict(review.decided)


def test_fit__does_not_mind_decisions_made_while_it_works(settings, run, data, monkeypatch):
    """All decisions change while a round is trained. This fit does not see the change; the next one applies it."""
    photos, review = read_photos(run).photos, Review(run.review)
    mask = encode_mask(np.ones((48, 48), np.uint8))
    review.keep(photos[0].name, "fixed", "", mask)
    train, turned = coarse2fine.pipeline.train_stage.train, threading.Event()

    def train_and_decide(*arguments):
        if not turned.is_set():
            turned.set()
            review.take_back(photos[0].name)
            review.keep(photos[1].name, "fixed", "", mask)
            review.keep(photos[2].name, "rejected", "")
        return train(*arguments)

    monkeypatch.setattr("coarse2fine.pipeline.train_stage.train", train_and_decide)
    coarse2fine.fit(data, run.root, settings())
    assert turned.is_set() and (read_mask(mask_path(run.enhanced(2), photos[0].name)) == 1).all()
    assert read_json(run.round(2) / "filter.json")[photos[2].name] is None
    coarse2fine.fit(data, run.root, settings())
    assert (read_mask(mask_path(run.enhanced(2), photos[1].name)) == 1).all()
    assert read_json(run.round(2) / "filter.json")[photos[2].name] == REJECTED
    assert not mask_path(run.corrected, photos[0].name).exists()
