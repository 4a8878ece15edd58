import asyncio
import logging
import logging.config

import pytest

from coarse2fine.serving import log_limit
from coarse2fine.serving.log_limit import LINES, PERIOD_S, RepeatedLines


@pytest.fixture
def clock(monkeypatch):
    """The monotonic clock, as a list of one time in seconds."""
    now_s = [100.0]
    monkeypatch.setattr(log_limit.time, "monotonic", lambda: now_s[0])
    return now_s


def make_line(line: int, error: type[BaseException] | None = None) -> logging.LogRecord:
    problem = (error, error(), None) if error else None
    return logging.LogRecord("uvicorn.error", logging.WARNING, "file.py", line, "request %d", (line,), problem)


def test_repeated_lines__pass_up_to_the_limit_and_are_counted(clock):
    limit = RepeatedLines()
    assert [limit.filter(make_line(1)) for _ in range(LINES + 5)] == [True] * LINES + [False] * 5
    clock[0] += PERIOD_S
    first, second = make_line(1), make_line(1)
    assert limit.filter(first) and first.getMessage() == "request 1 (5 such lines were left out before)"
    assert limit.filter(second) and second.getMessage() == "request 1"


def test_repeated_lines__other_places_and_other_errors_pass(clock):
    limit = RepeatedLines()
    for _ in range(LINES + 1):
        limit.filter(make_line(1, ValueError))
    assert not limit.filter(make_line(1, ValueError))
    assert (
        limit.filter(make_line(1, KeyError)) and limit.filter(make_line(1)) and limit.filter(make_line(2, ValueError))
    )


def test_repeated_lines__requests_that_are_cancelled_at_the_end_have_no_traceback(clock):
    assert not RepeatedLines().filter(make_line(1, asyncio.CancelledError))
