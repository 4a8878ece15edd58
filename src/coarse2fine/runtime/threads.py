"""A thread pool with bounded look-ahead."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

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
