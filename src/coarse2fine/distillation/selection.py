"""Selection of the best soft masks.

Source: Croitoru, Bogolin, Leordeanu, ICCV 2017: the score of a mask is the mean of its non-zero pixels; the best 10 to
20 % are kept.
"""

from collections.abc import Sequence

import numpy as np

from coarse2fine.types import SoftMask


def mean_nonzero(soft: SoftMask) -> float:
    """Compute the mean of the non-zero pixels of a soft mask, 0 to 1; 0 for an empty mask."""
    number = np.count_nonzero(soft)
    return float(soft.sum(dtype=np.float64)) / number if number else 0.0


def select_best(scores: Sequence[float], keep_share: float) -> list[bool]:
    """Select the best share of a collection of masks.

    Args:
        scores: Score of each mask, 0 to 1.
        keep_share: Share of all masks to keep, 0 to 1, rounded to a number of masks of at least one.

    Returns:
        For each mask whether it is kept. Of equal scores the earlier one is kept; a mask with score 0 is never kept.
    """
    number = max(1, round(keep_share * len(scores)))
    best = set(sorted(range(len(scores)), key=lambda index: -scores[index])[:number])
    return [index in best and score > 0 for index, score in enumerate(scores)]
