"""Probabilities drawn in batches, as on a GPU, against one by one, as on the CPU; both are computed on the CPU here."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from PIL import Image

from coarse2fine.config import PredictCrfConfig
from coarse2fine.errors import DataError
from coarse2fine.inference.crf_refinement import draw_files
from coarse2fine.inference.segmenter import Segmenter
from coarse2fine.types import Probabilities

SIZES = ((40, 30), (30, 40), (1, 1), (64, 48), (40, 30), (9, 33), (40, 30))  # width, height


@dataclass(frozen=True)
class Watched(Segmenter):
    """Knows two classes; remembers how many photos are drawn at once."""

    batches: bool
    crf: PredictCrfConfig = field(default_factory=lambda: PredictCrfConfig(on=True, steps=3, max_side_px=48))
    classes: tuple[str, ...] = ("background", "a")
    seen: list[int] = field(default_factory=list)

    def probabilities(self, batch, shape):
        raise NotImplementedError

    @property
    def draws_in_batches(self) -> bool:
        return self.batches

    def snap_many(self, photos):
        self.seen.append(len(photos))
        return super().snap_many(photos)


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for number, (width, height) in enumerate(SIZES):
        image = np.full((height, width, 3), rng.integers(0, 120, 3), np.uint8)
        image[:, width // 3 :] += 100
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    return [tmp_path / f"{number}.png" for number in range(len(SIZES))]


def score_some(count: int = len(SIZES)) -> Iterator[tuple[int, Probabilities]]:
    """The photos in another order, each with a rough idea of its right side; the last one is all background."""
    for index in range(count)[::-1]:
        likely = np.where(np.arange(8) > index % 5, 0.7, 0.3).astype(np.float32) * (index < count - 1)
        yield index, np.stack([1 - likely, likely])[:, None].repeat(6, axis=1)


def test_draw_files__in_batches_like_one_by_one(photos):
    alone, together = Watched(False), Watched(True)
    ones = list(draw_files(alone, score_some(), photos, 3, 2))
    assert alone.seen == []
    many = list(draw_files(together, score_some(), photos, 3, 2))
    assert together.seen == [3, 3, 1]
    changed = 0
    for one, other, (index, scores) in zip(ones, many, score_some(), strict=True):
        assert one.index == other.index == index
        assert (one.scores == scores).all() and (other.scores == scores).all()
        assert np.abs(one.snap() - other.snap()).max() < 1e-6
        mask, width, height = one.label(SIZES[index][::-1]), *SIZES[index]
        assert mask.shape == (height, width) and (mask == other.label((height, width, 3))).all()
        changed += not np.array_equal(one.snap().round(3), scores.round(3))
    assert changed == len(SIZES)
    assert set(alone.seen) == {1}


def test_draw_files__a_batch_larger_than_all_and_no_photo_at_all(photos):
    scorer = Watched(True)
    assert len(list(draw_files(scorer, score_some(), photos, 100, 1))) == len(SIZES)
    assert scorer.seen == [len(SIZES)]
    assert list(draw_files(scorer, iter(()), photos, 3, 2)) == []


@pytest.mark.parametrize("batches", [False, True])
def test_draw_files__takes_no_more_scores_than_it_needs(batches, photos):
    taken = []

    def score_for_ever():
        while True:
            taken.append(1)
            yield 0, next(score_some(1))[1]

    drawn = draw_files(Watched(batches), score_for_ever(), photos, 2, 2)
    for _ in range(5):
        next(drawn)
    assert len(taken) <= 5 + 2 + 2 * 2
    drawn.close()


@pytest.mark.parametrize("batches", [False, True])
def test_draw_files__a_photo_that_went_bad_is_named(batches, photos):
    photos[2].write_text("no photo any more")
    with pytest.raises(DataError, match=r"2\.png: not an image"):
        [drawn.snap() for drawn in draw_files(Watched(batches), score_some(), photos, 2, 2)]


def test_draws_in_batches__only_a_crf_on_a_gpu(monkeypatch):
    for kind, batches in (("cpu", False), ("cuda", True)):
        monkeypatch.setattr(Segmenter, "crf_device", torch.device(kind))
        assert Segmenter.draws_in_batches.fget(Watched(False)) == batches
        off = Watched(False, PredictCrfConfig(on=False))
        assert not Segmenter.draws_in_batches.fget(off)
    monkeypatch.setattr(Segmenter, "crf_device", None)
    assert not Segmenter.draws_in_batches.fget(Watched(False))
