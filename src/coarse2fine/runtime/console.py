"""Output on the terminal: progress, warnings, tables; plain lines if standard output is not a terminal."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeAlias, TypeVar

from rich.console import Console as RichConsole
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
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
    def progress(self, total: int, title: str, done: int = 0, unit: str = "photos") -> Iterator[Advance]:
        """Show progress: finished units, their rate since the start, the time that passed and the time left.

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
            columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn())
            with Progress(*columns, _Rate(unit, done), _Passed(), _Left(done), console=self._out) as bar:
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
            self.console.say(
                f"{self.title}: {self.count}/{self.total} {self.unit}, {format_rate(rate)}/s, {remaining} left"
            )

    def end(self) -> None:
        elapsed = format_seconds(time.monotonic() - self.started_s)
        self.console.say(
            f"{self.title}: {self.count}/{self.total} {self.unit} in {elapsed}, {format_rate(self._rate())}/s"
        )

    def _rate(self) -> float:
        return compute_rate(self.count - self.initial_count, time.monotonic() - self.started_s)


class _Rate(ProgressColumn):
    """Units per second since the start, with the time before the first unit; rich's own rate leaves that time out."""

    def __init__(self, unit: str, done: int) -> None:
        super().__init__()
        self.unit, self.done = unit, done

    def render(self, task: Task) -> Text:
        rate = compute_rate(task.completed - self.done, _find_elapsed_s(task))
        return Text(f"{format_rate(rate)} {self.unit}/s" if task.completed > self.done else "", style="cyan")


class _Passed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{format_seconds(_find_elapsed_s(task))} passed")


class _Left(ProgressColumn):
    def __init__(self, done: int) -> None:
        super().__init__()
        self.done = done

    def render(self, task: Task) -> Text:
        if task.finished or task.completed <= self.done or task.total is None:
            return Text("")
        rate = compute_rate(task.completed - self.done, _find_elapsed_s(task))
        return Text(f"{format_seconds((task.total - task.completed) / rate)} left")


def _find_elapsed_s(task: Task) -> float:
    return task.finished_time or task.elapsed or 0.0


def compute_rate(count: float, seconds: float) -> float:
    """Return units per second; a tiny positive number if there are none."""
    return max(count, 1e-9) / max(seconds, 1e-9)


def format_rate(rate: float) -> str:
    """Format units per second, with two digits or more: ``83.4``, ``1.3``, ``0.35``."""
    return f"{rate:.1f}" if rate >= 1 else f"{rate:.2g}" if rate >= 0.001 else "0.0"


def format_seconds(seconds: float) -> str:
    """Format a duration: ``4 s``, ``3 min 20 s``, ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
