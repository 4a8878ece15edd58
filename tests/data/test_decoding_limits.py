import io
import struct
import time
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from coarse2fine.data.photos import read_image
from coarse2fine.errors import DataError


def encode_jpeg(**options: object) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    buffer = io.BytesIO()
    PIL.Image.fromarray(noise).save(buffer, "JPEG", **options)
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


def encode_tiff(tile: tuple[int, int], tiles: int, compression: int = 1, side: int = 100) -> bytes:
    """A gray TIFF whose tiles all have the same content."""
    tags = {256: side, 257: side, 258: 8, 259: compression, 262: 1, 277: 1, 322: tile[0], 323: tile[1]}
    content = bytes(256)
    begin = 8 + 2 + 12 * (len(tags) + 2) + 4
    counts = begin + len(content)
    offsets = counts + 4 * tiles
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()]
    entries += [struct.pack("<HHII", 324, 4, tiles, offsets if tiles > 1 else begin)]
    entries += [struct.pack("<HHII", 325, 4, tiles, counts if tiles > 1 else len(content))]
    header = b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries) + bytes(4)
    return header + content + struct.pack("<I", len(content)) * tiles + struct.pack("<I", begin) * tiles


SCANS = "a JPEG with more than 100 scans, which would take very long to decode"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (repeat_last_scan(encode_jpeg(progressive=True), 100_000), SCANS),
        (repeat_last_scan(encode_jpeg(progressive=True), 91), SCANS),
        (split_scans(encode_jpeg(), 101), SCANS),
        (encode_tiff((40_000, 40_000), 1), "a TIFF of 100 x 100 pixels with a tile of 40000 x 40000"),
        (encode_tiff((40_000, 40_000), 1, compression=8), "a TIFF of 100 x 100 pixels with a tile of 40000 x 40000"),
        (encode_tiff((16, 16), 1000), "a TIFF of 100 x 100 pixels with 1000 tiles"),
    ],
    ids=["scans", "101 scans", "sequential scans", "tile", "compressed tile", "tiles"],
)
def test_read_image__refuses_what_takes_far_longer_than_its_pixels(tmp_path: Path, content: bytes, reason: str):
    (tmp_path / "a.jpg").write_bytes(content)
    began = time.process_time()
    for source, shown in ((content, reason), (tmp_path / "a.jpg", f"{tmp_path / 'a.jpg'}: {reason}")):
        with pytest.raises(DataError) as caught:
            read_image(source, max_megapixels=1)
        assert str(caught.value) == shown
    assert time.process_time() - began < 2


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
    ],
    ids=["baseline", "progressive", "100 scans", "after the end", "comment", "exif", "one tile", "all tiles"],
)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_read_image__takes_what_encoders_write(content: bytes):
    assert read_image(content).ndim == 3
