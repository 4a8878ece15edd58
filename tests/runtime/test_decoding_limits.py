import io
import struct
import time
import tracemalloc
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from coarse2fine.data.photos import read_image
from coarse2fine.errors import DataError
from coarse2fine.masks.png import read_mask


def encode_jpeg(**options: object) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    buffer = io.BytesIO()
    PIL.Image.fromarray(noise).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def encode_gray_jpeg() -> bytes:
    """A progressive JPEG of one tile, with 6 scans."""
    buffer = io.BytesIO()
    PIL.Image.new("L", (16, 16)).save(buffer, "JPEG", progressive=True)
    return buffer.getvalue()


def repeat_last_scan(jpeg: bytes, times: int) -> bytes:
    start = jpeg.rindex(b"\xff\xda")
    return jpeg[:-2] + jpeg[start:-2] * times + jpeg[-2:]


def split_scans(jpeg: bytes, scans: int) -> bytes:
    """Store a sequential JPEG as scans of one component each."""
    start = jpeg.index(b"\xff\xda")
    header_bytes = int.from_bytes(jpeg[start + 2 : start + 4], "big")
    parts = [b"\xff\xda\x00\x08\x01" + bytes([1 + scan % 3, 0, 0, 63, 0]) for scan in range(scans)]
    data = jpeg[start + 2 + header_bytes : -2]
    return jpeg[:start] + b"".join(part + data for part in parts) + jpeg[-2:]


def make_arithmetic(jpeg: bytes) -> bytes:
    """Claim that a progressive JPEG has arithmetic coding."""
    return jpeg.replace(b"\xff\xc2", b"\xff\xca", 1)


def encode_tiff(
    tile: tuple[int, int],
    tiles: int,
    compression: int = 1,
    side: int = 100,
    height: int | None = None,
    content: bytes = bytes(256),
) -> bytes:
    """A gray TIFF whose tiles all have the same content."""
    tags = {256: side, 257: height or side, 258: 8, 259: compression, 262: 1, 277: 1, 322: tile[0], 323: tile[1]}
    begin = 8 + 2 + 12 * (len(tags) + 2) + 4
    counts = begin + len(content)
    offsets = counts + 4 * tiles
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()]
    entries += [struct.pack("<HHII", 324, 4, tiles, offsets if tiles > 1 else begin)]
    entries += [struct.pack("<HHII", 325, 4, tiles, counts if tiles > 1 else len(content))]
    header = b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries) + bytes(4)
    return header + content + struct.pack("<I", len(content)) * tiles + struct.pack("<I", begin) * tiles


