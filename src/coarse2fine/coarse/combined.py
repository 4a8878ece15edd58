"""Methods combined and combined-equal: the mean of student, saliency and a centered box after GrabCut.

The three make different errors: saliency relies on the border of the photo, the box on its center and GrabCut on
colors, the student on what it learned from videos.
"""

from threading import Lock

import numpy as np

from coarse2fine.coarse.box import centered_box
from coarse2fine.coarse.saliency import saliency
from coarse2fine.config import CoarseConfig, EnhanceConfig
from coarse2fine.types import CoarseMethod, Image, Mask, SoftMask

STUDENT_WEIGHTS = {"combined": 2, "combined-equal": 1}
"""Weight of the student's soft mask in each method; saliency and box have 1 each.

Mean IoU through GrabCut with weights 2 and 1: voc-animals (379 photos) .587, .562; pascal20 (338) .489, .491;
blood-cells (100) .942, .949; ECSSD (301) .611, .637 (docs/log.md, 2026-11-29).
"""

THRESHOLD = 0.5
"""Threshold of these methods if ``coarse.threshold`` is ``otsu``.

Mean IoU of ``combined`` through GrabCut with Otsu's threshold and with 0.5, 100 photos each: voc-animals .615, .621;
pascal20 .468, .498; blood-cells .942, .942; ECSSD .626, .640.
"""

MIN_SHARE = 0.01
"""If less of the photo is above `THRESHOLD`, the methods disagree, and Otsu's threshold is used after all."""


def combined_from(config: CoarseConfig) -> CoarseMethod:
    """Load the student and return the method, which all threads may call.

    Args:
        config: ``config.method`` is a key of `STUDENT_WEIGHTS`; the settings of the student and of the box are used.

    Raises:
        DataError: The weights file of the student is missing or damaged.
    """
    from coarse2fine.coarse.student import Student  # importing torch and numba takes seconds
    from coarse2fine.enhance import prepare

    student, in_use = Student.load(config.student.file), Lock()
    prepare(EnhanceConfig())

    def find_foreground(image: Image) -> SoftMask:
        with in_use:  # one photo at a time, on all cores or on the GPU; other threads cut meanwhile
            learned = student(image)
        return combine(learned, saliency(image), cut_box(image, config.box.share), STUDENT_WEIGHTS[config.method])

    return find_foreground


def cut_box(image: Image, share: float) -> Mask:
    """Return a centered box after GrabCut, shape (H, W), 0 or 1; the settings of GrabCut are the defaults.

    Args:
        image: Shape (H, W, 3).
        share: Height and width of the box as a share of those of the photo.
    """
    from coarse2fine.enhance import enhancer_from

    box = centered_box(image, share).astype(np.uint8)
    return enhancer_from(EnhanceConfig(), "box", 0)(image, box).mask


def combine(student: SoftMask, saliency: SoftMask, box_cut: Mask, student_weight: float) -> SoftMask:
    """Return the weighted mean of three masks of the same photo, shape (H, W), 0 to 1."""
    total = student_weight * student + saliency + box_cut
    mean: SoftMask = (total / (student_weight + 2)).astype(np.float32)
    return mean
