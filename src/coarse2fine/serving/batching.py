"""Photos that arrive at the same time share a batch, if they are of one working shape."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from coarse2fine.inference.segmenter import Segmenter
from coarse2fine.types import Image, Probabilities


@dataclass(frozen=True)
class _Job:
    views: Sequence[Image]
    shape: tuple[int, int]
    future: "Future[Probabilities]" = field(default_factory=Future)
    arrived: float = field(default_factory=time.monotonic)


class Batcher:
    """One thread that has the network score what waits; batches form by themselves while it is busy.

    Args:
        scorer: The network; only the thread uses it.
        batch: Photos in a batch, at most.
        wait_s: How long the photo that waits longest waits for others, at most.
        watch: Told the photos and the seconds of every batch.
    """

    def __init__(
        self, scorer: Segmenter, batch: int, wait_s: float, watch: Callable[[int, float], None] = lambda _n, _s: None
    ) -> None:
        self._scorer, self._batch, self._wait_s, self._watch = scorer, batch, wait_s, watch
        self._jobs: list[_Job] = []
        self._news = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="network", daemon=True)
        self._thread.start()

    def submit(self, views: Sequence[Image], shape: tuple[int, int]) -> "Future[Probabilities]":
        """Have a photo scored.

        Args:
            views: Result of :meth:`Segmenter.network_inputs`.
            shape: Its working shape.

        Returns:
            Its class probabilities, shape (C, h, w), some time.
        """
        job = _Job(views, shape)
        with self._news:
            self._jobs.append(job)
            self._news.notify()
        return job.future

    def is_alive(self) -> bool:
        """Whether the thread works."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Finish what waits, then end the thread."""
        with self._news:
            self._closing = True
            self._news.notify()
        self._thread.join()

    def _work(self) -> None:
        while jobs := self._take():
            wanted = [job for job in jobs if job.future.set_running_or_notify_cancel()]
            if wanted:
                self._score(wanted)

    def _take(self) -> list[_Job]:
        """The next batch: photos like the one that waits longest; none at the end."""
        with self._news:
            while not self._jobs and not self._closing:
                self._news.wait()
            if not self._jobs:
                return []
            first = self._jobs[0]
            while not self._closing and sum(job.shape == first.shape for job in self._jobs) < self._batch:
                left = first.arrived + self._wait_s - time.monotonic()
                if left <= 0:
                    break
                self._news.wait(left)
            jobs = [job for job in self._jobs if job.shape == first.shape][: self._batch]
            taken = {id(job) for job in jobs}
            self._jobs = [job for job in self._jobs if id(job) not in taken]
            return jobs

    def _score(self, jobs: Sequence[_Job]) -> None:
        began = time.monotonic()
        try:
            scores = self._scorer.probabilities_at_working_size([job.views for job in jobs], jobs[0].shape)
        except Exception as error:  # whatever happens to one batch, the thread lives on for the next
            for job in jobs:
                job.future.set_exception(error)
            return
        self._watch(len(jobs), time.monotonic() - began)
        for job, own in zip(jobs, scores, strict=True):
            job.future.set_result(own)
