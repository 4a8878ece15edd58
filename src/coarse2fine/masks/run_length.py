"""Run-length encodings of labeling tools: the brush format of Label Studio and the counts of CVAT.

The run lengths of COCO are written and read by pycocotools.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from coarse2fine.errors import DataError
from coarse2fine.types import Mask

_CHANNELS = 4
_ALPHA = 3
_SIZES = (3, 4, 8, 16)  # bits of a run's length, as Label Studio itself writes them
_WORD_BITS = 8
_LONGEST = 1 << _SIZES[-1]
_HEADER_BITS = 32 + 5 + 4 * len(_SIZES)


def find_runs(flat: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Compute the lengths of the runs of equal values, in order; an empty array has no runs."""
    ends = np.flatnonzero(np.diff(flat)) + 1
    return np.diff(np.concatenate([[0], ends, [flat.size]])) if flat.size else np.zeros(0, np.int64)


def encode_brush(binary: Mask) -> list[int]:
    """Encode a binary mask as a brush region of Label Studio: an image of four channels, 255 on the object.

    Args:
        binary: Shape (H, W), 0 and 1.

    Returns:
        Bytes, 0 to 255, for the field ``rle``.

    Source: https://github.com/thi-ng/umbrella, packages/rle-pack; label_studio_converter.brush.
    """
    flat = binary.ravel()
    lengths = find_runs(flat) * _CHANNELS
    values = flat[np.cumsum(lengths) // _CHANNELS - 1].astype(np.uint64) * np.uint64(255)
    pieces = -(-lengths // _LONGEST)
    values = np.repeat(values, pieces)
    lasts = np.cumsum(pieces) - 1
    runs = np.full(int(pieces.sum()), _LONGEST)
    runs[lasts] = lengths - (pieces - 1) * _LONGEST
    header = (flat.size * _CHANNELS << 21) | (_WORD_BITS - 1 << 16) | _join([size - 1 for size in _SIZES], 4)
    bits = [np.array([header >> shift & 1 for shift in range(_HEADER_BITS - 1, -1, -1)], np.uint8)]
    return [int(byte) for byte in np.packbits(np.concatenate([*bits, _pack_runs(runs, values)]))]


def decode_brush(rle: Sequence[int], height: int, width: int) -> Mask:
    """Decode a brush region of Label Studio; the object are the pixels with an alpha value above 127.

    Args:
        rle: Bytes, 0 to 255.
        height: Height of the photo, in pixels.
        width: Width of the photo, in pixels.

    Returns:
        Binary mask, shape (H, W).

    Raises:
        DataError: The bytes do not encode an image of this size.
    """
    total = height * width * _CHANNELS
    try:
        bits = _Bits(bytes(rle))
        found, word, sizes = bits.read(32), bits.read(5) + 1, [bits.read(4) + 1 for _ in range(4)]
        if found != total or word != _WORD_BITS:
            raise ValueError(f"{found} values of {word} bits")
        return _read_alpha(bits, total, sizes).reshape(height, width)
    except ValueError as error:
        raise DataError(
            f"A brush region must encode {width} x {height} pixels in four channels, but this one is damaged or has "
            f"another size ({error})."
        ) from error


def encode_counts(binary: Mask) -> list[int]:
    """Encode a binary mask as CVAT does: the number of pixels that are 0, 1, 0, ..., row by row.

    Args:
        binary: Shape (H, W), 0 and 1; CVAT's files contain only the bounding box of an object.
    """
    flat = binary.ravel()
    runs = find_runs(flat).tolist()
    return [0, *runs] if flat.size and flat[0] else runs


def decode_counts(counts: Sequence[int], height: int, width: int) -> Mask:
    """Decode the counts of :func:`encode_counts` to a binary mask, shape (H, W).

    Raises:
        DataError: The sum of the counts is not ``height * width``.
    """
    if min(counts, default=0) < 0 or sum(counts) != height * width:
        raise DataError(f"The counts of a mask of {width} x {height} pixels must have the sum {height * width}.")
    values = (np.arange(len(counts)) & 1).astype(np.uint8)
    mask: Mask = np.repeat(values, counts).reshape(height, width)
    return mask


def _join(values: Sequence[int], bits: int) -> int:
    joined = 0
    for value in values:
        joined = joined << bits | value
    return joined


def _pack_runs(runs: NDArray[np.int64], values: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Encode each run as bits: a 1, the index of its size, its length minus one in that many bits, its value."""
    which = np.searchsorted([1 << size for size in _SIZES], runs)
    sizes = np.array(_SIZES)[which].astype(np.uint64)
    length_and_value = (runs - 1).astype(np.uint64) << np.uint64(_WORD_BITS) | values
    words = (np.uint64(4) | which.astype(np.uint64)) << (sizes + np.uint64(_WORD_BITS)) | length_and_value
    widths = (3 + sizes + np.uint64(_WORD_BITS)).astype(np.int64)
    starts = np.cumsum(widths) - widths
    place = np.arange(int(widths.sum())) - np.repeat(starts, widths)
    shifts = (np.repeat(widths, widths) - 1 - place).astype(np.uint64)
    return (np.repeat(words, widths) >> shifts & np.uint64(1)).astype(np.uint8)


class _Bits:
    """Reads bits from bytes, from the highest bit of each byte."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def read(self, count: int) -> int:
        first, last = self.at // 8, (self.at + count + 7) // 8
        if last > len(self.data):
            raise ValueError(f"it ends after {len(self.data)} bytes")
        word = int.from_bytes(self.data[first:last], "big") >> (8 * last - self.at - count)
        self.at += count
        return word & ((1 << count) - 1)


def _read_alpha(bits: _Bits, total: int, sizes: Sequence[int]) -> Mask:
    """Read runs of ``total`` values of all channels; return 1 where the alpha value of a pixel is above 127, flat."""
    alpha, done = np.zeros(total // _CHANNELS, np.uint8), 0
    while done < total:
        alike = bits.read(1)
        end = done + 1 + bits.read(sizes[bits.read(2)])
        if end > total:
            raise ValueError(f"its runs hold more than {total} values")
        pixels = slice(done // _CHANNELS, end // _CHANNELS)  # whose alpha values, their last ones, lie in the run
        if alike:
            alpha[pixels] = bits.read(_WORD_BITS) > 127
        else:
            values = [bits.read(_WORD_BITS) for _ in range(done, end)]
            alpha[pixels] = [value > 127 for value in values[_ALPHA - done % _CHANNELS :: _CHANNELS]]
        done = end
    return alpha
