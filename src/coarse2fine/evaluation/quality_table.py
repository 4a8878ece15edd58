"""Write and read the tables of estimated mask quality: ``quality.csv`` and ``quality-classes.csv``."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from coarse2fine.errors import DataError
from coarse2fine.evaluation.mask_quality import ClassQuality, Quality
from coarse2fine.runtime.files import read_csv, write_csv

TABLE = "quality.csv"
CLASS_TABLE = "quality-classes.csv"

COLUMNS = ("photo", "class", *[field.name for field in fields(Quality)][2:])
CLASS_COLUMNS = ("class", *[field.name for field in fields(ClassQuality)][1:])


def write_quality(path: Path, qualities: Sequence[Quality]) -> None:
    """Write ``quality.csv``: one row per photo, numbers with 4 decimal places, empty where a value is None."""
    write_csv(path, COLUMNS, (_format_row(quality) for quality in qualities))


def write_class_quality(path: Path, classes: Sequence[ClassQuality]) -> None:
    """Write ``quality-classes.csv``: one row per class, numbers with 4 decimal places."""
    write_csv(path, CLASS_COLUMNS, (_format_row(quality) for quality in classes))


def read_quality(path: Path) -> list[Quality]:
    """Read a ``quality.csv`` that a run wrote.

    Raises:
        DataError: The file is missing or is another table.
    """
    try:
        return [_parse_row(row) for row in read_csv(path, COLUMNS)]
    except (DataError, ValueError, TypeError, OverflowError) as error:
        raise DataError(
            f"{path} must be a quality.csv of coarse2fine with the columns {', '.join(COLUMNS)}, but cannot be read "
            f"({error}). Delete its folder; 'coarse2fine report' writes it again."
        ) from error


def read_scores(path: Path) -> dict[str, float]:
    """Read the score of every photo from any table with the columns ``photo`` and ``score``.

    Returns:
        Scores, 0 to 1, by photo; the lowest one if a photo has several rows; empty if there is no such file.

    Raises:
        DataError: A column is missing, or a score is not a number from 0 to 1.
    """
    if not path.exists():
        return {}
    scores: dict[str, float] = {}
    try:
        for row in read_csv(path, ("photo", "score")):
            score = float(row["score"])
            if not 0 <= score <= 1:
                raise ValueError(f"found {score}")
            scores[row["photo"]] = min(score, scores.get(row["photo"], 1.0))
    except (DataError, ValueError, TypeError) as error:
        raise DataError(
            f"{path} must be a CSV table with the columns photo and score, from 0 to 1, but is not ({error}); write it "
            "again."
        ) from error
    return scores


def _format_row(record: Quality | ClassQuality) -> list[object]:
    values = (getattr(record, field.name) for field in fields(record))
    return [f"{value:.4f}" if isinstance(value, float) else value for value in values]


def _parse_row(row: Mapping[str, str]) -> Quality:
    def parse(name: str) -> float:
        value = float(row[name])
        if not 0 <= value <= 1:
            raise ValueError(f"{name} of the photo {row['photo']!r} must be from 0 to 1, found {value}")
        return value

    def parse_optional(name: str) -> float | None:
        return parse(name) if row[name] else None

    if not row["photo"]:
        raise ValueError("a row names no photo")
    return Quality(
        row["photo"],
        row["class"],
        parse("score"),
        parse_optional("confidence"),
        parse_optional("previous_confidence"),
        parse("agreement_training_mask"),
        parse_optional("agreement_enhanced_mask"),
        parse("area_share"),
        int(row["pieces"]),
        parse("border_share"),
        parse_optional("agreement_linear_model"),
        parse_optional("correlation_linear_model"),
    )