def add_segments(segment: bytes, times: int) -> bytes:
    """Put segments into a JPEG, before its pixels."""
    return encode_jpeg()[:2] + segment * times + encode_jpeg()[2:]


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def encode_png(before: bytes = b"", after: bytes = b"") -> bytes:
    """A gray PNG of 4 x 4 pixels with chunks before and after its pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(4 * 5)))
    return b"\x89PNG\r\n\x1a\n" + header + before + pixels + after + chunk(b"IEND")


def encode_gif(before: bytes = b"") -> bytes:
    """A GIF with blocks before its frame."""
    buffer = io.BytesIO()
    PIL.Image.new("L", (4, 4)).save(buffer, "GIF")
    gif = buffer.getvalue()
    start = 13 + (3 << (gif[10] & 7) + 1)  # after the palette
    return gif[:start] + before + gif[start:]


def encode_rle_bmp(width: int, height: int, rows: int = 1) -> bytes:
    """A BMP of palette indices whose rows are one run each."""
    row = b"\xff\1" * (width // 255) + bytes([width % 255, 1, 0, 0])
    palette, start = bytes(4 * 256), 14 + 40 + 4 * 256
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, rows * len(row), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", start + rows * len(row), 0, 0, start) + header + palette + row * rows


def encode_tiff_strips(strips: int) -> bytes:
    """A gray TIFF of one pixel per row, where each row is a strip."""
    tags = {256: 1, 257: strips, 258: 8, 259: 1, 262: 1, 273: strips, 277: 1, 278: 1}
    begin = 8 + 2 + 12 * len(tags) + 4
    entries = [
        struct.pack("<HHII", tag, 4, *((value, begin) if tag == 273 else (1, value))) for tag, value in tags.items()
    ]
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(entries) + bytes(4) + struct.pack("<I", 8) * strips


def encode_tiff_tags(tags: int) -> bytes:
    entries = b"".join(struct.pack("<HHII", 1000 + tag, 4, 1, 0) for tag in range(tags))
    return b"II*\0" + struct.pack("<IH", 8, tags) + entries + bytes(4)


PROFILE = chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1000)))
PACKBITS = 32773
NOTHING = b"\x80" * 2500  # a byte that stands for no pixel
PACKED_TILE = b"\x81\0" * 2  # twice 128 black pixels
THIN = "a TIFF of 10 x 80000 pixels with tiles of 335544320 pixels"
FULL = "a TIFF of 100 x 100 pixels with 122696 bytes in strips or tiles"
JPEG_IN_TIFF = "a TIFF whose JPEG data has more than 10 scans"
SEGMENTS = "a JPEG with more than 1000 segments before its pixels"
BLOCKS = "a GIF with more than 4000 blocks before its first frame"
BMP = "a compressed BMP of more than 10000000 pixels or bytes; save it as PNG"
SCANS = "a JPEG with more than 100 scans, which would take very long to decode"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (repeat_last_scan(encode_jpeg(progressive=True), 100_000), SCANS),
        (repeat_last_scan(encode_jpeg(progressive=True), 91), SCANS),
        (split_scans(encode_jpeg(), 101), SCANS),
        (make_arithmetic(repeat_last_scan(encode_jpeg(progressive=True), 1)), SCANS.replace("100", "10")),
        (encode_tiff((40_000, 40_000), 1), "a TIFF of 100 x 100 pixels with a tile of 40000 x 40000"),
        (encode_tiff((40_000, 40_000), 1, compression=8), "a TIFF of 100 x 100 pixels with a tile of 40000 x 40000"),
        (encode_tiff((16, 16), 1000), "a TIFF of 100 x 100 pixels with 1000 tiles"),
        (encode_tiff((4096, 4096), 20, side=10, height=80_000), THIN),
        (encode_tiff((16, 16), 49, compression=PACKBITS, content=NOTHING + PACKED_TILE), FULL),
        (encode_tiff((16, 16), 49, compression=7, content=repeat_last_scan(encode_gray_jpeg(), 8)), JPEG_IN_TIFF),
        (encode_tiff((16, 16), 100_001), "a TIFF with 100001 strips or tiles"),
        (encode_tiff_strips(100_001), "a TIFF with 100001 strips or tiles"),
        (encode_tiff_tags(5001), "a TIFF with 5001 tags"),
        (add_segments(b"\xff\xe1\0\x09Exif\0\0a", 100_000), SEGMENTS),
        (add_segments(b"\xff", 100_000), SEGMENTS),
        (encode_png(before=chunk(b"abCd") * 100_000), "a PNG with more than 100000 chunks"),
        (encode_png(after=chunk(b"abCd") * 100_000), "a PNG with more than 100000 chunks"),
        (encode_png(before=PROFILE * 2), "a PNG with more than one color profile"),
        (encode_png(PROFILE, after=PROFILE), "a PNG with more than one color profile"),
        (encode_gif(b"\x21\xfe" + b"\1a" * 4000 + b"\0"), BLOCKS),
        (encode_gif(b"\x21\xfe\1a\0" * 1400), BLOCKS),
        (encode_gif(bytes(4001)), BLOCKS),
        (encode_rle_bmp(1000, 10_001), BMP),
        (encode_rle_bmp(100, 100) + bytes(10_000_000), BMP),
    ],
    ids=lambda value: value[:5].hex() if isinstance(value, bytes) else value[:40],
)
def test_read_image__refuses_what_takes_far_longer_than_its_pixels(tmp_path: Path, content: bytes, reason: str):
    (tmp_path / "a.jpg").write_bytes(content)
    began = time.process_time()
    for source, shown in ((content, reason), (tmp_path / "a.jpg", f"{tmp_path / 'a.jpg'}: {reason}")):
        with pytest.raises(DataError) as caught:
            read_image(source, max_megapixels=11)
        assert str(caught.value) == shown
    assert time.process_time() - began < 2


@pytest.mark.filterwarnings("ignore")
def test_read_image__overlapping_tags_do_not_multiply_the_file():
    """Each of 1000 tags has all bytes of the file; Pillow before 13 copies them 1000 times."""
    size, tags = 1_000_000, 1000
    entries = b"".join(struct.pack("<HHII", 1000 + tag, 7, size // 2, 8) for tag in range(tags))
    content = (b"II*\0" + struct.pack("<IH", 8, tags) + entries + bytes(4)).ljust(size, b"\0")
    tracemalloc.start()
    try:
        for source in (content, encode_png(before=chunk(b"eXIf", content))):
            with suppress(DataError):
                read_image(source)
        assert tracemalloc.get_traced_memory()[1] < 20 * size
    finally:
        tracemalloc.stop()


def test_read_mask__refuses_what_takes_far_longer_than_its_pixels(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(encode_png(after=PROFILE * 2))
    with pytest.raises(DataError, match=r"a\.png cannot be read \(a PNG with more than one color profile\)"):
        read_mask(tmp_path / "a.png")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no /dev/zero")
def test_read_mask__a_device_without_an_end(tmp_path: Path):
    (tmp_path / "a.png").symlink_to("/dev/zero")
    with pytest.raises(DataError, match=r"a\.png cannot be read"):
        read_mask(tmp_path / "a.png")


def test_read_mask__other_formats_of_pillow_are_not_opened(tmp_path: Path):
    """Pillow would start Ghostscript to draw this one."""
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\n")
    with pytest.raises(DataError, match="cannot identify image file"):
        read_mask(tmp_path / "a.png")


@pytest.mark.parametrize(
    "content",
    [
        encode_jpeg(),
        encode_jpeg(progressive=True),
        repeat_last_scan(encode_jpeg(progressive=True), 90),
        encode_jpeg() + b"\xff\xda\x00\x02" * 1000,
        encode_jpeg(restart_marker_blocks=1, comment=b"\xff\xda\x00\x02" * 1000),
        encode_jpeg(progressive=True, restart_marker_blocks=1, exif=b"Exif\0\0" + b"\xff\xda" * 1000),
        encode_tiff((1024, 1024), 1, side=1024)[:-8] + bytes(2**20),
        encode_tiff((16, 16), 49),
        encode_tiff((16, 16), 49, compression=PACKBITS, content=NOTHING[:1000] + PACKED_TILE),
        encode_tiff((16, 16), 49, compression=7, content=encode_gray_jpeg()),
        add_segments(b"\xff\xe2\0\x10ICC_PROFILE\0\1\1", 255),
        encode_png(before=PROFILE + chunk(b"tEXt", b"a\0b") * 100, after=chunk(b"tEXt", b"a\0b") * 100),
        encode_gif(b"\x21\xfe" + b"\xff" + b"a" * 255 + b"\0"),
        encode_rle_bmp(300, 10, rows=10),
    ],
    ids=[
        *("baseline", "progressive", "100 scans", "after the end", "comment", "exif", "one tile", "all tiles"),
        *("compressed tiles", "JPEG tiles"),
        *("color profile in parts", "texts", "comment of a GIF", "compressed BMP"),
    ],
)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_read_image__takes_what_encoders_write(content: bytes):
    assert read_image(content).ndim == 3
