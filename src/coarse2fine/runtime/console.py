"""Output on the terminal: progress, warnings, tables; plain lines if standard output is not a terminal."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeAlias, TypeVar

from rich.console import Console as RichConsole
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from coarse2fine.runtime.standard_output import accept_any_text, discard_output, say_to_standard_error

Item = TypeVar("Item")
Advance: TypeAlias = Callable[[int], None]

PLAIN_LINE_EVERY_S = 10.0


class Console:
    """Output of one process.

    Args:
        quiet: Print only warnings and errors.
        silent: Print nothing; for all processes of a distributed run except the main process.
    """

    def __init__(self, quiet: bool = False, silent: bool = False) -> None:
        self.quiet = quiet or silent
        self.silent = silent
        accept_any_text()
        self._out = _Stream(highlight=False, soft_wrap=True)
        self._err = _Stream(stderr=True, highlight=False, soft_wrap=True)

    def say(self, text: str, style: str = "") -> None:
        """Print one line."""
        if not self.quiet:
            self._out.print(escape(text), style=style or None)

    def warn(self, text: str) -> None:
        """Print one line to standard error, also with ``quiet``."""
        if not self.silent:
            self._err.print(escape(text), style="yellow")

    def show(self, table: Table) -> None:
        """Print a table."""
        if not self.quiet:
            self._out.print(table)

    @contextmanager
    def explaining(self, text: str, after_s: float = 2.0) -> Iterator[None]:
        """Print one line if the block takes longer than ``after_s`` seconds, to explain the delay."""
        timer = threading.Timer(after_s, self.say, (text,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    @contextmanager
    def progress(self, total: int, title: str, done: int = 0, unit: str = "photos") -> Iterator[Advance]:
        """Show progress: finished units, rate and remaining time.

        Args:
            total: Total number of units.
            title: Name of the work, shown before the numbers.
            done: Units that an earlier, interrupted run has already finished.
            unit: Name of the units.

        Yields:
            A function that must be called with the number of newly finished units.
        """
        if self.quiet:
            yield lambda _count: None
        elif self._out.is_terminal:
            columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), _Rate(unit))
            with Progress(*columns, TimeRemainingColumn(elapsed_when_finished=True), console=self._out) as bar:
                task = bar.add_task(title, total=total, completed=done)
                yield lambda count: bar.advance(task, count)
        else:
            lines = _PlainProgress(self, total, title, done, unit)
            yield lines.advance
            lines.end()

    def track(self, items: Iterable[Item], total: int, title: str, done: int = 0) -> Iterator[Item]:
        """Yield photos and show their progress; arguments as for :meth:`progress`."""
        with self.progress(total, title, done) as advance:
            for item in items:
                yield item
                advance(1)


class _Stream(RichConsole):
    """Output that may be closed at the other end, without an end of the work that it reports."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        discard_output(self.file)
        if not self.stderr:
            say_to_standard_error("Standard output was closed; the work goes on.")


class _PlainProgress:
    """Progress as plain lines, one every `PLAIN_LINE_EVERY_S` seconds."""

    def __init__(self, console: Console, total: int, title: str, done: int, unit: str) -> None:
        self.console, self.total, self.title, self.unit = console, total, title, unit
        self.initial_count = self.count = done
        self.started_s = self.printed_s = time.monotonic()

    def advance(self, count: int) -> None:
        self.count += count
        if time.monotonic() - self.printed_s >= PLAIN_LINE_EVERY_S:
            self.printed_s = time.monotonic()
            rate = self._rate()
            remaining = format_seconds((self.total - self.count) / rate)
            self.console.say(f"{self.title}: {self.count}/{self.total} {self.unit}, {rate:.1f}/s, {remaining} left")

    def end(self) -> None:
        elapsed = format_seconds(time.monotonic() - self.started_s)
        self.console.say(f"{self.title}: {self.count}/{self.total} {self.unit} in {elapsed}, {self._rate():.1f}/s")

    def _rate(self) -> float:
        return max(self.count - self.initial_count, 1e-9) / max(time.monotonic() - self.started_s, 1e-9)


class _Rate(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        rate = task.finished_speed or task.speed
        return Text(f"{rate:.1f} {self.unit}/s" if rate else "", style="cyan")


def format_seconds(seconds: float) -> str:
    """Format a duration: ``4 s``, ``3 min 20 s``, ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
