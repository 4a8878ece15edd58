"""The words the stages speak to each other: arrays, photos and what a stage must look like."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.uint8]
"""An RGB photo, shape (H, W, 3), 0 to 255, upright."""

Mask: TypeAlias = NDArray[np.uint8]
"""One class index per pixel, shape (H, W); `BACKGROUND` and `IGNORE` as below. A binary mask holds 0 and 1."""

SoftMask: TypeAlias = NDArray[np.float32]
"""How likely each pixel is foreground, shape (H, W), 0 to 1."""

Probabilities: TypeAlias = NDArray[np.float32]
"""Class probabilities, shape (C, H, W), summing to 1 over C; class 0 is background."""

BACKGROUND = 0
"""Class index of everything that is no class."""

IGNORE = 255
"""Mask value that neither trains nor counts."""

FOREGROUND_CLASSES = ("background", "foreground")
"""Classes where object is told from background and nothing else: of the foreground task, and of some true masks."""

MAX_CLASSES = 254
"""Foreground classes that fit between `BACKGROUND` and `IGNORE` in an 8-bit mask."""


@dataclass(frozen=True)
class Photo:
    """One photo of a data set and its single label.

    Attributes:
        path: Where the photo lies.
        name: ``<class folder>/<photo>``, unique in the data set, fit for a path; masks are called ``<name>.png``.
        label: Class index, 1 to C - 1.
    """

    path: Path
    name: str
    label: int


class Example(NamedTuple):
    """A photo and the soft mask that a student should give it."""

    photo: Path
    mask: Path


@dataclass(frozen=True)
class Skipped:
    """A photo that cannot be used, and why.

    Attributes:
        path: The file, as the data set names it.
        reason: One clause that a person can act on, such as ``truncated after 812 bytes``.
    """

    path: Path
    reason: str


@dataclass(frozen=True)
class Dataset:
    """Photos with one label each.

    Attributes:
        classes: Names by index; ``classes[0]`` is ``background``.
        photos: Usable photos, sorted by name.
        skipped: What was left out, sorted by path.
    """

    classes: tuple[str, ...]
    photos: tuple[Photo, ...]
    skipped: tuple[Skipped, ...] = ()


class CoarseMethod(Protocol):
    """Finds the foreground of a photo without knowing any class (stage 1)."""

    def __call__(self, image: Image) -> SoftMask: ...


class Enhanced(NamedTuple):
    """What an enhancer made of a mask.

    Attributes:
        mask: Binary, as high and wide as the photo.
        note: None where the method did its work; else what happened instead, such as
            ``kept: GrabCut found no foreground``.
    """

    mask: Mask
    note: str | None


class Enhancer(Protocol):
    """Snaps a rough mask to the edges of its image (stage 2): binary in, binary out, same height and width.

    Where scores made the mask, they come along as ``soft``, of any height and width.
    """

    def __call__(self, image: Image, mask: Mask, soft: SoftMask | None = None) -> Enhanced: ...
