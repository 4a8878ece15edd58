import time

import pytest

from coarse2fine.runtime.console import Console, format_seconds


@pytest.mark.parametrize(
    "seconds, text", [(0.04, "0.0 s"), (4.26, "4.3 s"), (59, "59 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_format_seconds__as_people_say_it(seconds, text):
    assert format_seconds(seconds) == text


def test_console__plain_lines_where_no_terminal_listens(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("coarse2fine.runtime.console.time.monotonic", lambda: now[0])
    console = Console()
    for _ in console.track(range(10), 10, "sorting [x]"):
        now[0] += 6.0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "sorting [x]: 2/10 photos, 0.2/s, 48 s left"
    assert lines[-1] == "sorting [x]: 10/10 photos in 1 min 00 s, 0.2/s"
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


@pytest.mark.parametrize("after_s, shown", [(0.01, "compiling\n"), (60, "")])
def test_console__explains_a_wait_only_if_there_is_one(capsys, after_s, shown):
    with Console().explaining("compiling", after_s):
        time.sleep(0.2)
    assert capsys.readouterr().out == shown
