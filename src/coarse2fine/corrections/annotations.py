"""Annotations of labeling tools, and the masks that they describe."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from coarse2fine.corrections.photo_names import shorten
from coarse2fine.errors import DataError
from coarse2fine.types import Mask

MAX_TEXT = 1 << 26
"""Length of the text that describes one photo in an export, at most. Noise in a photo of 8 megapixels needs as much."""

MAX_REGIONS = 10_000
"""Number of regions of one photo, at most."""

_MAX_COORDINATE_PX = 1e6
_LABELS_SHOWN = 20


class Drawing(NamedTuple):
    """The pixels of one region.

    Attributes:
        top: Row of the photo where ``binary`` begins.
        left: Column of the photo where ``binary`` begins.
        binary: Binary mask, shape (h, w); it lies within the photo.
    """

    top: int
    left: int
    binary: Mask


class AnnotatedRegion(NamedTuple):
    """One region that a person drew.

    Attributes:
        label: Name of its label in the tool.
        size: Height and width of the photo as the tool stores them with the region.
        draw: Computes the pixels. Call it only after ``size`` was compared with the photo: the memory that it needs is
            proportional to ``size``. It raises a DataError for a region that cannot be drawn.
    """

    label: str
    size: tuple[int, int]
    draw: Callable[[], Drawing]


class AnnotatedPhoto(NamedTuple):
    """All regions of one photo.

    Attributes:
        photo: Name, path or address of the photo in the tool.
        regions: From bottom to top; where regions overlap, the later one counts.
        size: Height and width of the photo as the tool stores them. None if it does not store them.
    """

    photo: str
    regions: Sequence[AnnotatedRegion]
    size: tuple[int, int] | None


def rasterize_polygon(corners: Sequence[tuple[float, float]], height: int, width: int) -> Drawing:
    """Compute the pixels whose center lies in a polygon; where it overlaps itself, the even-odd rule decides.

    A center on the edge belongs to the polygon on its right, or below, so that adjacent polygons share no pixel.

    Args:
        corners: x and y in pixels; the center of the first pixel is (0.5, 0.5).
        height: Height of the photo.
        width: Width of the photo.

    Returns:
        The pixels within the rows of the polygon.

    Raises:
        DataError: A coordinate is not finite or far outside of the photo, or the polygon has too many edges.
    """
    points = np.array(corners, np.float64).reshape(-1, 2) - 0.5
    if not (np.abs(points) <= _MAX_COORDINATE_PX).all():
        raise DataError(
            f"the corners of a polygon must be finite numbers up to {_MAX_COORDINATE_PX:.0f} pixels; draw it again."
        )
    (x0, y0), (x1, y1) = points.T, np.roll(points, -1, axis=0).T
    first, last = (np.clip(np.ceil(pick(y0, y1)), 0, height).astype(np.int64) for pick in (np.minimum, np.maximum))
    rows = last - first  # whose centers an edge crosses
    crossings = int(rows.sum())
    if crossings > max(height * width, MAX_REGIONS):
        raise DataError(
            f"the edges of a polygon must cross at most {height * width} rows in a photo of {width} x {height} pixels, "
            f"but they cross {crossings}; draw it with fewer corners."
        )
    if not crossings:
        return Drawing(0, 0, np.zeros((0, 0), np.uint8))
    edge = np.repeat(np.arange(len(rows), dtype=np.int32), rows)
    row = np.arange(crossings) - np.repeat(np.cumsum(rows) - rows - first, rows)
    x = x0[edge] + (row - y0[edge]) / (y1[edge] - y0[edge]) * (x1[edge] - x0[edge])
    column = np.clip(np.ceil(x), 0, width).astype(np.int64)
    top, bottom = int(row.min()), int(row.max()) + 1
    changes: NDArray[np.uint8] = np.zeros((bottom - top, width + 1), np.uint8)
    np.bitwise_xor.at(changes, (row - top, column), np.uint8(1))
    return Drawing(top, 0, np.bitwise_xor.accumulate(changes[:, :width], axis=1))


def combine_regions(regions: Sequence[AnnotatedRegion], labels: Mapping[str, int], height: int, width: int) -> Mask:
    """Combine regions into one mask of class indices; later regions cover earlier ones.

    Args:
        regions: Regions of a photo of this size.
        labels: Class index by label name.
        height: Height of the photo.
        width: Width of the photo.

    Raises:
        DataError: A label name is not in ``labels``, or a region cannot be drawn.
    """
    mask = np.zeros((height, width), np.uint8)
    for region in regions:
        if region.label not in labels:
            known = ", ".join([*labels][:_LABELS_SHOWN]) + (", ..." if len(labels) > _LABELS_SHOWN else "")
            raise DataError(f"its label '{shorten(region.label)}' must be one of the classes {known}.")
        top, left, binary = region.draw()
        covered = mask[top : top + binary.shape[0], left : left + binary.shape[1]]
        covered[binary > 0] = labels[region.label]
    return mask


def check_number_of_regions(regions: int) -> None:
    """Check that the masks of one photo can be drawn in reasonable time.

    Raises:
        DataError: There are more than `MAX_REGIONS`.
    """
    if regions > MAX_REGIONS:
        raise DataError(f"a photo may have at most {MAX_REGIONS} regions, but this one has {regions}; merge some.")


def explain_bad_annotation(path: Path, photo: str, error: Exception) -> DataError:
    """Return an error that names the file and the photo of an annotation that cannot be read.

    Args:
        path: The export of the tool.
        photo: Name of the photo in the tool.
        error: A DataError, whose message is kept, or an error from reading an unexpected structure.
    """
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False, include_url=False)[0]
        reason = f"'{'.'.join(map(str, first['loc']))}' is missing or has an unexpected value ({first['msg']})"
    elif isinstance(error, DataError):
        reason = str(error)
    else:
        reason = f"{shorten(str(error))} is missing or has an unexpected value"
    return DataError(f"{path}: the annotation of {shorten(photo)} cannot be imported: {reason}")
