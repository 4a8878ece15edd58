"""Pillow refuses large images for the whole process; here only what reads photos and masks puts that limit aside."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import PIL.Image

_lock = threading.Lock()
_readers = 0
_limit_of_others = PIL.Image.MAX_IMAGE_PIXELS


@contextmanager
def lift_pixel_limit() -> Iterator[None]:
    """Put Pillow's limit on pixels aside while any thread is in such a block; the caller checks sizes itself."""
    global _readers, _limit_of_others  # noqa: PLW0603
    with _lock:
        if _readers == 0:
            _limit_of_others, PIL.Image.MAX_IMAGE_PIXELS = PIL.Image.MAX_IMAGE_PIXELS, None
        _readers += 1
    try:
        yield
    finally:
        with _lock:
            _readers -= 1
            if _readers == 0:
                PIL.Image.MAX_IMAGE_PIXELS = _limit_of_others
