"""Estimate the quality of masks without ground truth: from the network's confidence and the agreement of the stages.

    score = sqrt(confidence * agreement * correlation with the linear model)
    score = confidence * agreement, without a linear model

No coefficient was fitted. docs/quality.md measures how well the score ranks masks.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, takewhile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from coarse2fine.masks.labels import foreground_of
from coarse2fine.masks.png import mask_path, read_mask, read_soft
from coarse2fine.masks.regions import foreground_mask
from coarse2fine.masks.resize import fit_size, resize_soft
from coarse2fine.runtime.threads import map_threads
from coarse2fine.store.records import read_done
from coarse2fine.store.run import Run
from coarse2fine.store.stages import is_complete
from coarse2fine.types import LABEL_SEPARATOR, Dataset, Mask, Photo, SoftMask

COMPARISON_PX = 128
"""Longer side at which masks are compared; the rank correlation with the true IoU is the same as at full size."""

MIN_PIECE_SHARE = 0.01
"""Pieces below this share of the mask's area are not counted."""


@dataclass(frozen=True)
class Quality:
    """Estimated quality of one mask after a round: one row of ``quality.csv``.

    Attributes:
        photo: Name of the photo in the run.
        class_name: Class of the photo; several ones are separated by `LABEL_SEPARATOR`.
        score: Quality score, 0 to 1, see :func:`compute_score`. Without a linear model, ``agreement_training_mask``
            does not count in round 1. A mask that a person corrected scores 1.
        confidence: Value of the round's soft mask (the soft mask of the constrained prediction) inside the refined
            mask, mean over its pixels, 0 to 1; None if the run saves no soft masks.
        previous_confidence: Confidence in the round before; None in round 1 and without soft masks.
        agreement_training_mask: IoU of the refined mask with the mask that the network was trained on, 0 to 1.
        agreement_enhanced_mask: IoU of the refined mask with the enhanced mask, 0 to 1; None if enhancement
            left the mask unchanged.
        area_share: Share of the photo that the enhanced mask covers, 0 to 1.
        pieces: Number of connected pieces of the enhanced mask, without tiny ones.
        border_share: Share of the photo's border that the enhanced mask covers, 0 to 1.
        agreement_linear_model: IoU of the refined mask with the mask of the linear model, 0 to 1; None without model.
        correlation_linear_model: Correlation of the enhanced mask with the soft mask of the linear model over its grid
            of cells, 0 to 1, 0 if negative; None without model.
    """

    photo: str
    class_name: str
    score: float
    confidence: float | None
    previous_confidence: float | None
    agreement_training_mask: float
    agreement_enhanced_mask: float | None
    area_share: float
    pieces: int
    border_share: float
    agreement_linear_model: float | None = None
    correlation_linear_model: float | None = None

    @property
    def class_names(self) -> list[str]:
        """The classes of the photo."""
        return self.class_name.split(LABEL_SEPARATOR)


@dataclass(frozen=True)
class ClassQuality:
    """Estimated quality of the masks of one class: one row of ``quality-classes.csv``.

    Attributes:
        class_name: Name of the class.
        photos: Number of photos.
        mean_score: Mean of their scores, 0 to 1.
        score_std: Standard deviation of their scores.
    """

    class_name: str
    photos: int
    mean_score: float
    score_std: float


@dataclass(frozen=True)
class RoundMasks:
    """Masks of one round, and what else their quality depends on.

    Attributes:
        number: Number of the round, from 1.
        training: Folder of the masks that the network was trained on.
        refined: Folder of the masks that the network predicted, constrained to the labels.
        enhanced: Folder of the refined masks after enhancement.
        soft_masks: Folder of the soft masks of the constrained predictions; None if the run saves none.
        previous_confidence: Confidence in the round before, by name of the photo; empty in round 1.
        linear: Folder of the soft masks of the linear model; None if the round has none.
        not_enhanced: Names of photos whose masks enhancement left unchanged.
        is_enhanced: Whether masks were enhanced in this round at all.
        corrected: Names of photos whose masks a person corrected.
    """

    number: int
    training: Path
    refined: Path
    enhanced: Path
    soft_masks: Path | None = None
    previous_confidence: Mapping[str, float | None] = field(default_factory=dict)
    linear: Path | None = None
    not_enhanced: Container[str] = ()
    is_enhanced: bool = True
    corrected: Container[str] = ()


