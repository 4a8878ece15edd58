"""What counts as a class index in mask files of other tools."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from coarse2fine.errors import DataError
from coarse2fine.masks.palette import color_table
from coarse2fine.masks.png import read_foreground, read_mask, read_soft, read_soft_or_binary, write_mask


def gray_png(bits: int, row: bytes, width: int) -> bytes:
    """One row of gray pixels; Pillow cannot write gray of 2 and 4 bits."""
    header = struct.pack(">IIBBBBB", width, 1, bits, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b"")]
    packed = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def write_palette(path, mask, palette) -> None:
    image = Image.fromarray(np.array(mask, np.uint8))
    image.putpalette(np.array(palette, np.uint8).tobytes())
    image.save(path)


@pytest.mark.parametrize(
    "bits, row, expected",
    [
        (1, b"\x50", [0, 1, 0, 1]),
        (2, b"\x1b", [0, 1, 2, 3]),
        (4, b"\x0f\x21", [0, 15, 2, 1]),
        (8, b"\0\1\2\xff", [0, 1, 2, 255]),
    ],
)
def test_read_mask__gray_of_any_depth_holds_indices(tmp_path, bits, row, expected):
    (tmp_path / "m.png").write_bytes(gray_png(bits, row, 4))
    assert read_mask(tmp_path / "m.png").tolist() == [expected]


def test_read_soft__gray_of_few_bits_is_a_probability(tmp_path):
    (tmp_path / "m.png").write_bytes(gray_png(2, b"\x1b", 4))
    assert np.allclose(read_soft(tmp_path / "m.png"), [[0, 1 / 3, 2 / 3, 1]])


@pytest.mark.parametrize(
    "mask, order",
    [
        ([[0, 1, 2]], [0, 2, 1]),  # classes 1 and 2 swapped
        ([[0, 1]], [0, 2, 1]),  # only one of them occurs
        ([[0, 1]], [1, 0]),  # the background has index 1
        ([[0, 1, 2]], [0, 7, 15]),  # an optimizer left out the colors of classes that do not occur
    ],
)
def test_read_mask__refuses_a_palette_that_contradicts_its_indices(tmp_path, mask, order):
    write_palette(tmp_path / "m.png", mask, color_table()[order])
    for read in (read_mask, read_foreground, read_soft_or_binary):
        with pytest.raises(DataError, match=r"m\.png must have the class index .* which PASCAL VOC uses for class"):
            read(tmp_path / "m.png")


@pytest.mark.parametrize("order, is_read", [([0, 255], True), ([255, 0], False)])
def test_read_mask__black_and_white(tmp_path, order, is_read):
    write_palette(tmp_path / "m.png", [[0, 1]], [[gray] * 3 for gray in order])
    if is_read:
        assert read_mask(tmp_path / "m.png").tolist() == [[0, 1]]
    else:
        with pytest.raises(DataError, match="index 0, the background, is white and index 1 is black"):
            read_mask(tmp_path / "m.png")


@pytest.mark.parametrize(
    "palette",
    [
        color_table()[:3],
        [[0, 0, 0], [0, 0, 128]],  # one color may be that of another class of PASCAL VOC by chance
        [[0, 0, 0], [255, 255, 255], [0, 128, 0]],  # white is no color of PASCAL VOC
        np.repeat(np.arange(256), 3).reshape(-1, 3),  # a gray palette
        np.zeros((256, 3)),  # no palette
        [*color_table()[:3], *np.zeros((253, 3))],  # 255, ignored, is black
        [*color_table()[[0, 8, 10, 12]], *np.zeros((252, 3))],  # a part of the classes, renumbered with their colors
    ],
)
def test_read_mask__takes_indices_of_any_other_palette(tmp_path, palette):
    mask = {256: [[0, 1, 2, 255]], 2: [[0, 1]]}.get(len(palette), [[0, 1, 2]])
    write_palette(tmp_path / "m.png", mask, palette)
    assert read_mask(tmp_path / "m.png").tolist() == mask


@pytest.mark.parametrize("flag, is_read", [(1, True), (3, False)])
def test_read_mask__a_mask_that_exif_turns(tmp_path, flag, is_read):
    exif = Image.Exif()
    exif[0x0112] = flag
    Image.fromarray(np.ones((2, 3), np.uint8)).save(tmp_path / "m.png", exif=exif)
    if is_read:
        assert read_mask(tmp_path / "m.png").shape == (2, 3)
    else:
        with pytest.raises(DataError, match=r"m\.png must be stored upright"):
            read_mask(tmp_path / "m.png")


def test_read_mask__a_truncated_file(tmp_path):
    write_mask(tmp_path / "m.png", np.random.default_rng(0).integers(0, 9, (40, 40), np.uint8))
    content = (tmp_path / "m.png").read_bytes()
    (tmp_path / "m.png").write_bytes(content[: len(content) // 2 + 300])
    for read in (read_mask, read_foreground, read_soft_or_binary):
        with pytest.raises(DataError, match=r"m\.png cannot be read"):
            read(tmp_path / "m.png")
