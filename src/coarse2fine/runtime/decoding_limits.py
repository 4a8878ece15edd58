"""Refuse image files that take far more time or memory to decode than their number of pixels suggests.

No library can be stopped while it decodes. So the time is limited by what the file says before: Pillow reads the parts
of a header one by one in Python, a decoder passes over all pixels for each scan of a JPEG, and so on.
``benchmarks/decoding.py`` measures the slowest files within the limits.
"""

import mmap
import re
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from coarse2fine.errors import DataError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""File formats that are read, by Pillow's names. Some others of Pillow start programs, or have no limits here."""

MAX_JPEG_SCANS = 100
"""Passes over the pixels that a JPEG may store, at most. Encoders write about 10.

A pass takes 15 ms for 25 megapixels even if it holds no data, so that a file of 18 MB can keep a processor busy for 20
minutes.
"""

MAX_ARITHMETIC_SCANS = 10
"""Passes over the pixels of a JPEG with arithmetic coding, at most: what encoders write. It may store a pass over many
pixels in a few bytes, and takes as long for it as for any other.
"""

MAX_JPEG_SEGMENTS = 1000
"""Parts of a JPEG before its pixels, at most; each has up to 64 kB. Bytes between them count, too."""

MAX_GIF_BLOCKS = 4000
"""Parts of a GIF before its first frame, at most. Pillow copies a comment again for each of its blocks."""

MAX_PNG_CHUNKS = 100_000
"""Parts of a PNG, at most. The usual encoder writes one per 8 kB."""

MAX_TIFF_TAGS = 5000
MAX_TIFF_PIECES = 100_000
"""Strips or tiles of a TIFF, at most: as many as a photo of 100,000 rows has if each row is a strip."""

MAX_TIFF_SCANS = 10
"""Passes over the pixels that a JPEG inside a TIFF may store, at most."""

MAX_TIFF_EXPANSION = 2
"""Bytes of all strips or tiles of a TIFF together, at most, as a multiple of the bytes of its pixels.

All tiles may name the same bytes, which are read for each of them, and compressed data may hold any number of bytes
without meaning: a file of 1 MB and 25 megapixels took minutes.
"""

MAX_RLE_BMP = 10_000_000
"""Pixels and bytes of a compressed BMP, at most. Pillow decodes them in Python."""

MAX_TILE_PIXELS = 2**24
"""Pixels of one tile of a TIFF, at most, unless the image itself has half as many; a whole tile is allocated."""

_SMALL_BYTES = 1 << 18
_MAX_TIFF_LAYERS = 8
_TIFF_PIECE_BYTES = 1024  # of a strip or tile in addition to its pixels, such as the tables of a JPEG
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # not stuffed zeros, restart markers and fill bytes
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})  # start of the frame
_PROGRESSIVE = (0xC2, 0xCA)  # start of a progressive image, with Huffman or arithmetic coding
_ARITHMETIC = frozenset(range(0xC9, 0xD0))
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_TILE_WIDTH, _TILE_HEIGHT = 322, 323
_TIFF_OFFSETS = (273, 324)  # of strips, of tiles
_TIFF_COUNTS = (279, 325)  # bytes of strips, of tiles
_TIFF_BITS, _TIFF_COMPRESSION, _TIFF_SAMPLES = 258, 259, 277
_TIFF_RAW, _TIFF_JPEG = 1, (6, 7)  # values of the compression; JPEG: old and new
_RLE = (1, 2)  # of 8 and of 4 bits


class LimitError(DataError):
    """An image file exceeds a limit of this module; the message is one clause."""


def open_file(path: Path) -> IO[bytes]:
    """Open an image file for reading; a small one is read at once, because the checks then take half as long."""
    status = path.stat()
    is_small = stat.S_ISREG(status.st_mode) and status.st_size <= _SMALL_BYTES  # a device has no size and no end
    return BytesIO(path.read_bytes()) if is_small else path.open("rb")


def check_header(file: IO[bytes]) -> None:
    """Check the part of an image file that Pillow reads to open it.

    Args:
        file: An open file; its position does not change.

    Raises:
        LimitError: A JPEG, PNG, GIF or TIFF has far more parts than a photo needs.
    """
    with _content_of(file) as content:
        start = content[:4]
        if start.startswith(b"\xff\xd8\xff"):
            _check_jpeg_header(content)
        elif start == b"\x89PNG":
            _check_png(content, until=b"IDAT")
        elif start == b"GIF8":
            if any(number > MAX_GIF_BLOCKS for number in _count_gif_blocks(content)):
                raise LimitError(f"a GIF with more than {MAX_GIF_BLOCKS} blocks before its first frame")
        elif start[:2] in (b"II", b"MM"):
            _check_tiff_header(content)