def measure_quality(masks: RoundMasks, dataset: Dataset, threads: int) -> Iterator[Quality]:
    """Measure the quality of the masks of a round without ground truth.

    Each file is decoded once, and memory does not grow with the number of photos. Photos without a label, whose masks
    are empty, are not measured. The classes in a mask of a photo with several labels are compared as one foreground.

    Args:
        masks: Complete masks of the round.
        dataset: Photos to measure, and class names.
        threads: Number of threads that read and compare.

    Yields:
        One record per photo with a label, in order.

    Raises:
        DataError: A mask is missing or damaged.
    """
    return map_threads(
        lambda photo: _measure_photo(masks, photo, dataset.class_names_of(photo)), dataset.labeled, threads
    )


def _measure_photo(masks: RoundMasks, photo: Photo, class_name: str) -> Quality:
    training, refined, enhanced = (
        shrink_mask(foreground_of(read_mask(mask_path(folder, photo.name)), photo.labels))
        for folder in (masks.training, masks.refined, masks.enhanced)
    )
    is_corrected = photo.name in masks.corrected
    confidence = None
    if masks.soft_masks and not is_corrected:
        confidence = measure_confidence(read_soft(mask_path(masks.soft_masks, photo.name)), refined)
    confidences = confidence, masks.previous_confidence.get(photo.name)
    with_training = measure_agreement(training, refined)
    is_unchanged = not masks.is_enhanced or photo.name in masks.not_enhanced
    with_enhanced = None if is_unchanged else measure_agreement(refined, enhanced)
    with_model = correlation = None
    if is_corrected:
        score = 1.0
    elif masks.linear:
        soft = read_soft(mask_path(masks.linear, photo.name))
        with_model = measure_agreement(refined, (resize_soft(soft, *refined.shape) > 0.5).astype(np.float32))
        correlation = measure_correlation(enhanced, soft)
        counted = 0.0 if is_unchanged and masks.is_enhanced else with_enhanced
        score = compute_score(*confidences, with_training, counted, with_model, correlation)
    else:
        # The training masks of round 1 are enhanced coarse masks, on which the network should improve.
        counted = None if masks.number == 1 and with_enhanced is not None else with_training
        score = compute_score(*confidences, counted, with_enhanced)
    return Quality(
        photo.name,
        class_name,
        score,
        *confidences,
        agreement_training_mask=with_training,
        agreement_enhanced_mask=with_enhanced,
        area_share=float(enhanced.mean()),
        pieces=count_pieces(enhanced),
        border_share=measure_border_share(enhanced),
        agreement_linear_model=with_model,
        correlation_linear_model=correlation,
    )


def compute_score(
    confidence: float | None,
    previous_confidence: float | None,
    agreement_training_mask: float | None,
    agreement_enhanced_mask: float | None,
    agreement_linear_model: float | None = None,
    correlation_linear_model: float | None = None,
) -> float:
    """Compute the quality score of a mask: mean confidence times mean agreement.

    With a linear model, it is the square root of both and the correlation with the model. The root changes no order; it
    makes the score about as large as the IoU.

    Args:
        confidence: Confidence of the round, 0 to 1; None if unknown.
        previous_confidence: Confidence of the round before, 0 to 1; None if unknown.
        agreement_training_mask: IoU of the refined mask with its training mask; None if it must not count.
        agreement_enhanced_mask: IoU of the refined mask with the enhanced mask; None if it must not count. At least one
            agreement is known. With a linear model, it is 0 if enhancement failed and left the mask unchanged.
        agreement_linear_model: IoU of the refined mask with the mask of the linear model; None without model.
        correlation_linear_model: Correlation of the enhanced mask with the linear model, 0 to 1; None without model.

    Returns:
        Score, 0 to 1; the mean agreement if no confidence is known.
    """
    score = _mean([agreement_training_mask, agreement_enhanced_mask, agreement_linear_model])
    if (confidence, previous_confidence) != (None, None):
        score *= _mean([confidence, previous_confidence])
    return score if correlation_linear_model is None else (score * correlation_linear_model) ** 0.5


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known)


