"""The principal directions of many frames, found in a few passes, without a matrix that grows with their number.

Block subspace iteration (Golub and Van Loan, Matrix Computations, section 8.2.4; started as in Halko, Martinsson and
Tropp 2011): every pass multiplies a block of directions by X Xᵀ, frame by frame, and turns it to the best ones within
it (Rayleigh-Ritz). Memory is two blocks and one chunk of frames, whether the video has ten frames or a million.

The alternative, eigenvectors of the n x n Gram matrix of frames held in memory, gives the same (a test compares them);
one way for every length is less to understand, and a pass costs far less than decoding the frames does.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from coarse2fine.errors import DataError
from coarse2fine.types import Image

BLOCK = 16
"""Directions that are carried along to find a few; the more, the fewer passes."""

AT_REST = 1e-3
"""The iteration ends when no direction turns by more than this, in radians. On DAVIS a hundredth of it changes the soft
masks by 0.00001 on average, and their IoU in the fifth digit."""

MAX_PASSES = 30
"""It ends here at the latest: then directions are so nearly alike in strength that any of them serves."""

CHUNK_MB = 32  # of frames as float32, multiplied at once

Floats = NDArray[np.float32]


def principal_directions(frames: Iterable[Image], count: int = 3, chunk: int | None = None) -> Floats:
    """Find the directions along which the mean-subtracted frames vary most.

    They are the left singular vectors U of the matrix X whose columns are the frames, so that U Uᵀ x is what the top
    eigenvectors of the Gram matrix XᵀX reconstruct of frame x.

    Args:
        frames: Given again on every pass, all of the same shape (H, W, 3).
        count: How many directions; 3 in the source.
        chunk: Frames that are multiplied at once; none: as many as fit 32 MB. It changes nothing but rounding.

    Returns:
        Orthonormal rows, strongest first, shape (k, H * W * 3); k is ``count``, or the number of frames if smaller.

    Raises:
        DataError: There are no frames, or they differ in shape.

    Source: step 3 of VideoPCA (Stretcu and Leordeanu, BMVC 2015).
    """
    block = _sketch(frames, chunk)
    found: Floats | None = None
    for _ in range(MAX_PASSES):
        product, energy = _multiply(frames, block, chunk)
        turned = np.linalg.eigh(energy)[1][:, ::-1][:, :count].astype(np.float32)
        before, found = found, turned.T @ block
        if before is not None and _angle(before, found) < AT_REST:
            break
        block = _orthonormal(product)
    assert found is not None
    return found


def center(frame: Image) -> Floats:
    """Scale a frame to 0..1 and subtract its mean, one number; shape (H * W * 3,).

    Source: steps 1 and 2 of VideoPCA.
    """
    flat = frame.reshape(-1).astype(np.float32)
    flat /= 255
    flat -= flat.mean(dtype=np.float64)
    return flat


def _sketch(frames: Iterable[Image], chunk: int | None) -> Floats:
    """Random mixtures of the frames, always the same ones, made orthonormal; shape (b, P)."""
    rng = np.random.default_rng(0)
    mixed: Floats | None = None
    number = 0
    for part in _chunks(frames, chunk):
        weights = rng.standard_normal((len(part), BLOCK), dtype=np.float32)
        mixed = weights.T @ part if mixed is None else mixed + weights.T @ part
        number += len(part)
    if mixed is None:
        raise DataError("Principal directions need at least one frame, found none.")
    return _orthonormal(mixed[: min(BLOCK, number)])


def _multiply(frames: Iterable[Image], block: Floats, chunk: int | None) -> tuple[Floats, NDArray[np.float64]]:
    """The block times X Xᵀ, shape (b, P), and how the frames vary within the block, shape (b, b)."""
    product = np.zeros_like(block)
    energy = np.zeros((len(block), len(block)))
    for part in _chunks(frames, chunk):
        inside = part @ block.T
        product += inside.T @ part
        energy += inside.T.astype(np.float64) @ inside.astype(np.float64)
    return product, energy


def _chunks(frames: Iterable[Image], chunk: int | None) -> Iterator[Floats]:
    """Centerd frames as rows, several at a time."""
    rows: list[Floats] = []
    shape: tuple[int, ...] | None = None
    for frame in frames:
        shape = shape or frame.shape
        if frame.shape != shape:
            raise DataError(f"All frames of a video must have the same shape, found {shape} and {frame.shape}.")
        rows.append(center(frame))
        if len(rows) >= (chunk or max(1, CHUNK_MB * 10**6 // rows[0].nbytes)):
            yield np.stack(rows)
            rows = []
    if rows:
        yield np.stack(rows)


def _orthonormal(rows: Floats) -> Floats:
    return np.ascontiguousarray(np.linalg.qr(rows.T)[0].T)


def _angle(before: Floats, now: Floats) -> float:
    """Sine of the largest angle between two spaces of directions, from what of ``now`` lies outside ``before``."""
    outside = now - (now @ before.T) @ before
    return float(np.sqrt(np.linalg.eigvalsh(outside @ outside.T)[-1].clip(0)))
