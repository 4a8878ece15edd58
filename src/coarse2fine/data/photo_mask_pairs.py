"""Photos with their ground-truth masks, as public data sets provide them."""

from dataclasses import dataclass
from pathlib import Path

from coarse2fine.errors import DataError
from coarse2fine.types import FOREGROUND_CLASSES


@dataclass(frozen=True)
class Pairs:
    """Photos with their ground-truth masks.

    Attributes:
        title: Name of the data set and its part, for reports.
        names: Names of the photos, distinct; predicted masks are called ``<name>.png``.
        photos: Photo files, one per name.
        masks: Ground-truth mask files, one per name.
        classes: Class names by index of the masks; None: the same indices as in the run; `FOREGROUND_CLASSES`: every
            value except background is foreground.
        remark: A note for the reader of the metrics; None: no note.
    """

    title: str
    names: tuple[str, ...]
    photos: tuple[Path, ...]
    masks: tuple[Path, ...]
    classes: tuple[str, ...] | None = None
    remark: str | None = None

    @property
    def knows_foreground_only(self) -> bool:
        """Whether the masks distinguish only foreground and background."""
        return self.classes == FOREGROUND_CLASSES


def read_lines(file: Path) -> list[str]:
    """Read the lines of a text file that are not blank.

    Raises:
        DataError: The file cannot be read, or has no such line.
    """
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The list {file} cannot be read ({error}).") from error
    if not any(lines):
        raise DataError(f"The list {file} must name one photo per line, but is empty.")
    return [line for line in lines if line]
