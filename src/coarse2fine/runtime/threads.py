"""A thread pool with bounded look-ahead, and OpenCV without threads of its own."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

import cv2

Item = TypeVar("Item")


Result = TypeVar("Result")


def map_threads(work: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """Yield ``work(item)`` in order, ``threads`` at a time, with a bounded number in flight.

    An exception of ``work`` is raised here, and nothing further is started.
    """
    source = iter(items)
    with ThreadPoolExecutor(threads) as pool:
        ahead: deque[Future[Result]] = deque(pool.submit(work, item) for item in islice(source, 2 * threads))
        try:
            while ahead:
                result = ahead.popleft().result()
                ahead.extend(pool.submit(work, item) for item in islice(source, 1))
                yield result
        finally:
            for future in ahead:
                future.cancel()


@contextmanager
def single_threaded_opencv() -> Iterator[None]:
    """Let OpenCV compute in the calling thread only, as long as the block lasts.

    A stage that keeps one thread busy per core only gets slower by the threads of OpenCV.
    """
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
