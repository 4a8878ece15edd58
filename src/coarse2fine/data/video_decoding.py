"""Video files, decoded by PyAV (FFmpeg), which is optional: ``pip install 'coarse2fine[video]'``."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from coarse2fine.errors import ConfigError, DataError
from coarse2fine.types import Image, Skipped


def import_av() -> ModuleType:
    """PyAV.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise ConfigError(
            "Video files are decoded by PyAV, which is not installed; run pip install 'coarse2fine[video]', or give "
            "folders of frames."
        ) from error
    return av


def decode(path: Path, every: int) -> Iterator[Image]:
    """Every ``every``-th frame of a video file, upright.

    Raises:
        DataError: It cannot be opened, or not decoded any further.
    """
    av = import_av()
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise DataError(f"{path}: it holds no video stream")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for frame in islice(container.decode(stream), 0, None, every):
                yield _turn_upright(frame)
    except av.FFmpegError as error:
        raise _DamagedError(path, (error.strerror or str(error)).lower()) from error


def decode_until_damage(path: Path, every: int, at_least: int) -> Iterator[Image | Skipped]:
    """All frames that can be decoded, and then, if so, why there are no more.

    Raises:
        DataError: There are fewer than ``at_least``.
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
    """How many frames a file says it has; 0 where it says nothing, or cannot be opened."""
    av = import_av()
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                return 0
            stream = container.streams.video[0]
            seconds = container.duration / av.time_base if container.duration else 0
            return int(stream.frames or seconds * float(stream.average_rate or 0))
    except av.FFmpegError:
        return 0


class _DamagedError(DataError):
    """A video file that cannot be decoded any further."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: truncated, damaged or no video ({reason})")
        self.reason = reason


def _turn_upright(frame: Any) -> Image:
    """RGB of a decoded frame, turned as the file says: phones film upright videos lying on their side."""
    image = frame.to_ndarray(format="rgb24")
    turns = round(getattr(frame, "rotation", 0) / 90) % 4  # PyAV counts degrees counter-clockwise, as NumPy does
    return np.ascontiguousarray(np.rot90(image, turns))
