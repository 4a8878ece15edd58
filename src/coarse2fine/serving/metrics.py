"""What the service counts, in the words of Prometheus."""

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The library's environment variable: where several workers keep what they count, set before it is imported."""

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Counters of one application; with several workers any of them shows the sums of all."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "coarse2fine_requests", "Answers, by route and HTTP status.", ["route", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "coarse2fine_request_seconds",
            "From the headers of a photo's request to its answer.",
            registry=registry,
            buckets=_SECONDS,
        )
        self.network_seconds = Histogram(
            "coarse2fine_network_seconds", "Of a batch, in the network.", registry=registry, buckets=_SECONDS
        )
        self.batch_photos = Histogram(
            "coarse2fine_batch_photos", "Photos in a batch.", registry=registry, buckets=(1, 2, 4, 8, 16, 32, 64)
        )
        self.in_hand = Gauge(
            "coarse2fine_photos_in_hand",
            "Received and not yet answered.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        if not self._is_shared:
            ProcessCollector(registry=registry)

    @property
    def _is_shared(self) -> bool:
        return bool(os.environ.get(SHARED_FOLDER))

    def watch_batch(self, photos: int, seconds: float) -> None:
        """Count a batch."""
        self.batch_photos.observe(photos)
        self.network_seconds.observe(seconds)

    def show(self) -> bytes:
        """Everything, as Prometheus reads it."""
        if not self._is_shared:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def leave(self) -> None:
        """Take this process out of what the workers sum up as theirs at the moment."""
        if self._is_shared:
            mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]
