"""How long do the limits on image files take, and how long do the slowest files take that they let pass?

    python benchmarks/decoding.py --photos photos

Two measurements, with one thread and in processor time:

1. Each photo of a folder is decoded; printed is the share of the checks (`runtime/decoding_limits.py`) in the whole.
2. Files of 25 megapixels and at most 20 MB, the limits of ``serve``, are decoded: ordinary ones, and those built to
   take as long as the limits allow. ``SIDE_PX=14142`` makes files of 200 megapixels, the limit of ``fit`` and
   ``predict``, which needs up to 8 GB of memory; ``--files`` chooses some of them.
"""

import argparse
import io
import os
import statistics
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import PIL.Image
from common import keep

from coarse2fine.data import photos
from coarse2fine.data.photo_files import list_photos
from coarse2fine.data.photos import read_image
from coarse2fine.errors import DataError
from coarse2fine.runtime import decoding_limits

SIDE = int(os.environ.get("SIDE_PX", "5000"))
MEGAPIXELS, MAX_BYTES = SIDE * SIDE / 1e6, 20_000_000


def main() -> None:
    """Measure both, print a line for each, then one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=Path, help="folder of photos")
    parser.add_argument("--repeat", type=int, default=3, help="times to decode each photo and each file")
    parser.add_argument("--files", nargs="+", default=[""], help="parts of the names of the files to decode")
    options = parser.parse_args()
    result: dict[str, Any] = {}
    if options.photos:
        result["share_of_checks"] = share_of_checks(list_photos(options.photos), options.repeat)
        print(f"checks: {result['share_of_checks']:.2%} of the time to decode a photo", flush=True)
    for name, encode in FILES.items():
        if not any(part in name for part in options.files):
            continue
        content = encode()
        seconds, outcome = decode(content, options.repeat)
        result[name] = seconds
        print(f"{name:40} {len(content) / 1e6:5.1f} MB {seconds:6.2f} s  {outcome}", flush=True)
    keep("decoding", result)


def share_of_checks(paths: list[Path], repeat: int) -> float:
    """Return the time of the checks as a share of the time to read the photos."""
    spent = [0.0]

    def timed(check: Callable[[Any], None]) -> Callable[[Any], None]:
        def run(argument: Any) -> None:
            began = time.process_time_ns()
            check(argument)
            spent[0] += (time.process_time_ns() - began) / 1e9

        return run

    began = time.process_time()
    with (
        mock.patch.object(photos, "check_header", timed(decoding_limits.check_header)),
        mock.patch.object(photos, "check_pixels", timed(decoding_limits.check_pixels)),
    ):
        for path in paths * repeat:
            read_image(path)
    return spent[0] / (time.process_time() - began)


def decode(content: bytes, repeat: int) -> tuple[float, str]:
    """Return the median of the seconds to decode a file, and its size or the reason why it is refused."""
    seconds, outcome = [], ""
    for _ in range(repeat):
        began = time.process_time()
        try:
            outcome = "x".join(map(str, read_image(content, MEGAPIXELS).shape))
        except DataError as error:
            outcome = str(error)
        seconds.append(time.process_time() - began)
    return statistics.median(seconds), outcome


def encode(kind: str, **options: Any) -> bytes:
    """Encode a smooth photo."""
    rng, buffer = np.random.default_rng(0), io.BytesIO()
    small = PIL.Image.fromarray(rng.integers(0, 256, (SIDE // 8, SIDE // 8, 3), np.uint8))
    small.resize((SIDE, SIDE)).save(buffer, kind, **options)
    return buffer.getvalue()


def repeat_scan(jpeg: bytes, content: bool, scans: int = decoding_limits.MAX_JPEG_SCANS) -> bytes:
    """Repeat the last scan of a progressive JPEG up to a number or 20 MB, with its content or without."""
    start = jpeg.rindex(b"\xff\xda")
    scan = jpeg[start:-2] if content else jpeg[start : start + 2 + int.from_bytes(jpeg[start + 2 : start + 4], "big")]
    times = min(scans - jpeg.count(b"\xff\xda"), (MAX_BYTES - len(jpeg)) // len(scan))
    return jpeg[:-2] + scan * times + jpeg[-2:]


def jpeg_empty_scans() -> bytes:
    """Encode a JPEG whose scans say in a few bytes that no coefficient of any block changes; each block is visited."""

    def table(kind: int, symbol: int) -> bytes:
        return b"\xff\xc4" + struct.pack(">HB", 20, kind << 4) + bytes([1, *[0] * 15, symbol])

    def scan(first: int, last: int, precision: int, data: bytes) -> bytes:
        return b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, first, last, precision) + data

    blocks = (-(-SIDE // 8)) ** 2
    runs = "0" + "1" * 14  # the symbol 0xE0: the next 2^15 - 1 blocks are complete
    bits = runs * (blocks // (2**15 - 1) + 1)
    bits += "1" * (-len(bits) % 8)
    empty = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    frame = b"\xff\xc2" + struct.pack(">HBHHBBBB", 11, 8, SIDE, SIDE, 1, 1, 0x11, 0)
    start = b"\xff\xd8\xff\xdb" + struct.pack(">HB", 67, 0) + b"\1" * 64 + frame + table(0, 0) + table(1, 0xE0)
    scans = scan(0, 0, 0, bytes(blocks // 8 + 1)) + scan(1, 63, 1, empty)
    return start + scans + scan(1, 63, 0x10, empty) * (decoding_limits.MAX_JPEG_SCANS - 2) + b"\xff\xd9"


def jpeg_segments(segment: bytes) -> bytes:
    """Put as many segments as are allowed, or 20 MB, before the pixels of a JPEG."""
    jpeg = encode("JPEG", quality=30)
    times = min(decoding_limits.MAX_JPEG_SEGMENTS - 20, (MAX_BYTES - len(jpeg)) // len(segment))
    return jpeg[:2] + segment * times + jpeg[2:]


def png(interlaced: bool = False, chunks: int = 1) -> bytes:
    """Encode noise of few values as a PNG, its pixels in equal chunks."""
    rows = np.random.default_rng(0).integers(0, 2, (SIDE, 1 + 3 * SIDE), np.uint8)
    rows[:, 0] = 4  # the slowest filter
    packed = zlib.compress(rows.tobytes() + bytes(SIDE * SIDE), 1)
    step = -(-len(packed) // chunks)
    parts = [(b"IDAT", packed[at : at + step]) for at in range(0, len(packed), step)]
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in [(b"IHDR", header), *parts, (b"IEND", b"")]
    )


def gif_comment() -> bytes:
    """Encode a GIF with the longest comment that is allowed."""
    buffer = io.BytesIO()
    PIL.Image.new("L", (SIDE, SIDE)).save(buffer, "GIF")
    gif = buffer.getvalue()
    start = 13 + (3 << (gif[10] & 7) + 1)
    blocks = decoding_limits.MAX_GIF_BLOCKS - 10
    return gif[:start] + b"\x21\xfe" + (b"\xff" + bytes([65]) * 255) * blocks + b"\0" + gif[start:]


def rle_bmp(row: bytes) -> bytes:
    """Encode a compressed BMP of as many pixels as are allowed, from a row that is repeated up to as many bytes."""
    palette, start = bytes(4 * 256), 14 + 40 + 4 * 256
    data = row * ((decoding_limits.MAX_RLE_BMP - start) // len(row))
    header = struct.pack("<IiiHHIIiiII", 40, SIDE, decoding_limits.MAX_RLE_BMP // SIDE, 1, 8, 1, len(data), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + header + palette + data


def tiff_strips() -> bytes:
    """Encode a TIFF with as many strips as are allowed, all with the same content."""
    strips, row = decoding_limits.MAX_TIFF_PIECES, bytes(250)
    tags = {256: len(row), 257: strips, 258: 8, 259: 1, 262: 1, 273: strips, 277: 1, 278: 1}
    begin = 8 + 2 + 12 * len(tags) + 4
    entries = [
        struct.pack("<HHII", tag, 4, *((strips, begin) if tag == 273 else (1, value))) for tag, value in tags.items()
    ]
    offsets = struct.pack("<I", begin + 4 * strips) * strips
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(entries) + bytes(4) + offsets + row


def tiff_tiles(tile: int, compression: int, data: bytes) -> bytes:
    """Encode a gray TIFF whose tiles all have the same data, with as many tiles as are allowed."""
    columns = min(SIDE // tile, int(decoding_limits.MAX_TIFF_PIECES**0.5))
    tiles, side = columns**2, columns * tile
    tags = {256: side, 257: side, 258: 8, 259: compression, 262: 1, 277: 1, 322: tile, 323: tile}
    begin = 8 + 2 + 12 * (len(tags) + 2) + 4
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()]
    entries.append(struct.pack("<HHII", 324, 4, tiles, begin + len(data)))
    entries.append(struct.pack("<HHII", 325, 4, tiles, begin + len(data) + 4 * tiles))
    header = b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries) + bytes(4)
    return header + data + struct.pack("<I", begin) * tiles + struct.pack("<I", len(data)) * tiles


def tiff_jpeg(tile: int, scans: int, content: bool) -> bytes:
    """Encode a TIFF whose tiles are JPEGs with many scans."""
    noise, buffer = np.random.default_rng(0).integers(0, 256, (tile, tile), np.uint8), io.BytesIO()
    PIL.Image.fromarray(noise).save(buffer, "JPEG", progressive=True)
    return tiff_tiles(tile, 7, repeat_scan(buffer.getvalue(), content, scans))


def tiff_packbits(tile: int, empty: int) -> bytes:
    """Encode a TIFF whose tiles begin with bytes that stand for no pixel."""
    return tiff_tiles(tile, 32773, b"\x80" * empty + b"\x81\0" * (tile * tile // 128))


def frames(kind: str) -> bytes:
    """Encode an animation, of which only the first is read."""
    first, buffer = PIL.Image.new("RGB", (SIDE, SIDE)), io.BytesIO()
    others = [PIL.Image.new("RGB", (SIDE, SIDE), (index % 2 * 255, 0, 0)) for index in range(8)]
    first.save(buffer, kind, save_all=True, append_images=others)
    return buffer.getvalue()


PHOTOSHOP = b"Photoshop 3.0\0" + b"8BIM\1\0\0\0\0\0\0\0" * 5400
FILES: dict[str, Callable[[], bytes]] = {
    **{f"ordinary {kind}": lambda kind=kind: encode(kind) for kind in ("JPEG", "PNG", "BMP", "GIF", "WEBP")},
    "ordinary TIFF, LZW": lambda: encode("TIFF", compression="tiff_lzw"),
    "ordinary WEBP, lossless": lambda: encode("WEBP", lossless=True, method=0),
    "JPEG, progressive": lambda: encode("JPEG", progressive=True),
    "JPEG, 100 scans without content": lambda: repeat_scan(encode("JPEG", progressive=True), False),
    "JPEG, 100 scans without changes": jpeg_empty_scans,
    "JPEG, scans up to 20 MB": lambda: repeat_scan(encode("JPEG", progressive=True, quality=30), True),
    "JPEG, segments of Exif": lambda: jpeg_segments(b"\xff\xe1\xff\xffExif\0\0" + bytes(65_527)),
    "JPEG, segments of Photoshop": lambda: jpeg_segments(
        b"\xff\xed" + struct.pack(">H", 2 + len(PHOTOSHOP)) + PHOTOSHOP
    ),
    "PNG, interlaced": lambda: png(interlaced=True),
    "PNG, 99,000 chunks": lambda: png(chunks=99_000),
    "GIF, long comment": gif_comment,
    "GIF, animation": lambda: frames("GIF"),
    "WEBP, animation": lambda: frames("WEBP"),
    "PNG, animation": lambda: frames("PNG"),
    "BMP, compressed, runs of one pixel": lambda: rle_bmp(b"\1\1"),
    "BMP, compressed, empty rows": lambda: rle_bmp(b"\1\1\0\0"),
    "BMP, compressed, runs outside": lambda: rle_bmp(b"\xff\1"),
    "TIFF, 100,000 strips": tiff_strips,
    "TIFF, JPEG tiles of 99 scans": lambda: tiff_jpeg(16, 99, False),
    "TIFF, JPEG tiles of 10 scans": lambda: tiff_jpeg(64, decoding_limits.MAX_TIFF_SCANS, True),
    "TIFF, tiles of 1 MB without pixels": lambda: tiff_packbits(16, 1_000_000),
    "TIFF, tiles as long as allowed": lambda: tiff_packbits(16, 16 * 16 + 1000),
    "TIFF, LZMA": lambda: encode("TIFF", compression="lzma"),
}


if __name__ == "__main__":
    main()