def check_pixels(image: Any) -> None:
    """Check the rest of an image file whose header Pillow has read, before its pixels are decoded.

    Args:
        image: An opened image of Pillow.

    Raises:
        LimitError: A JPEG has too many scans, a PNG too many chunks, a TIFF too large, too many or too long tiles, or
            a compressed BMP is too large.
    """
    if image.format in ("JPEG", "MPO", "PNG", "BMP"):
        with _content_of(image.fp) as content:
            if image.format == "PNG":
                _check_png(content)
            elif image.format == "BMP":
                _check_bmp(content, image.width * image.height)
            else:
                _check_scans(content)
    elif image.format == "TIFF":
        _check_tiles(image)
        with _content_of(image.fp) as content:
            _check_tiff_data(image, content)


def _walk_jpeg(content: Any) -> Iterator[tuple[int, int]]:
    """Yield the kind and the position of the content of all markers of a JPEG, without decoding them."""
    position = 2
    while marker := _JPEG_MARKER.search(content, position):
        position, kind = marker.end(), content[marker.end() - 1]
        yield kind, position
        if kind == _END_OF_IMAGE:
            return
        if kind not in (0x01, 0xD8):  # markers without content
            position += max(2, int.from_bytes(content[position : position + 2], "big"))


def _check_jpeg_header(content: Any) -> None:
    filled, end = 0, 2
    for number, (kind, position) in enumerate(_walk_jpeg(content)):
        filled += position - 2 - end
        end = position + int.from_bytes(content[position : position + 2], "big")
        if number + filled > MAX_JPEG_SEGMENTS:
            raise LimitError(f"a JPEG with more than {MAX_JPEG_SEGMENTS} segments before its pixels")
        if kind == _START_OF_SCAN:
            return


def _check_scans(content: Any) -> None:
    """Check the number of scans of a JPEG that the decoder reads."""
    scans, components, frames = 0, 0, set[int]()
    for kind, position in _walk_jpeg(content):
        if kind in _FRAMES:
            frames.add(kind)
            components = components or int.from_bytes(content[position + 7 : position + 8], "big")
        if kind == _START_OF_SCAN:
            scans += 1
            most = MAX_JPEG_SCANS if frames.isdisjoint(_ARITHMETIC) else MAX_ARITHMETIC_SCANS
            if scans > most:
                raise LimitError(f"a JPEG with more than {most} scans, which would take very long to decode")
            is_whole = content[position + 2 : position + 3] == bytes([components])
            if scans == 1 and frames.isdisjoint(_PROGRESSIVE) and is_whole:
                return  # all components in one scan: the decoder stops after it


def _check_png(content: Any, until: bytes = b"IEND") -> None:
    """Check the chunks up to the first of a kind. Pillow limits the memory for texts, but not for color profiles."""
    position, chunks, profiles = 8, 0, 0
    while position + 8 <= len(content):
        kind = content[position + 4 : position + 8]
        if kind == until:
            return
        chunks += 1
        profiles += kind == b"iCCP"
        if chunks > MAX_PNG_CHUNKS or profiles > 1:
            found = "one color profile" if profiles > 1 else f"{MAX_PNG_CHUNKS} chunks"
            raise LimitError(f"a PNG with more than {found}")
        position += 12 + int.from_bytes(content[position : position + 4], "big")


def _count_gif_blocks(content: Any) -> Iterator[int]:
    """Yield 1, 2, ... for the blocks before the first frame, and for bytes that belong to none."""
    flags = content[10] if len(content) > 10 else 0
    position, blocks, is_inside = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0), 0, False
    while position < len(content):
        byte = content[position]
        if is_inside:
            position, is_inside = position + 1 + byte, bool(byte)
        elif byte in b",;":  # a frame, or the end
            return
        else:
            is_inside = byte == ord("!")
            position += 2 if is_inside else 1
        blocks += 1
        yield blocks


