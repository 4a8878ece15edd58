import io
from contextlib import redirect_stdout

import pytest
from rich.progress import Task, TaskID

from coarse2fine.runtime.console import Console, _Left, _Passed, _Rate, format_rate, format_seconds


@pytest.mark.parametrize(
    "seconds, text", [(0.04, "0.0 s"), (4.26, "4.3 s"), (59, "59 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_format_seconds__as_people_say_it(seconds, text):
    assert format_seconds(seconds) == text


@pytest.mark.parametrize("rate, text", [(83.42, "83.4"), (1.0, "1.0"), (0.3512, "0.35"), (1e-12, "0.0")])
def test_format_rate__two_digits_at_least(rate, text):
    assert format_rate(rate) == text


def test_console__plain_lines_where_no_terminal_listens(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("coarse2fine.runtime.console.time.monotonic", lambda: now[0])
    console = Console()
    for _ in console.track(range(10), 10, "sorting [x]"):
        now[0] += 6.0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "sorting [x]: 2/10 photos, 0.17/s, 48 s left"
    assert lines[-1] == "sorting [x]: 10/10 photos in 1 min 00 s, 0.17/s"
    assert len(lines) == 6


def test_console__a_resumed_stage_counts_on(capsys):
    with Console().progress(10, "work", done=7) as advance:
        advance(3)
    assert capsys.readouterr().out.startswith("work: 10/10 photos in")


def test_console__quiet_leaves_warnings_and_silent_nothing(capsys):
    for console in (Console(quiet=True), Console(silent=True)):
        console.say("hello")
        console.warn("careful [bold]")
        assert list(console.track([1, 2], 2, "work")) == [1, 2]
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err == "careful [bold]\n"


def show_on_a_terminal(monkeypatch, work) -> str:
    """Return what the console writes to a terminal of 160 columns while ``work`` is called with the console."""
    for name, value in {"TERM": "xterm", "COLUMNS": "160", "FORCE_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    shown = io.StringIO()
    with redirect_stdout(shown):
        work(Console())
    return shown.getvalue()


def make_task(completed: int, now_s: float, finished_s: float | None = None) -> Task:
    task = Task(TaskID(0), "work", total=120, completed=completed, _get_time=lambda: now_s)
    task.start_time, task.finished_time = 0.0, finished_s
    return task


@pytest.mark.parametrize(
    "task, cells",
    [
        (make_task(20, 30.0), ["", "30 s passed", ""]),
        (make_task(40, 200.0), ["0.1 photos/s", "3 min 20 s passed", "13 min 20 s left"]),
        (make_task(120, 99.0, finished_s=50.0), ["2.0 photos/s", "50 s passed", ""]),
    ],
)
def test_progress_columns__count_the_time_before_the_first_unit(task, cells):
    columns = (_Rate("photos", 20), _Passed(), _Left(20))  # 20 of an earlier run
    assert [str(column.render(task)) for column in columns] == cells


def test_console__shows_rate_and_times_on_a_terminal(monkeypatch):
    def work(console):
        assert list(console.track([1, 2], 2, "sorting")) == [1, 2]

    shown = show_on_a_terminal(monkeypatch, work)
    assert "sorting" in shown and "photos/s" in shown and " passed" in shown


@pytest.mark.parametrize("no_color", [None, "1"])
def test_console__respects_no_color(monkeypatch, no_color):
    if no_color:
        monkeypatch.setenv("NO_COLOR", no_color)
    else:
        monkeypatch.delenv("NO_COLOR", raising=False)
    shown = show_on_a_terminal(monkeypatch, lambda console: console.say("done", style="green"))
    assert ("\x1b[32m" in shown) == (no_color is None)
    assert "done" in shown
