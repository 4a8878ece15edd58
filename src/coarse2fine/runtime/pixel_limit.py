"""Lift Pillow's limit on the pixels of an image while photos and masks are read.

Pillow refuses large images in the whole process. A program that uses this package may rely on that limit, so it is
lifted only while this package reads a file.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import PIL.Image

_lock = threading.Lock()
_active_readers = 0
_limit_before = PIL.Image.MAX_IMAGE_PIXELS


@contextmanager
def lift_pixel_limit() -> Iterator[None]:
    """Remove Pillow's pixel limit while any thread is inside such a block; the caller checks sizes itself."""
    global _active_readers, _limit_before  # noqa: PLW0603
    with _lock:
        if _active_readers == 0:
            _limit_before, PIL.Image.MAX_IMAGE_PIXELS = PIL.Image.MAX_IMAGE_PIXELS, None
        _active_readers += 1
    try:
        yield
    finally:
        with _lock:
            _active_readers -= 1
            if _active_readers == 0:
                PIL.Image.MAX_IMAGE_PIXELS = _limit_before
