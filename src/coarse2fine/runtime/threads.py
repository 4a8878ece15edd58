"""Thread pools with bounded look-ahead, and the number of threads of OpenCV and torch."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

import cv2

Item = TypeVar("Item")
Result = TypeVar("Result")

_lock = threading.Lock()
_active_limits = 0
_threads_before = 0


def map_threads(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int, ahead: int | None = None
) -> Iterator[Result]:
    """Apply a function to items in a thread pool and yield the results in order.

    An exception of ``work`` is raised here, and no further item is started.

    Args:
        work: Called with one item.
        items: Taken from the iterable only as they are needed, so that it may be endless.
        threads: Calls that run at the same time.
        ahead: Results that may be running or waiting to be yielded, at least 1; default: twice ``threads``.
    """
    source = iter(items)
    with ThreadPoolExecutor(threads) as pool:
        futures: deque[Future[Result]] = deque(pool.submit(work, item) for item in islice(source, ahead or 2 * threads))
        try:
            while futures:
                result = futures.popleft().result()
                futures.extend(pool.submit(work, item) for item in islice(source, 1))
                yield result
        finally:
            for future in futures:
                future.cancel()


@contextmanager
def single_threaded_opencv() -> Iterator[None]:
    """Let OpenCV compute in the calling thread only, as long as the block lasts.

    If a stage already keeps one thread per core busy, further threads of OpenCV make it slower.
    """
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


@contextmanager
def torch_threads(threads: int | None) -> Iterator[None]:
    """Let torch compute with a number of threads inside the block, and with the previous number after it.

    Several threads of the program may be in such a block at the same time: the number from before the first block
    returns.

    Args:
        threads: Threads that compute one layer together; None: no change.
    """
    global _active_limits, _threads_before  # noqa: PLW0603
    if threads is None:
        yield
        return
    import torch

    with _lock:
        if _active_limits == 0:
            _threads_before = torch.get_num_threads()
        _active_limits += 1
        torch.set_num_threads(threads)  # OpenMP keeps this number per calling thread, so each block sets it
    try:
        yield
    finally:
        with _lock:
            _active_limits -= 1
            torch.set_num_threads(_threads_before)
