"""Principal directions of many frames, computed in a few passes and in constant memory.

Method: block subspace iteration (Golub and Van Loan, Matrix Computations, section 8.2.4; started as in Halko,
Martinsson and Tropp 2011). Each pass multiplies a block of directions by X Xᵀ, frame by frame, and rotates the block to
the best directions within it (Rayleigh-Ritz). Memory is two blocks and one chunk of frames, for any number of frames.

The eigenvectors of the n x n Gram matrix of all frames give the same result (a test compares them), but need all frames
in memory. One method for all lengths is simpler, and a pass costs far less than decoding the frames.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from coarse2fine.errors import DataError
from coarse2fine.types import Image

BLOCK = 16
"""Number of directions in a block. More directions need fewer passes."""

CONVERGED_ANGLE = 1e-3
"""The iteration ends when the directions turn by less than this angle, in radians.

On DAVIS a hundredth of it changes the soft masks by 0.00001 on average, and their IoU in the fifth digit."""

MAX_PASSES = 30
"""Limit of the number of passes. Directions that have not converged by then have nearly the same strength, so that any
of them can be used."""

CHUNK_MB = 32
"""Size of the frames, as float32, that are multiplied at once."""

Floats = NDArray[np.float32]


def principal_directions(frames: Iterable[Image], count: int = 3, chunk: int | None = None) -> Floats:
    """Compute the directions along which the mean-subtracted frames vary most.

    They are the first left singular vectors U of the matrix X, which has the frames as columns. U Uᵀ x is the
    reconstruction of frame x from the top eigenvectors of the Gram matrix XᵀX.

    Args:
        frames: RGB frames of the same shape (H, W, 3); iterated once per pass.
        count: Number of directions; 3 in the source.
        chunk: Number of frames to multiply at once; None: as many as fit 32 MB. It changes rounding only.

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
        if before is not None and _angle(before, found) < CONVERGED_ANGLE:
            break
        block = _orthonormal(product)
    assert found is not None
    return found


def center(frame: Image) -> Floats:
    """Scale a frame to 0..1 and subtract its mean (one number); return shape (H * W * 3,).

    Source: steps 1 and 2 of VideoPCA.
    """
    flat = frame.reshape(-1).astype(np.float32)
    flat /= 255
    flat -= flat.mean(dtype=np.float64)
    return flat


def _sketch(frames: Iterable[Image], chunk: int | None) -> Floats:
    """Return orthonormal random combinations of the frames, shape (b, P), the same in every call."""
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
    """Return the block times X Xᵀ, shape (b, P), and the covariance of the frames within the block, shape (b, b)."""
    product = np.zeros_like(block)
    energy = np.zeros((len(block), len(block)))
    for part in _chunks(frames, chunk):
        inside = part @ block.T
        product += inside.T @ part
        energy += inside.T.astype(np.float64) @ inside.astype(np.float64)
    return product, energy


def _chunks(frames: Iterable[Image], chunk: int | None) -> Iterator[Floats]:
    """Yield centered frames as rows, several at a time."""
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
    """Return the sine of the largest angle between two subspaces, from the part of ``now`` outside ``before``."""
    outside = now - (now @ before.T) @ before
    return float(np.sqrt(np.linalg.eigvalsh(outside @ outside.T)[-1].clip(0)))
