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
    stopped_by: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        stopped_by.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        run(arguments)
    except Coarse2FineError as error:
        fail(str(error), BAD_INPUT)
    except KeyboardInterrupt:
        how = "by the launcher, perhaps because another process ended" if stopped_by else "by you"
        fail(
            f"stopped {how}; everything finished is kept: the same command goes on from here.",
            TERMINATED if stopped_by else STOPPED,
        )
    except BrokenPipeError:
        sys.exit(0)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise
        where = f" ({error.filename})" if error.filename else ""
        fail(
            f"{error.strerror}{where}; everything finished is kept: make room, and run the same command again.",
            BAD_INPUT,
        )


def fail(sentence: str, status: int) -> None:
    """Print a sentence to standard error and exit."""
    print(f"coarse2fine: {sentence}", file=sys.stderr, flush=True)  # noqa: T201
    sys.exit(status)
