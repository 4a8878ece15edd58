"""Stage 1: where the foreground of a photo probably is, without any label. A method is one line in `METHODS`."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
from skimage.filters import threshold_otsu

from coarse2fine.coarse.box import centered_box
from coarse2fine.coarse.features import features_from
from coarse2fine.coarse.saliency import saliency
from coarse2fine.config import CoarseConfig
from coarse2fine.errors import ConfigError
from coarse2fine.types import CoarseMethod, Mask, SoftMask

__all__ = ["METHODS", "binarize", "centered_box", "check_method", "coarse_from", "saliency"]


def coarse_from(config: CoarseConfig) -> CoarseMethod:
    """Make the coarse method that the settings name.

    Args:
        config: Its ``method`` chooses from `METHODS`.

    Returns:
        A call from photo to soft mask of the same height and width.

    Raises:
        ConfigError: ``method`` is ``folder``: such masks are read, not computed. Or it is ``features``, and its network
            cannot be had.
    """
    if config.method not in METHODS:
        raise ConfigError(
            f"coarse.method must be one of {', '.join(METHODS)} to compute masks; found '{config.method}', "
            "whose masks are read from coarse.folder instead."
        )
    return METHODS[config.method](config)


def check_method(config: CoarseConfig) -> None:
    """Find out before any photo is touched whether the method can work.

    Raises:
        DataError: The student's file is missing or holds something else.
    """
    if config.method == "student":
        coarse_from(config)


def binarize(soft: SoftMask, threshold: float | Literal["otsu"] = "otsu") -> Mask:
    """Cut a soft mask into foreground and background.

    Args:
        soft: Shape (H, W), 0 to 1.
        threshold: Foreground is what lies above it; ``otsu`` chooses it per mask (Otsu 1979, 256 bins). Values all
            alike cannot be split by Otsu's rule: 0.5 is the threshold then, so that an all-zero mask stays empty and
            an all-one mask stays full.

    Returns:
        Binary mask, shape (H, W).
    """
    foreground: Mask = (soft > (_find_otsu(soft) if threshold == "otsu" else threshold)).astype(np.uint8)
    return foreground


def _find_otsu(soft: SoftMask) -> float:
    return 0.5 if soft.min() == soft.max() else float(threshold_otsu(soft))


def _box_from(config: CoarseConfig) -> CoarseMethod:
    return partial(centered_box, share=config.box_share)


def _saliency_from(config: CoarseConfig) -> CoarseMethod:
    return partial(saliency, max_side_px=config.max_side_px)


def _student_from(config: CoarseConfig) -> CoarseMethod:
    from coarse2fine.coarse.student import Student

    return Student.load(config.student_file)


METHODS: dict[str, Callable[[CoarseConfig], CoarseMethod]] = {
    "saliency": _saliency_from,
    "box": _box_from,
    "student": _student_from,
    "features": features_from,
}
