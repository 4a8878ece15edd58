"""How far a mask can be trusted, told without any truth: how sure its network was, and how much its makers agree.

    score = confidence * agreement

No coefficient in it was fitted; what it predicts is measured in docs/quality.md.
"""

import csv
import io
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import count, takewhile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from coarse2fine.errors import DataError
from coarse2fine.masks.png import mask_path, read_mask, read_soft
from coarse2fine.masks.regions import foreground_mask
from coarse2fine.masks.resize import resize_soft
from coarse2fine.runtime.files import read_json, write_text
from coarse2fine.runtime.threads import map_threads
from coarse2fine.store.run import Run
from coarse2fine.types import Mask, Photo, SoftMask

TABLE, CLASS_TABLE = "quality.csv", "quality-classes.csv"
"""Names of the tables: per photo, per class."""

WORKING_PX = 128
"""Longer side at which masks are compared; the rank correlation with the true IoU is the same as at full size."""

MIN_PIECE_SHARE = 0.01
"""Smaller pieces of a mask, as a share of its area, are not counted."""


@dataclass(frozen=True)
class Quality:
    """What a run knows about one mask after a round.

    Attributes:
        photo: The run's name of the photo.
        class_name: Its class.
        score: How far the mask can be trusted, 0 to 1: confidence times the mean of the two agreements; in round 1
            times the second.
        confidence: How likely the label is inside the network's mask, mean over its pixels, 0 to 1; None where the run
            keeps no scores.
        confidence_before: The same in the round before; None in round 1 and without scores.
        agreement_taught: IoU of the network's mask with the mask that it was taught for this photo.
        agreement_enhanced: IoU of the network's mask with what enhancement made of it; None where enhancement kept the
            mask as it was.
        area: Share of the photo that the enhanced mask covers.
        pieces: Pieces of the enhanced mask that are not tiny.
        border: Share of the photo's border that the enhanced mask covers.
    """

    photo: str
    class_name: str
    score: float
    confidence: float | None
    confidence_before: float | None
    agreement_taught: float
    agreement_enhanced: float | None
    area: float
    pieces: int
    border: float


COLUMNS = ("photo", "class", *[field.name for field in fields(Quality)][2:])
CLASS_COLUMNS = ("class", "photos", "score", "spread")


@dataclass(frozen=True)
class ClassQuality:
    """Quality of the masks of one class.

    Attributes:
        class_name: Its name.
        photos: How many.
        score: Mean of their scores, 0 to 1.
        spread: Standard deviation of their scores.
    """

    class_name: str
    photos: int
    score: float
    spread: float


def score_mask(
    confidence: float | None,
    confidence_before: float | None,
    agreement_taught: float | None,
    agreement_enhanced: float | None,
) -> float:
    """Combine what is known about a mask.

    Args:
        confidence: Of the round, 0 to 1; None where there are no scores: agreement alone counts.
        confidence_before: Of the round before, 0 to 1; None: that of the round alone counts.
        agreement_taught: IoU of what the network was taught with what it found; None where that should not count.
        agreement_enhanced: IoU of what the network found with what enhancement made of it; None where it kept it. One
            of the two is known.

    Returns:
        Mean confidence times mean agreement, 0 to 1.
    """
    agreement = _mean([agreement_taught, agreement_enhanced])
    confident = (confidence, confidence_before) != (None, None)
    return agreement * _mean([confidence, confidence_before]) if confident else agreement


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known)


def measure_quality(
    run: Run,
    photos: Sequence[Photo],
    classes: Sequence[str],
    number: int,
    scores: Path | None,
    before: Mapping[str, float | None],
    kept: Container[str],
    corrected: Container[str],
    threads: int,
) -> Iterator[Quality]:
    """Judge the masks of a round; each file is decoded once, and memory does not grow with the number of photos.

    Args:
        run: Where the masks lie; those of round ``number`` are all there.
        photos: Whose masks to judge.
        classes: Names by index.
        number: The round, from 1.
        scores: Where the network's scores of the round lie; none where the run kept none.
        before: Confidence in the round before, by name; empty in round 1.
        kept: Names of photos whose masks enhancement kept as they were.
        corrected: Names of photos whose masks people corrected: these score 1.
        threads: For reading and comparing.

    Yields:
        One for each photo, in order.

    Raises:
        DataError: A mask is missing or damaged.
    """

    def judge(photo: Photo) -> Quality:
        taught, refined, enhanced = (
            shrink_mask(read_mask(mask_path(folder, photo.name)))
            for folder in (run.enhanced(number - 1), run.refined(number), run.enhanced(number))
        )
        soft = read_soft(mask_path(scores, photo.name)) if scores and photo.name not in corrected else None
        confidence = None if soft is None else find_confidence(soft, refined)
        sure = (confidence, before.get(photo.name))
        agreements = soft_iou(taught, refined), None if photo.name in kept else soft_iou(refined, enhanced)
        if photo.name in corrected:
            score = 1.0
        elif number == 1 and agreements[1] is not None:  # it was taught coarse masks, and is meant to leave them behind
            score = score_mask(*sure, None, agreements[1])
        else:
            score = score_mask(*sure, *agreements)
        area, pieces, border = float(enhanced.mean()), count_pieces(enhanced), find_border_share(enhanced)
        return Quality(photo.name, classes[photo.label], score, *sure, *agreements, area, pieces, border)

    return map_threads(judge, photos, threads)


