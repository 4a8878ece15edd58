"""The rules by which a prediction becomes a training mask, and by which a mask is filtered."""

from typing import Literal

import numpy as np

from coarse2fine.errors import DataError
from coarse2fine.masks.regions import foreground_mask
from coarse2fine.types import BACKGROUND, Mask, Probabilities, SoftMask

ConstrainRule = Literal["label", "pair", "foreground"]


def constrain(scores: Probabilities, label: int, rule: ConstrainRule = "label", threshold: float = 0.5) -> Mask:
    """Keep of a prediction only what belongs to the image's own class.

    Args:
        scores: Class probabilities, shape (C, H, W); class 0 is background.
        label: The image's class, 1 to C - 1.
        rule: ``label``: the label is the likeliest class (the paper's rule); ``pair``: the label is likelier than
            background; ``foreground``: whatever the class, foreground is likelier than ``threshold``. In all three a
            tie is background.
        threshold: For the rule ``foreground``, 0 to 1.

    Returns:
        Binary mask, shape (H, W).

    Raises:
        DataError: ``label`` is not a foreground class of ``scores``.

    Source: the paper, section IV-D2, strategy b.
    """
    return (likelihood(scores, label, rule, threshold) > 0.5).astype(np.uint8)


def likelihood(scores: Probabilities, label: int, rule: ConstrainRule = "label", threshold: float = 0.5) -> SoftMask:
    """How likely a pixel is kept by :func:`constrain`; above 0.5 it is.

    The odds of the label against its strongest rival (``label``) or against background (``pair``), or those of
    foreground (``foreground``), shifted so that they are even at ``threshold``.

    Returns:
        Shape (H, W), 0 to 1; arguments and errors are those of :func:`constrain`.
    """
    if not 1 <= label < len(scores):
        raise DataError(
            f"The label of an image must be a foreground class of its scores, 1 to {len(scores) - 1}, found {label}; "
            "the network must be trained on the classes of this data set."
        )
    own, rival = scores[label], scores[BACKGROUND]
    if rule == "label":
        rival = np.delete(scores, label, axis=0).max(axis=0)
    elif rule == "foreground":
        own, rival = (1 - rival) * np.float32(1 - threshold), rival * np.float32(threshold)
    likely: SoftMask = own / np.maximum(own + rival, np.finfo(np.float32).tiny)
    return likely


def keep_reason(mask: Mask, min_share: float, max_share: float) -> str | None:
    """Judge whether a mask is fit to train the next round.

    Args:
        mask: Shape (H, W).
        min_share: Least share of all pixels that must be foreground, 0 to 1.
        max_share: Greatest share of all pixels that may be foreground, 0 to 1.

    Returns:
        None where the image stays (the limits themselves stay), else why it goes: ``foreground 0.4 % is below 1 %``.

    Source: the paper, whose limits are 1 % and 80 %.
    """
    share = float(foreground_mask(mask).mean())
    if share < min_share:
        return f"foreground {100 * share:.4g} % is below {100 * min_share:.4g} %"
    if share > max_share:
        return f"foreground {100 * share:.4g} % is above {100 * max_share:.4g} %"
    return None
