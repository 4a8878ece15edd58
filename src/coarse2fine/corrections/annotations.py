"""Annotations of labeling tools, and the masks that they describe."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from skimage.draw import polygon

from coarse2fine.errors import DataError
from coarse2fine.types import Mask


class AnnotatedRegion(NamedTuple):
    """One region that a person drew.

    Attributes:
        label: Name of its label in the tool.
        binary: Binary mask, shape (H, W) of the photo.
    """

    label: str
    binary: Mask


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


def rasterize_polygon(corners: Sequence[tuple[float, float]], height: int, width: int) -> Mask:
    """Return the binary mask of the pixels whose center lies in a polygon.

    Args:
        corners: x and y in pixels; the center of the first pixel is (0.5, 0.5).
        height: Height of the photo.
        width: Width of the photo.
    """
    filled = np.zeros((height, width), np.uint8)
    x, y = np.array(corners, np.float64).reshape(-1, 2).T
    filled[polygon(y - 0.5, x - 0.5, filled.shape)] = 1
    return filled


def combine_regions(regions: Sequence[AnnotatedRegion], labels: Mapping[str, int], height: int, width: int) -> Mask:
    """Combine regions into one mask of class indices; later regions cover earlier ones.

    Args:
        regions: Regions with masks of shape (height, width).
        labels: Class index by label name.
        height: Height of the photo.
        width: Width of the photo.

    Raises:
        DataError: A label name is not in ``labels``.
    """
    mask = np.zeros((height, width), np.uint8)
    for region in regions:
        if region.label not in labels:
            raise DataError(f"its label '{region.label}' must be one of the classes {', '.join(labels)}.")
        mask[region.binary > 0] = labels[region.label]
    return mask


def explain_bad_annotation(path: Path, photo: str, error: Exception) -> DataError:
    """Return an error that names the file and the photo of an annotation that cannot be read.

    Args:
        path: The export of the tool.
        photo: Name of the photo in the tool.
        error: A DataError, whose message is kept, or an error from reading an unexpected structure.
    """
    reason = error if isinstance(error, DataError) else f"{error} is missing or has an unexpected value"
    return DataError(f"{path}: the annotation of {photo} cannot be imported: {reason}")
