"""Decode video files with PyAV (FFmpeg), an optional library, the extra ``video``."""

import errno
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

FORMATS = ("mov", "avi", "matroska", "mpeg", "mpegvideo", "mpegts", "asf", "ogg", "flv", "h264", "hevc", "m4v")
"""File formats that are read, by FFmpeg's names. Some others open files and addresses that a file names (concat)."""

MAX_FRAME_MEGAPIXELS = 70.0
"""Pixels of a frame, at most; 8192 x 8192, the largest of usual videos, are 67 megapixels.

FFmpeg has a limit of 268, and keeps a frame per thread: a file of 77 kB can hold three frames of 196 megapixels.
"""


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


def decode(path: Path, every: int, max_megapixels: float = MAX_FRAME_MEGAPIXELS) -> Iterator[Image]:
    """Decode every ``every``-th frame of a video file, upright.

    Raises:
        DataError: The file cannot be opened, or the next frame cannot be decoded or has more than ``max_megapixels``.
    """
    with _open(path, max_megapixels) as (container, stream):
        stream.thread_type = "AUTO"
        for frame in islice(container.decode(stream), 0, None, every):
            yield _turn_upright(frame)


def decode_until_damage(
    path: Path, every: int, at_least: int, max_megapixels: float = MAX_FRAME_MEGAPIXELS
) -> Iterator[Image | Skipped]:
    """Decode frames up to the first damage, or up to a frame of more than ``max_megapixels``.

    Yields:
        The frames; at a damage finally the file as skipped, with the reason.

    Raises:
        DataError: Fewer than ``at_least`` frames can be decoded.
    """
    count = 0
    try:
        for image in decode(path, every, max_megapixels):
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
def _open(path: Path, max_megapixels: float = MAX_FRAME_MEGAPIXELS) -> Iterator[tuple[Any, Any]]:
    """Open a video file; yield the container and its video stream. Errors of FFmpeg in the block are DataErrors."""
    av = import_av()
    most = {"max_pixels": str(int(max_megapixels * 1e6))}  # also while FFmpeg decodes frames to find the streams
    options = most | {"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "file"}
    try:
        # Without "file:", a name such as "http:a.mp4" is an address. Titles need not be UTF-8.
        with av.open(f"file:{path}", options=options, metadata_errors="replace") as container:
            if not container.streams.video:
                raise DataError(f"{path}: the file contains no video stream")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise _DamagedError(path, "its codec is unknown")
            stream.codec_context.options = most
            yield container, stream
    except av.FFmpegError as error:
        if error.errno == errno.EINVAL:  # of a format that is not in the list, or a frame that is too large
            reason = f"no usual video format, or frames of more than {max_megapixels:g} megapixels"
        else:
            reason = (error.strerror or str(error)).lower()
        raise _DamagedError(path, reason) from error


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
