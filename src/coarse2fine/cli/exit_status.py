"""Exit status and error message of a command: one sentence and no traceback for errors that the user can fix."""

import errno
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from coarse2fine.errors import Coarse2FineError
from coarse2fine.runtime.standard_output import say_to_standard_error

BAD_INPUT = 2
INTERRUPTED = 130
TERMINATED = 143


def run_safely(run: Callable[[Sequence[str]], None], arguments: Sequence[str]) -> None:
    """Run a command; on an error that the user can fix, print one sentence and exit with its status."""
    with _terminating() as received:
        try:
            run(arguments)
        except Coarse2FineError as error:
            fail(str(error), BAD_INPUT)
        except (
            KeyboardInterrupt,
            RuntimeError,
        ) as error:  # by terminated worker processes
            if isinstance(error, RuntimeError) and not received:
                raise
            cause = "terminated by the signal SIGTERM" if received else "interrupted"
            fail(
                f"{cause}. Everything finished is kept; run the same command again to resume.",
                TERMINATED if received else INTERRUPTED,
            )
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.ENAMETOOLONG):
                raise
            where = f" ({error.filename})" if error.filename else ""
            if error.errno == errno.ENAMETOOLONG:
                fail(f"{error.strerror}{where}. Everything finished is kept; choose a shorter name.", BAD_INPUT)
            fail(
                f"{error.strerror}{where}. Everything finished is kept; free some space or choose another folder, and "
                "run the same command again.",
                BAD_INPUT,
            )


def fail(sentence: str, status: int) -> None:
    """Print a sentence to standard error and exit."""
    say_to_standard_error(f"coarse2fine: {sentence}")
    sys.exit(status)


@contextmanager
def _terminating() -> Iterator[list[int]]:
    """Raise KeyboardInterrupt on SIGTERM within the block, and add the signal to the list that is yielded."""
    received: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield received
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, before)
