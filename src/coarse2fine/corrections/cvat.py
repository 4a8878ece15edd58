"""Read corrected masks from CVAT's export "CVAT for images 1.1".

Source: https://docs.cvat.ai, XML annotation format.
"""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from xml.etree.ElementTree import Element, ParseError, iterparse

import numpy as np

from coarse2fine.corrections.annotations import (
    AnnotatedPhoto,
    AnnotatedRegion,
    explain_bad_annotation,
    rasterize_polygon,
)
from coarse2fine.errors import DataError
from coarse2fine.masks.run_length import decode_counts
from coarse2fine.types import Mask

_FILE_IN_ZIP = "annotations.xml"
_WITHOUT_PIXELS = ("tag", "attribute")


def read_cvat(path: Path) -> Iterator[AnnotatedPhoto]:
    """Yield every image with at least one mask or polygon.

    An image without any is skipped, because the file does not show whether a person has looked at it.

    Args:
        path: ``annotations.xml``, or the ``.zip`` that holds it.

    Raises:
        DataError: The file is not such an export, or an image holds an annotation that is not a mask or polygon.
    """
    try:
        with _open(path) as file:
            events = iterparse(file, events=("start", "end"))
            _, root = next(events)
            for event, element in events:
                if event == "end" and element.tag == "image":
                    annotated = _read_image(element, path)
                    if annotated.regions:
                        yield annotated
                    root.clear()
    except (OSError, ParseError, StopIteration, zipfile.BadZipFile, KeyError) as error:
        raise DataError(
            f"{path} must be an export 'CVAT for images 1.1': the XML file, or the zip that holds it ({error})."
        ) from error


@contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    if path.suffix.lower() != ".zip":
        with path.open("rb") as file:
            yield file
        return
    with zipfile.ZipFile(path) as archive, archive.open(_FILE_IN_ZIP) as inner:
        yield inner


def _read_image(image: Element, path: Path) -> AnnotatedPhoto:
    name = image.get("name", "")
    try:
        height, width = int(image.attrib["height"]), int(image.attrib["width"])
        elements = [element for element in image if element.tag not in _WITHOUT_PIXELS]
        elements.sort(key=lambda element: int(element.get("z_order", "0")))
        regions = [_read_region(element, height, width) for element in elements]
    except (DataError, KeyError, ValueError) as error:
        raise explain_bad_annotation(path, name, error) from error
    return AnnotatedPhoto(name, regions, (height, width))


def _read_region(region: Element, height: int, width: int) -> AnnotatedRegion:
    label = region.attrib["label"]
    if region.tag == "mask":
        return AnnotatedRegion(label, _read_mask(region, height, width))
    if region.tag == "polygon":
        corners = [tuple(map(float, corner.split(","))) for corner in region.attrib["points"].split(";")]
        return AnnotatedRegion(label, rasterize_polygon([(x, y) for x, y in corners], height, width))
    raise DataError(f"regions must be masks or polygons, but one is a '{region.tag}'; draw it with the brush.")


def _read_mask(region: Element, height: int, width: int) -> Mask:
    left, top, wide, high = (int(float(region.attrib[name])) for name in ("left", "top", "width", "height"))
    if left < 0 or top < 0 or left + wide > width or top + high > height:
        raise DataError(f"a mask must lie within its {width} x {height} pixels, but starts at {left}, {top}.")
    counts = [int(count) for count in region.attrib["rle"].split(",")]
    mask = np.zeros((height, width), np.uint8)
    mask[top : top + high, left : left + wide] = decode_counts(counts, high, wide)
    return mask
