from pathlib import Path

import pytest

from coarse2fine.errors import DataError
from coarse2fine.evaluation.mask_quality import Quality, summarize_classes
from coarse2fine.evaluation.quality_table import read_quality, read_scores, write_class_quality, write_quality


def of(photo: str, score: float, class_name: str = "cat", confidence: float | None = 0.5) -> Quality:
    return Quality(photo, class_name, score, confidence, None, 0.25, None, 0.125, 2, 0.0)


def test_write_quality__reads_back_any_name(tmp_path):
    names = ['cat/"<b>x</b>"', "cat/a,b\nc", "cat/ü 'q'\r", "cat/=1+1"]
    written = [of(name, 0.125, class_name="c,\"at'", confidence=None) for name in names]
    write_quality(tmp_path / "q.csv", written)
    assert read_quality(tmp_path / "q.csv") == written
    assert (tmp_path / "q.csv").read_bytes().startswith(b"photo,class,score,confidence,previous_confidence,")
    write_class_quality(tmp_path / "c.csv", summarize_classes([of("a", 0.25)]))
    assert (tmp_path / "c.csv").read_bytes() == b"class,photos,mean_score,score_std\r\ncat,1,0.2500,0.0000\r\n"


@pytest.mark.parametrize("text", [None, "photo,score\na,1\n", "photo,class,score\na,b,none\n"])
def test_read_quality__another_table_is_an_error(text, tmp_path: Path):
    path = tmp_path / "quality.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=r"must be a quality\.csv of coarse2fine .* writes it again\."):
        read_quality(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.5, 1.5])
def test_read_quality__numbers_out_of_range_are_an_error(tmp_path: Path, value: float):
    one = of("cat/1.jpg", 0.5, confidence=value)
    write_quality(tmp_path / "quality.csv", [one])
    with pytest.raises(DataError, match=r"confidence of the photo 'cat/1\.jpg' must be from 0 to 1, found "):
        read_quality(tmp_path / "quality.csv")


@pytest.mark.parametrize(
    "text", ["photo,class\na,b\n", "photo,score\na,much\n", "photo,score\na,1.5\n", "photo,score\na\n"]
)
def test_read_scores__another_table_is_an_error(tmp_path, text):
    (tmp_path / "quality.csv").write_text(text)
    with pytest.raises(DataError, match="columns photo and score, from 0 to 1"):
        read_scores(tmp_path / "quality.csv")


def test_read_scores__the_lowest_of_several_rows(tmp_path):
    (tmp_path / "quality.csv").write_text("score,photo\n0.5,a\n0.25,a\n1,a\n")
    assert read_scores(tmp_path / "quality.csv") == {"a": 0.25}
