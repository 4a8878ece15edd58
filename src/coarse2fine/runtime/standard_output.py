r"""Standard output that lacks characters, or that nobody reads any more: neither ends the work that it reports."""

import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO


def accept_any_text() -> None:
    r"""Let standard output write characters that its encoding lacks as ``\u732b``, as standard error does.

    It may be a file or a console in another encoding than UTF-8, and class names may be in any script.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def discard_output(stream: IO[str]) -> None:
    """Discard all further output of a stream, because the program that read it has ended (``| head``)."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, stream.fileno())
    os.close(nothing)


def say_to_standard_error(text: str) -> None:
    """Print a line to standard error, or nothing if nobody reads it any more."""
    try:
        print(text, file=sys.stderr, flush=True)  # noqa: T201
    except BrokenPipeError:
        discard_output(sys.stderr)


@contextmanager
def safe_output() -> Iterator[None]:
    """Accept any text in the block, and end it without a traceback if nobody reads the output any more."""
    accept_any_text()
    try:
        yield
    except BrokenPipeError:
        if not _is_closed():  # another pipe is broken
            raise
        discard_output(sys.stdout)
        sys.exit(0)
    finally:
        try:
            if sys.stdout:
                sys.stdout.flush()
        except BrokenPipeError:  # it would be raised when Python ends
            discard_output(sys.stdout)


def _is_closed() -> bool:
    """Return whether nobody reads standard output any more; where this cannot be found out (Windows), return true."""
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return bool(poll.poll(0))
