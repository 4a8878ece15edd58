"""Constrain a prediction to the label of its photo, and filter masks by their foreground share."""

from typing import Literal

import numpy as np

from coarse2fine.errors import DataError
from coarse2fine.masks.regions import foreground_mask
from coarse2fine.types import BACKGROUND, Mask, Probabilities, SoftMask

ConstrainRule = Literal["label", "pair", "foreground"]

HIGHEST_QUANTILE = 0.98
"""The rule ``foreground`` takes this quantile of a photo's foreground probabilities as its highest one. One pixel
can decide the maximum. No other value was measured."""


def constrain(probabilities: Probabilities, label: int, rule: ConstrainRule = "label", threshold: float = 0.5) -> Mask:
    """Compute the foreground of a photo from class probabilities and its label.

    Args:
        probabilities: Class probabilities, shape (C, H, W); class 0 is background.
        label: Class index of the photo, 1 to C - 1. The rule ``foreground`` gives the same mask for each label.
        rule: ``label``: the label is the most probable class (the rule of the paper); ``pair``: the label is more
            probable than background; ``foreground``: the probability of all foreground classes together is above
            ``threshold`` times its highest value in the photo (`HIGHEST_QUANTILE`), because the label says that there
            is an object. With each rule a tie is background.
        threshold: Only for the rule ``foreground``, between 0 and 1.

    Returns:
        Binary mask, shape (H, W): 1 for foreground, all of which belongs to the class of the photo.

    Raises:
        DataError: ``label`` is not a foreground class.

    Source: for the rule ``label``, the paper, section IV-D2, strategy b: keep only the pixels predicted as the class of
    the photo. The other rules are ours.
    """
    return (constrain_soft(probabilities, label, rule, threshold) > 0.5).astype(np.uint8)


def constrain_soft(
    probabilities: Probabilities, label: int, rule: ConstrainRule = "label", threshold: float = 0.5
) -> SoftMask:
    """Compute the soft mask from which :func:`constrain` keeps the pixels above 0.5.

    It is not the probability of the label. It is p / (p + q), where p and q depend on the rule:

    - ``label``: p is the probability of the label, q the highest probability of any other class, also of background.
    - ``pair``: p is the probability of the label, q that of background.
    - ``foreground``: p is (1 - t) times the probability of all foreground classes together, q is t times that of
      background, where t is ``threshold`` times the highest foreground probability of the photo. So the result is 0.5
      where the foreground has probability t.

    Args:
        probabilities: As for :func:`constrain`.
        label: As for :func:`constrain`.
        rule: As for :func:`constrain`.
        threshold: As for :func:`constrain`.

    Returns:
        Shape (H, W), 0 to 1.

    Raises:
        DataError: ``label`` is not a foreground class.
    """
    if not 1 <= label < len(probabilities):
        raise DataError(
            f"The label of a photo must be a foreground class of the network, 1 to {len(probabilities) - 1}, found "
            f"{label}; the network must be trained on the classes of this data set."
        )
    p, q = probabilities[label], probabilities[BACKGROUND]
    if rule == "label":
        q = np.delete(probabilities, label, axis=0).max(axis=0)
    elif rule == "foreground":
        foreground = 1 - q
        limit = np.float32(threshold * np.quantile(foreground, HIGHEST_QUANTILE, method="higher"))
        p, q = foreground * (1 - limit), q * limit
    soft: SoftMask = p / np.maximum(p + q, np.finfo(np.float32).tiny)
    return soft


def reason_to_leave_out(mask: Mask, min_share: float, max_share: float) -> str | None:
    """Return why a mask has too little or too much foreground to be used for training; None if it has not.

    Args:
        mask: Shape (H, W).
        min_share: Smallest foreground share of all pixels, 0 to 1.
        max_share: Largest foreground share of all pixels, 0 to 1.

    Returns:
        The reason to leave out the photo, such as ``foreground 0.4 % is below 1 %``. None if the photo is used for
        training; the limits themselves are allowed.

    Source: the paper, with the limits 1 % and 80 %.
    """
    share = float(foreground_mask(mask).mean())
    if share < min_share:
        return f"foreground {100 * share:.4g} % is below {100 * min_share:.4g} %"
    if share > max_share:
        return f"foreground {100 * share:.4g} % is above {100 * max_share:.4g} %"
    return None
