"""Let work reach a state that can be saved before SIGINT (Ctrl-C) or SIGTERM ends the process."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_NOTE = b"coarse2fine: the running step is finished and saved first; a second signal stops at once\n"


@contextmanager
def defer_signals() -> Iterator[Callable[[], bool]]:
    """Record a first SIGINT or SIGTERM inside the block instead of acting on it.

    When the block ends, the signal has the effect that it had before the block, such as a KeyboardInterrupt. A second
    signal has that effect at once. Signals that were ignored stay ignored. Outside the main thread, where Python allows
    no signal handlers, nothing changes.

    Yields:
        A function that returns whether a signal arrived; the block should then end soon.
    """
    received: list[int] = []

    def record(number: int, _frame: FrameType | None) -> None:
        if received:
            restore()
            signal.raise_signal(number)
        received.append(number)
        with suppress(OSError, ValueError):  # print is not allowed in a signal handler; stderr may have no descriptor
            os.write(sys.stderr.fileno(), _NOTE)

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {}
    if threading.current_thread() is threading.main_thread():
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        before = {number: handler for number, handler in handlers.items() if handler not in (None, signal.SIG_IGN)}
    for number in before:
        signal.signal(number, record)
    try:
        yield lambda: bool(received)
    finally:
        restore()
        if received:
            signal.raise_signal(received[0])


def ignore_signals() -> None:
    """Ignore SIGINT and SIGTERM in this worker process: its parent ends it, after it has saved its state.

    Ctrl-C in a terminal, and some job schedulers, signal all processes of a program at once.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
