"""Stage 1: find the foreground of a photo without labels. `METHODS` has one line per method.

student.py   a small network that was trained without labels
saliency.py  robust background detection
box.py       a centered box
features.py  spectral cut of self-supervised features
combined.py  the mean of student, saliency and a box after GrabCut
judge.py     compares the masks of methods without ground truth, for coarse.method = auto
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
from skimage.filters import threshold_otsu

from coarse2fine.coarse.box import centered_box
from coarse2fine.coarse.combined import MIN_SHARE, THRESHOLD, combined_from
from coarse2fine.coarse.features import features_from
from coarse2fine.coarse.saliency import saliency
from coarse2fine.config import CoarseBoxConfig, CoarseConfig, CoarseStudentConfig, Settings
from coarse2fine.errors import ConfigError
from coarse2fine.types import CoarseMethod, Mask, SoftMask

__all__ = ["METHODS", "binarize", "binarize_coarse", "centered_box", "check_method", "coarse_from", "saliency"]


def coarse_from(config: CoarseConfig) -> CoarseMethod:
    """Return the coarse method that the settings name.

    Args:
        config: ``config.method`` is a key of `METHODS`.

    Returns:
        A function from a photo to a soft mask of the same height and width.

    Raises:
        ConfigError: ``method`` is ``folder``, whose masks are read and not computed, or ``auto``, which only ``fit``
            replaces by another; or the network of ``features`` cannot be loaded.
        DataError: The weights file of the student is missing or damaged.
    """
    _refuse_auto(config)
    if config.method not in METHODS:
        raise ConfigError(
            f"coarse.method must be one of {', '.join(METHODS)} to compute masks; found '{config.method}'. "
            "The masks of the method folder are read from coarse.folder.path."
        )
    return METHODS[config.method](config.section)


def check_method(config: CoarseConfig, allows_auto: bool = False) -> None:
    """Check, before any photo is read, that the method can work.

    Args:
        config: The method and its settings.
        allows_auto: Whether the caller replaces ``auto`` by another method.

    Raises:
        ConfigError: The method is ``auto``, and the caller does not replace it.
        DataError: The weights file of the student is missing or damaged.
    """
    if not allows_auto:
        _refuse_auto(config)
    if config.uses_student:
        coarse_from(config.with_method("student"))


def _refuse_auto(config: CoarseConfig) -> None:
    if config.method == "auto":
        raise ConfigError(
            "coarse.method = auto is only for fit, which compares methods by the network of the run. Choose combined, "
            "student or saliency."
        )


def binarize(soft: SoftMask, threshold: float | Literal["otsu"] = "otsu") -> Mask:
    """Convert a soft mask to a binary mask.

    Args:
        soft: Soft mask, shape (H, W), 0 to 1.
        threshold: Pixels above it become foreground. ``otsu``: chosen for each mask (Otsu 1979, 256 bins); a mask of
            equal values is cut at 0.5, because Otsu's method cannot split it.

    Returns:
        Binary mask, shape (H, W).
    """
    foreground: Mask = (soft > (_find_otsu(soft) if threshold == "otsu" else threshold)).astype(np.uint8)
    return foreground


def binarize_coarse(soft: SoftMask, config: CoarseConfig) -> Mask:
    """Convert the soft mask of a coarse method to a binary mask, shape (H, W), with the threshold of the settings.

    For the combined methods, ``otsu`` means 0.5 (`combined.THRESHOLD`), unless almost no pixel is above it.
    """
    if config.combines_methods and config.threshold == "otsu":
        mask = binarize(soft, THRESHOLD)
        if mask.mean() >= MIN_SHARE:
            return mask
    return binarize(soft, config.threshold)


def _find_otsu(soft: SoftMask) -> float:
    return 0.5 if soft.min() == soft.max() else float(threshold_otsu(soft))


def _box_from(config: CoarseBoxConfig) -> CoarseMethod:
    return partial(centered_box, share=config.share)


def _saliency_from(config: Settings) -> CoarseMethod:
    return saliency


def _student_from(config: CoarseStudentConfig) -> CoarseMethod:
    from coarse2fine.coarse.student import Student  # importing torch takes seconds

    return Student.load(config.file)


METHODS: dict[str, Callable[[Any], CoarseMethod]] = {
    "saliency": _saliency_from,
    "box": _box_from,
    "student": _student_from,
    "features": features_from,
    "combined": combined_from,
    "combined-equal": combined_from,
}
"""For each value of ``coarse.method`` a function that makes the method, from the section of the method in
:class:`CoarseConfig` (empty settings if it has none; all settings for those that combine other methods)."""