def shrink_mask(mask: Mask) -> SoftMask:
    """Shrink a mask to a longer side of at most `COMPARISON_PX`.

    Returns:
        Share of foreground in each cell, shape (h, w), 0 to 1.
    """
    return resize_soft(foreground_mask(mask).astype(np.float32), *fit_size(mask.shape, COMPARISON_PX))


def measure_agreement(one: SoftMask, other: SoftMask) -> float:
    """Compute the IoU of two soft masks: sum of minima over sum of maxima.

    Args:
        one: Shape (h, w), 0 to 1.
        other: Mask of the same photo, resized to (h, w) if its size differs.

    Returns:
        IoU, 0 to 1; 0 if both masks are empty, because an empty mask is never a good one.
    """
    other = resize_soft(other, *one.shape)
    union = float(np.maximum(one, other).sum())
    return float(np.minimum(one, other).sum()) / union if union else 0.0


def measure_correlation(mask: SoftMask, soft: SoftMask) -> float:
    """Compute the correlation (Pearson) of a mask with a soft mask over the cells of the soft mask.

    Args:
        mask: Shape (H, W), 0 to 1.
        soft: Soft mask of the same photo, shape (h, w).

    Returns:
        0 to 1; 0 if it is negative, or if one of the two is constant.
    """
    cells = resize_soft(mask, *soft.shape)
    if np.ptp(cells) == 0 or np.ptp(soft) == 0:
        return 0.0
    return max(0.0, float(np.corrcoef(cells.ravel(), soft.ravel())[0, 1]))


def measure_confidence(soft: SoftMask, mask: SoftMask) -> float:
    """Compute the mean value of a soft mask inside a mask.

    Args:
        soft: Soft mask of the constrained prediction (:func:`~coarse2fine.masks.constraint.constrain_soft`), any size.
        mask: Share of the mask in each cell, shape (h, w), 0 to 1.

    Returns:
        Mean value, 0 to 1; 0 if the mask is empty.
    """
    total = float(mask.sum())
    return float((resize_soft(soft, *mask.shape) * mask).sum()) / total if total else 0.0


def count_pieces(mask: SoftMask) -> int:
    """Count the 8-connected pieces of a mask that have at least `MIN_PIECE_SHARE` of its area."""
    binary = (mask > 0.5).astype(np.uint8)
    areas = cv2.connectedComponentsWithStats(binary, connectivity=8)[2][1:, cv2.CC_STAT_AREA]
    return int(np.count_nonzero(areas >= MIN_PIECE_SHARE * binary.sum()))


def measure_border_share(mask: SoftMask) -> float:
    """Compute the share of the photo's border that a mask covers, 0 to 1."""
    border: NDArray[np.float32] = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    return float(border.mean())


def summarize_classes(qualities: Sequence[Quality]) -> list[ClassQuality]:
    """Compute mean and standard deviation of the scores of each class that has photos, sorted by class name.

    A photo of several classes counts in each of them.
    """
    summaries = []
    for name, group in sorted(group_by_class(qualities).items()):
        scores = [quality.score for quality in group]
        summaries.append(ClassQuality(name, len(scores), float(np.mean(scores)), float(np.std(scores))))
    return summaries


def group_by_class(qualities: Sequence[Quality]) -> dict[str, list[Quality]]:
    """Group qualities by class name, each group sorted from the lowest score to the highest, then by photo name.

    A photo of several classes is in each of their groups.
    """
    groups: dict[str, list[Quality]] = {}
    for quality in sorted(qualities, key=lambda quality: (quality.score, quality.photo)):
        for name in quality.class_names:
            groups.setdefault(name, []).append(quality)
    return groups


def list_rounds(run: Run) -> list[int]:
    """List the rounds with complete enhanced masks, in order."""
    return list(takewhile(lambda number: is_complete(run.enhanced(number)), count(1)))


def list_unmeasured_rounds(run: Run) -> list[int]:
    """List the rounds with complete enhanced masks but without quality tables for these masks."""

    def is_measured(number: int) -> bool:
        masks, quality = read_done(run.enhanced(number)), read_done(run.quality(number))
        return bool(quality) and quality.get("inputs", [])[:1] == [masks["key"]]

    return [number for number in list_rounds(run) if not is_measured(number)]
