"""Refuse photo files that take far more time or memory to decode than their number of pixels suggests."""

import mmap
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import IO, Any

from coarse2fine.errors import DataError

MAX_JPEG_SCANS = 100
"""Passes over the pixels that a JPEG may store, at most. Encoders write about 10.

A pass takes 15 ms for 25 megapixels even if it holds no data, so that a file of 18 MB can keep a processor busy for 20
minutes.
"""

MAX_TILE_PIXELS = 2**24
"""Pixels of one tile of a TIFF, at most, unless the image itself has half as many; a whole tile is allocated."""

_MAX_TIFF_LAYERS = 8
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # not stuffed zeros, restart markers and fill bytes
_PROGRESSIVE = (0xC2, 0xCA)  # start of a progressive image, with Huffman or arithmetic coding
_TILE_WIDTH, _TILE_HEIGHT = 322, 323


def check_decoding_limits(image: Any) -> None:
    """Check the structure of a photo file whose header Pillow has read, before its pixels are decoded.

    Args:
        image: An opened image of Pillow.

    Raises:
        DataError: A JPEG has too many scans, or a TIFF has too large or too many tiles; one clause.
    """
    if image.format in ("JPEG", "MPO"):
        with _content_of(image.fp) as content:
            if any(number > MAX_JPEG_SCANS for number in _count_scans(content, image.layers)):
                raise DataError(f"a JPEG with more than {MAX_JPEG_SCANS} scans, which would take very long to decode")
    elif image.format == "TIFF":
        _check_tiles(image)


def _count_scans(content: Any, components: int) -> Iterator[int]:
    """Yield 1, 2, ... for the scans of a JPEG that the decoder reads, without decoding them."""
    position, scans, is_progressive = 2, 0, False
    while marker := _JPEG_MARKER.search(content, position):
        position, kind = marker.end(), content[marker.end() - 1]
        if kind == 0xD9:  # end of the image
            return
        if kind in (0x01, 0xD8):  # markers without content
            continue
        header = bytes(content[position : position + 3])
        position += max(2, int.from_bytes(header[:2], "big"))
        is_progressive |= kind in _PROGRESSIVE
        if kind == 0xDA:
            scans += 1
            yield scans
            if scans == 1 and not is_progressive and header[2:] == bytes([components]):
                return  # all components in one scan: the decoder stops after it


def _check_tiles(image: Any) -> None:
    width, height = image.tag_v2.get(_TILE_WIDTH, 0), image.tag_v2.get(_TILE_HEIGHT, 0)
    pixels = image.width * image.height
    if width * height > max(MAX_TILE_PIXELS, 2 * pixels):
        raise DataError(f"a TIFF of {image.width} x {image.height} pixels with a tile of {width} x {height}")
    covered = sum((right - left) * (lower - upper) for _, (left, upper, right, lower), *_ in image.tile)
    if covered > _MAX_TIFF_LAYERS * pixels:
        raise DataError(f"a TIFF of {image.width} x {image.height} pixels with {len(image.tile)} tiles")


@contextmanager
def _content_of(file: IO[bytes]) -> Iterator[Any]:
    """Yield the content of an open file without copying it, and without moving its position."""
    if isinstance(file, BytesIO):
        with file.getbuffer() as content:
            yield content
    else:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            yield content
