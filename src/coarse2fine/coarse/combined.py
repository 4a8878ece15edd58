"""Method combined: the weighted mean of the soft masks of student and saliency, and of a centered box after GrabCut.

The three make different errors: saliency relies on the border of the photo, the box on its center and GrabCut on
colors, the student on what it learned from videos.
"""

from threading import Lock

import numpy as np

from coarse2fine.coarse.box import centered_box
from coarse2fine.coarse.saliency import saliency
from coarse2fine.config import CoarseConfig, EnhanceConfig
from coarse2fine.enhance import enhancer_from, prepare
from coarse2fine.types import CoarseMethod, Image, Mask, SoftMask

STUDENT_WEIGHT = 2
"""Weight of the student's soft mask; saliency and box have 1 each.

Measured with weights 1 and 2 (docs/log.md, 2026-11-29).
"""


def combined_from(config: CoarseConfig) -> CoarseMethod:
    """Load the student and return the method, which all threads may call.

    Args:
        config: The settings of the student and of the box are used.

    Raises:
        DataError: The weights file of the student is missing or damaged.
    """
    from coarse2fine.coarse.student import Student  # importing torch takes seconds

    student, in_use = Student.load(config.student.file), Lock()
    prepare(EnhanceConfig())

    def find_foreground(image: Image) -> SoftMask:
        with in_use:  # one photo at a time, on all cores or on the GPU; other threads cut meanwhile
            learned = student(image)
        return combine(learned, saliency(image), cut_box(image, config.box.share))

    return find_foreground


def cut_box(image: Image, share: float) -> Mask:
    """Return a centered box after GrabCut, shape (H, W), 0 or 1; the settings of GrabCut are the defaults.

    Args:
        image: Shape (H, W, 3).
        share: Height and width of the box as a share of those of the photo.
    """
    box = centered_box(image, share).astype(np.uint8)
    return enhancer_from(EnhanceConfig(), "box", 0)(image, box).mask


def combine(student: SoftMask, saliency: SoftMask, box_cut: Mask) -> SoftMask:
    """Return the weighted mean of three masks of the same photo, shape (H, W), 0 to 1."""
    total = STUDENT_WEIGHT * student + saliency + box_cut
    mean: SoftMask = (total / (STUDENT_WEIGHT + 2)).astype(np.float32)
    return mean