def shrink_mask(mask: Mask) -> SoftMask:
    """The share of foreground in each cell of a mask brought to `WORKING_PX`, shape (h, w), 0 to 1."""
    factor = min(1.0, WORKING_PX / max(mask.shape))
    height, width = (max(1, round(side * factor)) for side in mask.shape)
    return resize_soft(foreground_mask(mask).astype(np.float32), height, width)


def soft_iou(one: SoftMask, other: SoftMask) -> float:
    """How well two masks agree, by their shares of foreground: sum of minima over sum of maxima.

    Args:
        one: Shape (h, w), 0 to 1.
        other: The same shape; another size of the same photo is brought to it.

    Returns:
        0 to 1; 0 where both are empty: an empty mask is nothing to agree on.
    """
    other = resize_soft(other, *one.shape)
    union = float(np.maximum(one, other).sum())
    return float(np.minimum(one, other).sum()) / union if union else 0.0


def find_confidence(soft: SoftMask, mask: SoftMask) -> float:
    """How likely the label is inside a mask, mean over its pixels, 0 to 1; 0 where the mask is empty.

    Args:
        soft: How likely each pixel is the label's, any size.
        mask: Share of the mask in each cell, shape (h, w).
    """
    total = float(mask.sum())
    return float((resize_soft(soft, *mask.shape) * mask).sum()) / total if total else 0.0


def count_pieces(mask: SoftMask) -> int:
    """Number of 8-connected pieces of at least `MIN_PIECE_SHARE` of the mask."""
    binary = (mask > 0.5).astype(np.uint8)
    areas = cv2.connectedComponentsWithStats(binary, connectivity=8)[2][1:, cv2.CC_STAT_AREA]
    return int(np.count_nonzero(areas >= MIN_PIECE_SHARE * binary.sum()))


def find_border_share(mask: SoftMask) -> float:
    """Share of the photo's border that is mask, 0 to 1."""
    border: NDArray[np.float32] = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    return float(border.mean())


def summarize_classes(qualities: Sequence[Quality]) -> list[ClassQuality]:
    """Mean and spread of the scores of each class that has photos, classes by name."""
    found = []
    for name, group in sorted(group_by_class(qualities).items()):
        scores = [one.score for one in group]
        found.append(ClassQuality(name, len(scores), float(np.mean(scores)), float(np.std(scores))))
    return found


def group_by_class(qualities: Sequence[Quality]) -> dict[str, list[Quality]]:
    """Qualities by the class of their photo, each group from the lowest score to the highest; ties by name."""
    groups: dict[str, list[Quality]] = {}
    for one in sorted(qualities, key=lambda one: (one.score, one.photo)):
        groups.setdefault(one.class_name, []).append(one)
    return groups


def find_worst(qualities: Sequence[Quality], share: float) -> set[str]:
    """Names of the photos with the lowest scores of each class.

    Args:
        qualities: Of all photos.
        share: Of each class, 0 to below 1, rounded down: of three photos a share of 0.3 is none.

    Returns:
        Ties go to the name that comes first.
    """
    groups = group_by_class(qualities).values()
    return {one.photo for group in groups for one in group[: int(share * len(group) + 1e-9)]}


def write_quality(path: Path, qualities: Sequence[Quality]) -> None:
    """Write ``quality.csv``: one line for each photo, its parts after its score."""
    values = ([getattr(one, field.name) for field in fields(Quality)] for one in qualities)
    _write_csv(path, COLUMNS, values)


def write_class_quality(path: Path, classes: Sequence[ClassQuality]) -> None:
    """Write ``quality-classes.csv``: one line for each class."""
    _write_csv(path, CLASS_COLUMNS, ([one.class_name, one.photos, one.score, one.spread] for one in classes))


def read_quality(path: Path) -> list[Quality]:
    """Read what :func:`write_quality` wrote.

    Raises:
        DataError: The file is missing, or another table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [_parse(row) for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} must be a quality.csv of coarse2fine with the columns {', '.join(COLUMNS)}, but cannot be read "
            f"({error}); remove its folder, and 'coarse2fine report' makes it again."
        ) from error


def list_rounds(run: Run) -> list[int]:
    """Rounds whose masks are all there."""
    return list(takewhile(lambda number: (run.enhanced(number) / "done.json").exists(), count(1)))


def list_unjudged(run: Run) -> list[int]:
    """Rounds whose masks are all there and were not judged as they are now: those of an older version, as a rule."""

    def is_judged(number: int) -> bool:
        masks, quality = run.enhanced(number) / "done.json", run.quality(number) / "done.json"
        return quality.exists() and read_json(quality)["inputs"][0] == read_json(masks)["key"]

    return [number for number in list_rounds(run) if not is_judged(number)]


def _parse(row: Mapping[str, str]) -> Quality:
    def maybe(name: str) -> float | None:
        return float(row[name]) if row[name] else None

    return Quality(
        row["photo"],
        row["class"],
        float(row["score"]),
        maybe("confidence"),
        maybe("confidence_before"),
        float(row["agreement_taught"]),
        maybe("agreement_enhanced"),
        float(row["area"]),
        int(row["pieces"]),
        float(row["border"]),
    )


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text)  # ends lines as RFC 4180 does, and so quotes a name that holds either of its characters
    writer.writerow(columns)
    for row in rows:
        writer.writerow([f"{value:.4f}" if isinstance(value, float) else value for value in row])  # None: empty
    write_text(path, text.getvalue())
