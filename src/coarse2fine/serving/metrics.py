"""Prometheus metrics of the service."""

import os
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

MULTIPROCESS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable of prometheus_client: folder in which several worker processes keep their metrics. It must be
set before prometheus_client is imported."""

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Metrics of one worker process. With several workers, :meth:`render` returns the sum over all of them."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "coarse2fine_requests", "Responses by route and HTTP status.", ["route", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "coarse2fine_request_seconds",
            "Seconds from the headers of a request to /segment to its response.",
            registry=registry,
            buckets=_SECONDS,
        )
        self.network_seconds = Histogram(
            "coarse2fine_network_seconds", "Seconds of a batch in the network.", registry=registry, buckets=_SECONDS
        )
        self.batch_photos = Histogram(
            "coarse2fine_batch_photos", "Photos per batch.", registry=registry, buckets=(1, 2, 4, 8, 16, 32, 64)
        )
        self.photos_in_progress = Gauge(
            "coarse2fine_photos_in_progress",
            "Photos received and not yet answered.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        if not self._has_several_workers:
            ProcessCollector(registry=registry)

    @property
    def _has_several_workers(self) -> bool:
        return bool(os.environ.get(MULTIPROCESS_FOLDER))

    def record_batch(self, photos: int, seconds: float) -> None:
        """Record the number of photos of a batch and its seconds in the network."""
        self.batch_photos.observe(photos)
        self.network_seconds.observe(seconds)

    def render(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        if not self._has_several_workers:
            return generate_latest(self._registry)
        _remove_gauges_of_dead_workers(Path(os.environ[MULTIPROCESS_FOLDER]))
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def close(self) -> None:
        """Remove the gauges of this process from the sums over all workers."""
        if self._has_several_workers:
            mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]


def _remove_gauges_of_dead_workers(folder: Path) -> None:
    """Remove the gauges of workers that were killed, and therefore could not close their `Metrics`."""
    for file in folder.glob("gauge_live*_*.db"):
        if not _is_running(int(file.stem.rpartition("_")[2])):
            file.unlink(missing_ok=True)


def _is_running(pid: int) -> bool:
    if sys.platform == "win32":
        return True  # there, os.kill would end the process
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
