import io
import os
import subprocess
import sys

import pytest

from coarse2fine.runtime.console import Console
from coarse2fine.runtime.standard_output import accept_any_text, safe_output


def open_output(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)


@pytest.mark.parametrize("encoding, shown", [("cp1252", b"\\u732b \xfc"), ("utf-8", "猫 ü".encode())])
@pytest.mark.fault("stdout-encoding")
def test_console__a_character_that_the_output_lacks(monkeypatch, encoding, shown):
    monkeypatch.setattr(sys, "stdout", open_output(encoding))
    Console().say("猫 ü")
    assert sys.stdout.buffer.getvalue() == shown + b"\n"


def test_accept_any_text__an_output_that_is_no_file(monkeypatch):
    for output in (io.StringIO(), None):  # a notebook; no output at all
        monkeypatch.setattr(sys, "stdout", output)
        accept_any_text()
        assert sys.stdout is output


def run_into_closed_pipe(code: str, unbuffered: str, also_errors: bool = False) -> subprocess.CompletedProcess[str]:
    """Run code whose standard output, and standard error if asked for, is a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return subprocess.run(
            [sys.executable, "-c", code],
            stdout=writing,
            stderr=writing if also_errors else subprocess.PIPE,
            text=True,
            check=False,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )
    finally:
        os.close(writing)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_console__a_closed_pipe_does_not_end_the_work(unbuffered):
    code = "import sys\nfrom coarse2fine.runtime.console import Console\nconsole = Console()\n"
    code += "console.say('a')\nconsole.say('b')\nprint('done', file=sys.stderr)"
    ended = run_into_closed_pipe(code, unbuffered)
    assert (ended.returncode, ended.stderr) == (0, "Standard output was closed; the work goes on.\ndone\n")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_console__a_closed_pipe_of_output_and_errors_does_not_end_the_work(tmp_path, unbuffered):
    code = "from pathlib import Path\nfrom coarse2fine.cli.exit_status import fail\n"
    code += "from coarse2fine.runtime.console import Console\nconsole = Console()\n"
    code += "console.say('a')\nconsole.warn('b')\nconsole.warn('c')\n"
    code += f"Path({str(tmp_path / 'done')!r}).touch()\nfail('d', 2)"
    assert run_into_closed_pipe(code, unbuffered, also_errors=True).returncode == 2
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_main__help_into_a_closed_pipe_is_silent(unbuffered):
    ended = run_into_closed_pipe("from coarse2fine.cli import main\nmain(['--help'])", unbuffered)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_safe_output__another_broken_pipe_is_an_error():
    with pytest.raises(BrokenPipeError, match="of a worker"), safe_output():
        raise BrokenPipeError("of a worker")
