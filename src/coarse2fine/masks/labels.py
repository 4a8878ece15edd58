"""Masks of photos with no, one or several labels: which pixels are foreground, and which class each of them has.

A mask made without a network does not tell the classes of a photo with several labels apart. Its foreground is
`IGNORE`: object, but of unknown class. The next training neither learns such a pixel nor learns it as background.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from coarse2fine.masks.constraint import ConstrainRule, constrain_soft
from coarse2fine.masks.regions import foreground_mask
from coarse2fine.masks.resize import resize_soft
from coarse2fine.types import BACKGROUND, IGNORE, Mask, Probabilities, SoftMask


def foreground_of(mask: Mask, labels: Sequence[int]) -> Mask:
    """Convert the mask of a photo to a binary mask; with several labels, `IGNORE` is foreground of unknown class.

    Args:
        mask: Class indices, shape (H, W).
        labels: Class indices of the photo.

    Returns:
        Binary mask, shape (H, W).
    """
    return (mask != BACKGROUND).astype(np.uint8) if len(labels) > 1 else foreground_mask(mask)


def paint_foreground(binary: Mask, labels: Sequence[int]) -> Mask:
    """Give the foreground of a binary mask the class of its photo, or `IGNORE` if the photo has several labels.

    Args:
        binary: Binary mask, shape (H, W).
        labels: Class indices of the photo; without any, the result is background.

    Returns:
        Class indices, shape (H, W).
    """
    value = IGNORE if len(labels) > 1 else labels[0] if labels else BACKGROUND
    return binary * np.uint8(value)


def constrain_to_labels(
    probabilities: Probabilities, labels: Sequence[int], rule: ConstrainRule, threshold: float
) -> SoftMask:
    """Compute the soft mask of a photo's foreground by :func:`~coarse2fine.masks.constraint.constrain_soft`.

    Several labels count as one class. Its probability is the highest of theirs for the rule ``label``, so that the most
    probable class decides, and the sum of theirs for the other rules.

    Args:
        probabilities: Class probabilities, shape (C, H, W); class 0 is background.
        labels: Class indices of the photo, at least one.
        rule: As for ``constrain_soft``.
        threshold: As for ``constrain_soft``.

    Returns:
        Shape (H, W), 0 to 1; foreground is above 0.5.

    Raises:
        DataError: A label is not a foreground class.
    """
    if len(labels) == 1 or max(labels) >= len(probabilities):
        return constrain_soft(probabilities, max(labels), rule, threshold)
    own = probabilities[list(labels)]
    together = own.max(axis=0) if rule == "label" else own.sum(axis=0)
    others = np.delete(probabilities, list(labels), axis=0)
    return constrain_soft(np.concatenate([others, together[np.newaxis]]), len(others), rule, threshold)


def assign_most_probable(binary: Mask, probabilities: Probabilities, labels: Sequence[int]) -> Mask:
    """Give every foreground pixel the most probable of the photo's classes.

    Args:
        binary: Binary mask, shape (H, W).
        probabilities: Class probabilities, shape (C, h, w), of any size.
        labels: Class indices of the photo, at least one; of equally probable ones the first is chosen.

    Returns:
        Class indices, shape (H, W).
    """
    if len(labels) == 1:
        return paint_foreground(binary, labels)
    own = [resize_soft(probabilities[label], *binary.shape) for label in labels]
    chosen: Mask = np.array(labels, np.uint8)[np.argmax(own, axis=0)]
    return chosen * binary


def assign_nearest(binary: Mask, mask: Mask, labels: Sequence[int]) -> Mask:
    """Give every foreground pixel the class of the nearest foreground pixel of another mask of the same photo.

    Args:
        binary: Binary mask, shape (H, W).
        mask: Class indices, shape (H, W). For a photo with several labels `IGNORE` is foreground of unknown class, and
            is passed on as such.
        labels: Class indices of the photo.

    Returns:
        Class indices, shape (H, W).
    """
    if len(labels) < 2 or not (mask != BACKGROUND).any():
        return paint_foreground(binary, labels)
    empty = (mask == BACKGROUND).astype(np.uint8)
    # Each pixel gets the number of its nearest foreground pixel; the distance is that of a 5 x 5 chamfer mask.
    _, nearest = cv2.distanceTransformWithLabels(empty, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    values = np.zeros(int(nearest.max()) + 1, np.uint8)
    values[nearest[empty == 0]] = mask[empty == 0]
    return values[nearest] * binary
