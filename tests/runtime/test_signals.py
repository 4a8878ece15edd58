import signal
import subprocess
import sys
import threading

import pytest

from coarse2fine.runtime.signals import defer_signals


def test_defer_signals__waits_for_the_end_of_the_block(capfd):
    done = []
    with pytest.raises(KeyboardInterrupt), defer_signals() as is_stopping:
        assert not is_stopping()
        signal.raise_signal(signal.SIGINT)
        assert is_stopping()
        done.append("step")
    assert done == ["step"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert "a second signal stops at once" in capfd.readouterr().err


def test_defer_signals__a_second_signal_stops_at_once():
    done = []
    with pytest.raises(KeyboardInterrupt), defer_signals():
        signal.raise_signal(signal.SIGINT)
        done.append("after the first")
        signal.raise_signal(signal.SIGINT)
        done.append("after the second")
    assert done == ["after the first"]


def test_defer_signals__no_signal_changes_nothing():
    before = signal.getsignal(signal.SIGTERM)
    with defer_signals():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_defer_signals__an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with defer_signals() as is_stopping:
            signal.raise_signal(signal.SIGINT)
            assert not is_stopping()
    finally:
        signal.signal(signal.SIGINT, before)


def test_defer_signals__in_another_thread():
    found = []

    def work():
        with defer_signals() as is_stopping:
            found.append(is_stopping())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]


def test_ignore_signals__of_a_worker():
    code = "import os, signal; from coarse2fine.runtime.signals import ignore_signals; ignore_signals();"
    code += "os.kill(os.getpid(), signal.SIGTERM); signal.raise_signal(signal.SIGINT); print('alive')"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "alive\n"
