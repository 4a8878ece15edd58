"""Groups photos that arrive at the same time and have the same working size into batches."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from coarse2fine.inference.segmenter import Segmenter
from coarse2fine.types import Image, Probabilities


@dataclass(frozen=True)
class _QueuedPhoto:
    """A photo that waits for its batch.

    Attributes:
        inputs: Inputs of the network, one per scale.
        shape: Working height and width.
        future: Receives the class probabilities.
        queued_at: Time of arrival, by the monotonic clock, in seconds.
    """

    inputs: Sequence[Image]
    shape: tuple[int, int]
    future: "Future[Probabilities]" = field(default_factory=Future)
    queued_at: float = field(default_factory=time.monotonic)


class Batcher:
    """A queue of photos, and a thread that runs the network on one batch after the other.

    Photos that arrive while the network is busy form the next batch.

    Args:
        segmenter: The network; only the thread uses it.
        batch: Photos per batch, at most.
        wait_s: Time in seconds that a photo waits for others, at most.
        on_batch: Called after each batch with its number of photos and its seconds in the network.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        batch: int,
        wait_s: float,
        on_batch: Callable[[int, float], None] = lambda _photos, _seconds: None,
    ) -> None:
        self._segmenter, self._batch, self._wait_s, self._on_batch = segmenter, batch, wait_s, on_batch
        self._queue: list[_QueuedPhoto] = []
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="network", daemon=True)
        self._thread.start()

    def submit(self, inputs: Sequence[Image], shape: tuple[int, int]) -> "Future[Probabilities]":
        """Add a photo to the queue.

        Args:
            inputs: Inputs of the network, one per scale.
            shape: Working height and width.

        Returns:
            A future of the class probabilities, shape (C, h, w). If it is canceled in time, the photo is not computed.
        """
        photo = _QueuedPhoto(inputs, shape)
        with self._changed:
            self._queue.append(photo)
            self._changed.notify()
        return photo.future

    def is_alive(self) -> bool:
        """Return whether the thread is running."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Compute all photos in the queue, then stop the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while photos := self._take_batch():
            open_photos = [photo for photo in photos if photo.future.set_running_or_notify_cancel()]
            if open_photos:
                self._run_network(open_photos)

    def _take_batch(self) -> list[_QueuedPhoto]:
        """Wait for a batch: the oldest photo and others of its shape; empty once the batcher is closed."""
        with self._changed:
            while not self._queue and not self._closing:
                self._changed.wait()
            if not self._queue:
                return []
            oldest = self._queue[0]
            while not self._closing and sum(photo.shape == oldest.shape for photo in self._queue) < self._batch:
                remaining_s = oldest.queued_at + self._wait_s - time.monotonic()
                if remaining_s <= 0:
                    break
                self._changed.wait(remaining_s)
            photos = [photo for photo in self._queue if photo.shape == oldest.shape][: self._batch]
            taken = {id(photo) for photo in photos}
            self._queue = [photo for photo in self._queue if id(photo) not in taken]
            return photos

    def _run_network(self, photos: Sequence[_QueuedPhoto]) -> None:
        started = time.monotonic()
        try:
            probabilities = self._segmenter.probabilities_at_working_size(
                [photo.inputs for photo in photos], photos[0].shape
            )
        except Exception as error:  # an error of one batch must not stop the thread
            for photo in photos:
                photo.future.set_exception(error)
            return
        self._on_batch(len(photos), time.monotonic() - started)
        for photo, result in zip(photos, probabilities, strict=True):
            photo.future.set_result(result)
