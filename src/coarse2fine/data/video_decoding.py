"""Decode video files with PyAV (FFmpeg), an optional library, the extra ``video``."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from coarse2fine.errors import ConfigError, DataError
from coarse2fine.runtime.extras import install_command
from coarse2fine.types import Image, Skipped

DEFAULT_FRAME_RATE = 25
"""Frames per second of a video file that does not say."""


def import_av() -> ModuleType:
    """Import PyAV.

    Raises:
        ConfigError: PyAV is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise ConfigError(
            f"Video files need PyAV, which is not installed: {install_command('video')}, or pass folders of frames."
        ) from error
    return av


def decode(path: Path, every: int) -> Iterator[Image]:
    """Decode every ``every``-th frame of a video file, upright.

    Raises:
        DataError: The file cannot be opened, or the next frame cannot be decoded.
    """
    with _open(path) as (container, stream):
        stream.thread_type = "AUTO"
        for frame in islice(container.decode(stream), 0, None, every):
            yield _turn_upright(frame)


def decode_until_damage(path: Path, every: int, at_least: int) -> Iterator[Image | Skipped]:
    """Decode frames up to the first damage.

    Yields:
        The frames; at a damage finally the file as skipped, with the reason.

    Raises:
        DataError: Fewer than ``at_least`` frames can be decoded.
    """
    count = 0
    try:
        for image in decode(path, every):
            count += 1
            yield image
    except _DamagedError as error:
        if count < at_least:
            raise
        yield Skipped(path, f"damaged after {count} frames, which are used ({error.reason})")


def estimate_length(path: Path) -> int:
    """Return the number of frames in the header of a file; 0 if it is unknown, or the file cannot be opened."""
    av = import_av()
    try:
        with _open(path) as (container, stream):
            seconds = container.duration / av.time_base if container.duration else 0
            return int(stream.frames or seconds * float(stream.average_rate or 0))
    except DataError:
        return 0


def read_frame_rate(path: Path) -> Fraction:
    """Return the average number of frames per second of a video file; `DEFAULT_FRAME_RATE` if it does not say.

    Raises:
        DataError: The file cannot be opened, or contains no video stream.
    """
    with _open(path) as (_, stream):
        return Fraction(stream.average_rate or DEFAULT_FRAME_RATE)


@contextmanager
def _open(path: Path) -> Iterator[tuple[Any, Any]]:
    """Open a video file; yield the container and its video stream. Errors of FFmpeg in the block are DataErrors."""
    av = import_av()
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise DataError(f"{path}: the file contains no video stream")
            yield container, container.streams.video[0]
    except av.FFmpegError as error:
        raise _DamagedError(path, (error.strerror or str(error)).lower()) from error


class _DamagedError(DataError):
    """A video file is damaged from some frame on."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: truncated, damaged, or not a video ({reason})")
        self.reason = reason


def _turn_upright(frame: Any) -> Image:
    """Convert a decoded frame to RGB and rotate it as the file says: phones store upright videos rotated."""
    image = frame.to_ndarray(format="rgb24")
    turns = round(getattr(frame, "rotation", 0) / 90) % 4  # PyAV counts degrees counter-clockwise, as NumPy does
    return np.ascontiguousarray(np.rot90(image, turns))
