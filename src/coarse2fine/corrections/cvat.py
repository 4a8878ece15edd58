"""Read corrected masks from CVAT's export "CVAT for images 1.1".

Source: https://docs.cvat.ai, XML annotation format.
"""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO
from xml.parsers import expat

from coarse2fine.corrections.annotations import (
    MAX_REGIONS,
    MAX_TEXT,
    AnnotatedPhoto,
    AnnotatedRegion,
    Drawing,
    check_number_of_regions,
    explain_bad_annotation,
    rasterize_polygon,
)
from coarse2fine.corrections.photo_names import shorten
from coarse2fine.errors import DataError
from coarse2fine.masks.run_length import decode_counts

_FILE_IN_ZIP = "annotations.xml"
_WITHOUT_PIXELS = ("tag", "attribute")
_CHUNK_BYTES = 1 << 16
_MAX_DEPTH = 100
_MAX_COMPRESSION = 200
"""Bytes of XML per compressed byte, at most; run lengths of real masks have 3 to 30."""

_Element = tuple[str, dict[str, str]]


class _BadXmlError(Exception):
    """The XML is not as CVAT writes it, or would need too much memory."""


_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,  # among them encodings that expat does not know
    LookupError,
    RuntimeError,  # zipfile: encrypted, or an unknown compression
    zipfile.BadZipFile,
    zlib.error,
    expat.ExpatError,
    _BadXmlError,
)


def read_cvat(path: Path) -> Iterator[AnnotatedPhoto]:
    """Yield every image with at least one mask or polygon.

    An image without any is skipped, because the file does not show whether a person has looked at it.

    Args:
        path: ``annotations.xml``, or the ``.zip`` that holds it.

    Raises:
        DataError: The file is not such an export, or an image holds an annotation that is not a mask or polygon.
    """
    collector = _ImageCollector()
    read_bytes = bytes_at_last_image = 0
    try:
        with _open(path) as (file, max_bytes):
            while chunk := file.read(_CHUNK_BYTES):
                collector.parser.Parse(chunk)
                read_bytes += len(chunk)
                if read_bytes - bytes_at_last_image > MAX_TEXT or read_bytes > max_bytes:
                    raise _BadXmlError(f"it has more than {MAX_TEXT} bytes for one image, or {max_bytes} bytes in all")
                for image, regions in collector.take():
                    bytes_at_last_image = read_bytes
                    annotated = _read_image(image, regions, path)
                    if annotated.regions:
                        yield annotated
            collector.parser.Parse(b"", True)
    except _UNREADABLE as error:
        raise DataError(
            f"{path} must be an export 'CVAT for images 1.1': the XML file, or the zip that holds it "
            f"({shorten(str(error))})."
        ) from error


@contextmanager
def _open(path: Path) -> Iterator[tuple[IO[bytes], int]]:
    """Yield the XML file and the number of bytes that it may have."""
    if path.suffix.lower() != ".zip":
        with path.open("rb") as file:
            yield file, path.stat().st_size
        return
    with zipfile.ZipFile(path) as archive, archive.open(_FILE_IN_ZIP) as inner:
        yield inner, max(MAX_TEXT, _MAX_COMPRESSION * archive.getinfo(_FILE_IN_ZIP).compress_size)


class _ImageCollector:
    """Collects images and the elements in them, while ``parser`` is fed with XML.

    It keeps only attributes of the elements that are regions, and refuses what can make a small file large in memory.
    """

    def __init__(self) -> None:
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.StartDoctypeDeclHandler = self._refuse_doctype
        self._complete: list[tuple[dict[str, str], list[_Element]]] = []
        self._image: dict[str, str] | None = None
        self._regions: list[_Element] = []
        self._depth = self._image_depth = 0

    def take(self) -> list[tuple[dict[str, str], list[_Element]]]:
        """Return the attributes and regions of the images that are complete, once."""
        complete, self._complete = self._complete, []
        return complete

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise _BadXmlError(f"its elements are nested more than {_MAX_DEPTH} deep")
        if self._image is None:
            if tag == "image":
                self._image, self._image_depth, self._regions = attributes, self._depth, []
        elif (
            self._depth == self._image_depth + 1
            and tag not in _WITHOUT_PIXELS
            and len(self._regions) <= MAX_REGIONS  # one too many is reported later, with the name of the photo
        ):
            self._regions.append((tag, attributes))

    def _end(self, _tag: str) -> None:
        if self._image is not None and self._depth == self._image_depth:
            self._complete.append((self._image, self._regions))
            self._image = None
        self._depth -= 1

    def _refuse_doctype(self, *_declaration: object) -> None:
        raise _BadXmlError("it has a DOCTYPE, which can make a small file very large")


def _read_image(image: dict[str, str], elements: list[_Element], path: Path) -> AnnotatedPhoto:
    name = image.get("name", "")
    try:
        height, width = int(image["height"]), int(image["width"])
        check_number_of_regions(len(elements))
        elements.sort(key=lambda element: int(element[1].get("z_order", "0")))
        regions = [_read_region(tag, attributes, height, width) for tag, attributes in elements]
    except (DataError, KeyError, ValueError) as error:
        raise explain_bad_annotation(path, name, error) from error
    return AnnotatedPhoto(name, regions, (height, width))


def _read_region(tag: str, attributes: dict[str, str], height: int, width: int) -> AnnotatedRegion:
    if tag not in ("mask", "polygon"):
        raise DataError(f"regions must be masks or polygons, but one is a '{shorten(tag)}'; draw it with the brush.")
    draw = _draw_mask if tag == "mask" else _draw_polygon
    return AnnotatedRegion(attributes["label"], (height, width), partial(draw, attributes, height, width))


def _draw_polygon(attributes: dict[str, str], height: int, width: int) -> Drawing:
    corners = [tuple(map(float, corner.split(","))) for corner in attributes["points"].split(";")]
    return rasterize_polygon([(x, y) for x, y in corners], height, width)


def _draw_mask(attributes: dict[str, str], height: int, width: int) -> Drawing:
    left, top, wide, high = (int(float(attributes[name])) for name in ("left", "top", "width", "height"))
    if min(left, top, wide, high) < 0 or top + high > height or left + wide > width:
        raise DataError(f"a mask must lie within its {width} x {height} pixels, but starts at {left}, {top}.")
    counts = [int(count) for count in attributes["rle"].split(",")]
    return Drawing(top, left, decode_counts(counts, high, wide))
