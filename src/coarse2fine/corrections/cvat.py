"""Corrected masks from CVAT: its export "CVAT for images 1.1".

Source: https://docs.cvat.ai, XML annotation format.
"""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from xml.etree.ElementTree import Element, ParseError, iterparse

import numpy as np

from coarse2fine.corrections.regions import Corrected, Shape, fill_polygon
from coarse2fine.errors import DataError
from coarse2fine.masks.run_length import decode_counts
from coarse2fine.types import Mask

_INNER = "annotations.xml"
_WITHOUT_PIXELS = ("tag", "attribute")


def read_cvat(path: Path) -> Iterator[Corrected]:
    """Every image with at least one mask or polygon: the file does not tell one that is empty from one not looked at.

    Args:
        path: ``annotations.xml``, or the ``.zip`` that holds it.

    Raises:
        DataError: The file is no such export, or an image holds what is no mask.
    """
    try:
        with _opened(path) as file:
            walk = iterparse(file, events=("start", "end"))
            _, root = next(walk)
            for event, element in walk:
                if event == "end" and element.tag == "image":
                    found = _read_image(element, path)
                    if found.shapes:
                        yield found
                    root.clear()
    except (OSError, ParseError, StopIteration, zipfile.BadZipFile, KeyError) as error:
        raise DataError(
            f"{path} must be an export 'CVAT for images 1.1', XML or the zip around it ({error})."
        ) from error


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    if path.suffix.lower() != ".zip":
        with path.open("rb") as file:
            yield file
        return
    with zipfile.ZipFile(path) as archive, archive.open(_INNER) as inner:
        yield inner


def _read_image(image: Element, path: Path) -> Corrected:
    name = image.get("name", "")
    try:
        height, width = int(image.attrib["height"]), int(image.attrib["width"])
        regions = [one for one in image if one.tag not in _WITHOUT_PIXELS]
        regions.sort(key=lambda one: int(one.get("z_order", "0")))
        shapes = [_read_shape(one, height, width) for one in regions]
    except (DataError, KeyError, ValueError) as error:
        what = error if isinstance(error, DataError) else f"it lacks or misspells {error}"
        raise DataError(f"{path}: the annotation of {name} cannot be taken: {what}") from error
    return Corrected(name, shapes, (height, width))


def _read_shape(region: Element, height: int, width: int) -> Shape:
    label = region.attrib["label"]
    if region.tag == "mask":
        return Shape(label, _read_mask(region, height, width))
    if region.tag == "polygon":
        corners = [tuple(map(float, corner.split(","))) for corner in region.attrib["points"].split(";")]
        return Shape(label, fill_polygon([(x, y) for x, y in corners], height, width))
    raise DataError(f"masks come as masks and polygons, but there is a '{region.tag}'; draw it with the brush.")


def _read_mask(region: Element, height: int, width: int) -> Mask:
    left, top, wide, high = (int(float(region.attrib[name])) for name in ("left", "top", "width", "height"))
    if left < 0 or top < 0 or left + wide > width or top + high > height:
        raise DataError(f"a mask must lie within its {width} x {height} pixels, but begins at {left}, {top}.")
    counts = [int(count) for count in region.attrib["rle"].split(",")]
    mask = np.zeros((height, width), np.uint8)
    mask[top : top + high, left : left + wide] = decode_counts(counts, high, wide)
    return mask
