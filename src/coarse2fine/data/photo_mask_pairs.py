"""Photos and their true masks as public data sets give them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image

from coarse2fine.errors import DataError
from coarse2fine.runtime.pixel_limit import lift_pixel_limit
from coarse2fine.types import FOREGROUND_CLASSES, Mask


@dataclass(frozen=True)
class Pairs:
    """Photos with their true masks.

    Attributes:
        title: Data set and part, for people.
        names: Of the photos, distinct; predicted masks are called ``<name>.png``.
        photos: Files, one per name.
        masks: Files of the true masks, one per name.
        classes: What the values of the masks mean, by index; None: the indices are the run's own;
            `FOREGROUND_CLASSES`: whatever is not background is foreground.
        remark: What a reader of the figures should know; None: nothing.
    """

    title: str
    names: tuple[str, ...]
    photos: tuple[Path, ...]
    masks: tuple[Path, ...]
    classes: tuple[str, ...] | None = None
    remark: str | None = None

    @property
    def knows_foreground_only(self) -> bool:
        """Whether the masks tell object from background and nothing else."""
        return self.classes == FOREGROUND_CLASSES


def read_foreground(path: Path) -> Mask:
    """Read a true mask that knows only object and background, whatever its kind of picture.

    Args:
        path: Palette PNG: index 0 is background; other pictures: black is background, transparency does not count.

    Returns:
        Binary mask, shape (H, W). White (255) is the object here, not a pixel to ignore.

    Raises:
        DataError: The file is missing or damaged.
    """
    try:
        with lift_pixel_limit(), PIL.Image.open(path) as image:
            image.load()
            values = np.asarray(image if image.mode in ("1", "L", "P", "I", "I;16") else image.convert("RGB"))
    except FileNotFoundError as error:
        raise DataError(f"There is no true mask {path}.") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"The true mask {path} cannot be read ({error}).") from error
    bright = np.any(values != 0, axis=tuple(range(2, values.ndim)))  # over colors, where there are any
    return np.asarray(bright, dtype=np.uint8)


def read_lines(file: Path) -> list[str]:
    """The lines of a list that are not blank.

    Raises:
        DataError: The file cannot be read, or has none.
    """
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The list {file} cannot be read ({error}).") from error
    if not any(lines):
        raise DataError(f"The list {file} must hold one photo a line, but is empty.")
    return [line for line in lines if line]
