"""Which soft masks of a teacher are worth learning from.

Source: Croitoru, Bogolin, Leordeanu, ICCV 2017: a mask's score is the mean of its non-zero pixels; the best 10 to 20 %
stay.
"""

from collections.abc import Sequence

import numpy as np

from coarse2fine.types import SoftMask


def score_mask(soft: SoftMask) -> float:
    """Average the non-zero pixels of a soft mask: 0 to 1, and 0 for an empty one."""
    number = np.count_nonzero(soft)
    return float(soft.sum(dtype=np.float64)) / number if number else 0.0


def select(scores: Sequence[float], keep_share: float) -> list[bool]:
    """Choose the best share of a collection.

    Args:
        scores: Of all masks of the collection, 0 to 1.
        keep_share: Share of all masks that stays, 0 to 1, rounded to a whole number of masks, but at least one.

    Returns:
        For each mask whether it stays. Of equal scores the earlier one is better; an empty mask (0) never stays.
    """
    number = max(1, round(keep_share * len(scores)))
    best = set(sorted(range(len(scores)), key=lambda index: -scores[index])[:number])
    return [index in best and score > 0 for index, score in enumerate(scores)]
