"""Types that the parts of the package share: arrays, records of photos, and the signatures of stage 1 and 2."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.uint8]
"""An upright RGB image, shape (H, W, 3), 0 to 255."""

Mask: TypeAlias = NDArray[np.uint8]
"""One class index per pixel, shape (H, W), with `BACKGROUND` and `IGNORE`. A binary mask has the values 0 and 1."""

SoftMask: TypeAlias = NDArray[np.float32]
"""Foreground probability per pixel, shape (H, W), 0 to 1."""

Probabilities: TypeAlias = NDArray[np.float32]
"""Class probabilities, shape (C, H, W), with sum 1 over C; class 0 is background."""

BACKGROUND = 0
"""Class index of pixels that belong to no class."""

IGNORE = 255
"""Mask value of pixels that are used neither in training nor in measuring."""

FOREGROUND_CLASSES = ("background", "foreground")
"""Class names if objects are only distinguished from background: of the foreground task, and of some data sets."""

LABEL_SEPARATOR = "|"
"""Separates class names where a photo with several labels is written as text, such as ``cat|person``."""

MAX_CLASSES = 254
"""Number of foreground classes that fit between `BACKGROUND` and `IGNORE` in an 8-bit mask."""


@dataclass(frozen=True)
class Photo:
    """A photo of a data set and its labels.

    Attributes:
        path: The file.
        name: ``<class folder>/<photo>``, unique in the data set and valid as a path; its mask is ``<name>.png``.
        labels: Class indices, 1 to C - 1, ascending: the classes that the photo shows. Usually one. Empty for a
            negative: a photo without any of the classes, which trains as background only.
        stamp: Size, times and a hash of the content of the file, as recorded in the run folder; None if not recorded.
    """

    path: Path
    name: str
    labels: tuple[int, ...]
    stamp: str | None = field(default=None, compare=False)

    @property
    def label(self) -> int | None:
        """The class index of all foreground of the photo; None if the photo has no label or several."""
        return self.labels[0] if len(self.labels) == 1 else None


class Example(NamedTuple):
    """A photo file and the file of the soft mask that a student learns to predict for it."""

    photo: Path
    mask: Path


@dataclass(frozen=True)
class Skipped:
    """A photo that cannot be used, and the reason.

    Attributes:
        path: The file, as the data set names it.
        reason: One clause, such as ``truncated after 812 bytes``.
    """

    path: Path
    reason: str


@dataclass(frozen=True)
class Dataset:
    """Photos with their labels.

    Attributes:
        classes: Class names by index; ``classes[0]`` is ``background``.
        photos: Usable photos, sorted by name, including negatives.
        skipped: Files that cannot be used, sorted by path.
    """

    classes: tuple[str, ...]
    photos: tuple[Photo, ...]
    skipped: tuple[Skipped, ...] = ()

    @property
    def labeled(self) -> tuple[Photo, ...]:
        """The photos with at least one label."""
        return tuple(photo for photo in self.photos if photo.labels)

    @property
    def negatives(self) -> tuple[Photo, ...]:
        """The photos without a label, which train as background only."""
        return tuple(photo for photo in self.photos if not photo.labels)

    def class_names_of(self, photo: Photo) -> str:
        """Return the class names of a photo, separated by `LABEL_SEPARATOR`; ``background`` for a negative."""
        return LABEL_SEPARATOR.join(self.classes[label] for label in photo.labels or (BACKGROUND,))


class CoarseMethod(Protocol):
    """A method of stage 1: computes the soft foreground mask of an image without its label."""

    def __call__(self, image: Image) -> SoftMask: ...


class Enhanced(NamedTuple):
    """Result of an enhancer.

    Attributes:
        mask: Binary, with the height and width of the photo.
        note: None if the method worked; else a note of what happened instead, such as
            ``unchanged: GrabCut found no foreground``.
    """

    mask: Mask
    note: str | None


class Enhancer(Protocol):
    """A method of stage 2: moves the contour of a binary mask to the edges of its image.

    ``soft`` is the soft mask from which the mask was made, if there is one, of any height and width.
    """

    def __call__(self, image: Image, mask: Mask, soft: SoftMask | None = None) -> Enhanced: ...
