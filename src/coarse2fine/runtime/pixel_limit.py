"""Lift Pillow's limits on the pixels of an image and on the texts in a PNG while photos and masks are read.

Pillow refuses large images, and PNGs with a text of more than 1 MB (image generators store one), in the whole process.
A program that uses this package may rely on these limits, so they are lifted only while this package reads a file.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import PIL.Image
from PIL import PngImagePlugin

MAX_TEXT_MB = 64
"""Texts in a PNG take at most this much memory. Pillow has the same limit for all texts of one file together."""

_lock = threading.Lock()
_active_readers = 0
_limits_before = PIL.Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK


@contextmanager
def lift_pixel_limit() -> Iterator[None]:
    """Lift Pillow's limits while any thread is inside such a block; the caller checks the number of pixels itself."""
    global _active_readers, _limits_before  # noqa: PLW0603
    with _lock:
        if _active_readers == 0:
            _limits_before = PIL.Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK
            PIL.Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK = None, MAX_TEXT_MB << 20
        _active_readers += 1
    try:
        yield
    finally:
        with _lock:
            _active_readers -= 1
            if _active_readers == 0:
                PIL.Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK = _limits_before
