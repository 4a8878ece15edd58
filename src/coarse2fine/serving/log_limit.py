"""Limits how often the same line is logged, so that hostile requests cannot fill the disk with log lines."""

import asyncio
import logging
import time
from collections import defaultdict
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from uvicorn.config import LOGGING_CONFIG

LINES = 10
PERIOD_S = 60.0


@dataclass
class _Period:
    """Lines of one kind since ``started_s``."""

    started_s: float = float("-inf")
    lines: int = 0


class RepeatedLines(logging.Filter):
    """Passes `LINES` lines of one kind per `PERIOD_S`; the next period starts with the number of lines left out.

    Lines are of one kind if they come from the same place in the code and have the same type of exception. Requests
    that are cancelled when the service stops are not logged; uvicorn logs their number.
    """

    def __init__(self) -> None:
        super().__init__()
        self._periods: defaultdict[tuple[object, ...], _Period] = defaultdict(_Period)

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log a line."""
        kind = record.exc_info and record.exc_info[0]
        if kind and issubclass(kind, asyncio.CancelledError):
            return False
        period = self._periods[record.pathname, record.lineno, kind]
        now_s = time.monotonic()
        if now_s - period.started_s >= PERIOD_S:
            left_out = period.lines - LINES
            if left_out > 0:
                record.msg = f"{record.getMessage()} ({left_out} such lines were left out before)"
                record.args = ()
            period.started_s, period.lines = now_s, 0
        period.lines += 1
        return period.lines <= LINES


def limited_logging() -> dict[str, Any]:
    """Return the logging configuration of uvicorn with `RepeatedLines`, also for the lines of asyncio."""
    config: dict[str, Any] = deepcopy(LOGGING_CONFIG)
    config["filters"] = {"repeated": {"()": RepeatedLines}}
    config["handlers"]["default"]["filters"] = ["repeated"]
    config["loggers"]["asyncio"] = {"handlers": ["default"], "level": "WARNING", "propagate": False}
    return config
