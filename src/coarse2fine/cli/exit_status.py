"""How a command ends when something is wrong: one sentence, a status, no traceback for what the user can mend."""

import errno
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType

from coarse2fine.errors import Coarse2FineError

BAD_INPUT = 2
STOPPED = 130
TERMINATED = 143


def run_safely(run: Callable[[Sequence[str]], None], arguments: Sequence[str]) -> None:
    """Run a verb; say what went wrong in one sentence and exit with its status."""
    terminated: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        terminated.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        run(arguments)
    except Coarse2FineError as error:
        fail(str(error), BAD_INPUT)
    except BrokenPipeError:
        sys.exit(0)
    except (KeyboardInterrupt, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not terminated:
            raise
        _say_stopped(bool(terminated))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise
        where = f" ({error.filename})" if error.filename else ""
        fail(
            f"{error.strerror}{where}; everything finished is kept: make room, and run the same command again.",
            BAD_INPUT,
        )


def _say_stopped(terminated: bool) -> None:
    how = "by a signal, perhaps of the launcher because another process ended" if terminated else "by you"
    fail(
        f"stopped {how}; everything finished is kept: the same command goes on from here.",
        TERMINATED if terminated else STOPPED,
    )


def fail(sentence: str, status: int) -> None:
    """Print a sentence to standard error and exit."""
    print(f"coarse2fine: {sentence}", file=sys.stderr, flush=True)  # noqa: T201
    sys.exit(status)