def _check_tiff_header(content: Any) -> None:
    """Check the first directory of tags."""
    order = "<" if content[:2] == b"II" else ">"
    is_big = content[2:4] in (b"\x2b\0", b"\0\x2b")
    try:
        (position,) = struct.unpack_from(f"{order}Q" if is_big else f"{order}I", content, 8 if is_big else 4)
        (tags,) = struct.unpack_from(f"{order}Q" if is_big else f"{order}H", content, position)
        if tags > MAX_TIFF_TAGS:
            raise LimitError(f"a TIFF with {tags} tags")
        entry = struct.Struct(f"{order}HHQ8x" if is_big else f"{order}HHI4x")
        for number in range(tags):
            tag, _, count = entry.unpack_from(content, position + (8 if is_big else 2) + number * entry.size)
            if tag in _TIFF_OFFSETS and count > MAX_TIFF_PIECES:
                raise LimitError(f"a TIFF with {count} strips or tiles")
    except (struct.error, OverflowError):
        return  # truncated, or no TIFF: Pillow says so


def _check_tiles(image: Any) -> None:
    width, height = image.tag_v2.get(_TILE_WIDTH, 0), image.tag_v2.get(_TILE_HEIGHT, 0)
    pixels = image.width * image.height
    if width * height > max(MAX_TILE_PIXELS, 2 * pixels):
        raise LimitError(f"a TIFF of {image.width} x {image.height} pixels with a tile of {width} x {height}")
    covered = sum((right - left) * (lower - upper) for _, (left, upper, right, lower), *_ in image.tile)
    if covered > _MAX_TIFF_LAYERS * pixels:
        raise LimitError(f"a TIFF of {image.width} x {image.height} pixels with {len(image.tile)} tiles")
    if (tiled := _tiled_pixels(image)) > max(MAX_TILE_PIXELS, _MAX_TIFF_LAYERS * pixels):
        raise LimitError(f"a TIFF of {image.width} x {image.height} pixels with tiles of {tiled} pixels")


def _tiled_pixels(image: Any) -> int:
    """Return the pixels of a TIFF, tiles at its edges counted as a whole."""
    width, height = image.tag_v2.get(_TILE_WIDTH, 0), image.tag_v2.get(_TILE_HEIGHT, 0)
    if width < 1 or height < 1:
        return int(image.width * image.height)
    return int(-(-image.width // width) * -(-image.height // height) * width * height)


def _check_tiff_data(image: Any, content: Any) -> None:
    """Check the bytes of all strips or tiles of a compressed TIFF, as often as they are read."""
    tags = image.tag_v2
    if tags.get(_TIFF_COMPRESSION, _TIFF_RAW) == _TIFF_RAW:
        return  # exactly the pixels are read
    offsets, counts = (_list_values(tags, kinds) for kinds in (_TIFF_OFFSETS, _TIFF_COUNTS))
    if len(counts) != len(offsets) or 0 in counts:  # libtiff then reads up to the end of the file
        counts = [len(content)] * len(offsets)
    bits = max(_list_values(tags, (_TIFF_BITS,)), default=1) * tags.get(_TIFF_SAMPLES, 1)
    most = MAX_TIFF_EXPANSION * _tiled_pixels(image) * bits // 8 + _TIFF_PIECE_BYTES * len(offsets)
    if len(offsets) > 1 and sum(counts) > most:
        raise LimitError(f"a TIFF of {image.width} x {image.height} pixels with {sum(counts)} bytes in strips or tiles")
    if tags.get(_TIFF_COMPRESSION) in _TIFF_JPEG:
        for offset, count in set(zip(offsets, counts, strict=True)):
            if content[offset : offset + count].count(b"\xff\xda") > MAX_TIFF_SCANS:
                raise LimitError(f"a TIFF whose JPEG data has more than {MAX_TIFF_SCANS} scans")


def _list_values(tags: Any, kinds: tuple[int, ...]) -> list[int]:
    values = [tags[kind] for kind in kinds if kind in tags]
    return [number for value in values for number in (value if isinstance(value, tuple) else (value,))]


def _check_bmp(content: Any, pixels: int) -> None:
    compression = int.from_bytes(content[30:34], "little")
    if compression in _RLE and max(pixels, len(content)) > MAX_RLE_BMP:
        raise LimitError(f"a compressed BMP of more than {MAX_RLE_BMP} pixels or bytes; save it as PNG")


@contextmanager
def _content_of(file: IO[bytes]) -> Iterator[Any]:
    """Yield the content of an open file without copying it, and without moving its position."""
    if isinstance(file, BytesIO):
        yield file.getvalue()  # no copy if it was made from bytes
    else:  # not empty: open_file has read a small one
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            yield content
