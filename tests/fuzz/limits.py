"""Limits on what a reader may use: memory, time, and the folder that it was given."""

import gc
import resource
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

MEGABYTE = 1 << 20


@contextmanager
def limit_memory(megabytes: int) -> Iterator[None]:
    """Fail if the block needs more memory; an allocation far above the limit fails at once."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    peak = _peak_memory()
    if _is_linux():
        resource.setrlimit(
            resource.RLIMIT_AS, (_pages(0) * resource.getpagesize() + 2 * megabytes * MEGABYTE, before[1])
        )
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    grown = (_peak_memory() - peak) // MEGABYTE
    assert grown <= megabytes, f"the reader needed {grown} MiB, at most {megabytes} are allowed"


@contextmanager
def limit_time(seconds: float) -> Iterator[None]:
    """Fail if the block takes longer."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise AssertionError(f"the reader took more than {seconds} seconds")

    began = time.monotonic()
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - began <= seconds, f"the reader took more than {seconds} seconds"  # and hid the above


def current_memory() -> int:
    """Return the resident memory of this process in MiB; where the system does not say, its largest until now."""
    gc.collect()
    return (_pages(1) * resource.getpagesize() if _is_linux() else _peak_memory()) // MEGABYTE


def list_files(folder: Path, apart_from: Path) -> dict[str, bytes]:
    """Return the content of all files below a folder, except of those in another one."""
    files = [path for path in folder.rglob("*") if apart_from not in (path, *path.parents)]
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in files}


def _pages(field: int) -> int:
    """Return a field of Linux's table of the memory of this process: 0 all, 1 resident."""
    return int(Path("/proc/self/statm").read_text().split()[field])


def _peak_memory() -> int:
    """Return the largest resident memory of this process until now, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * 1024 if _is_linux() else peak


def _is_linux() -> bool:
    return sys.platform == "linux"
