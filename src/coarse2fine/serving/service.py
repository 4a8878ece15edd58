"""Segmentation of the photos of requests, with limits on how many are received and computed at the same time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from starlette.requests import Request

from coarse2fine.config import ServeConfig
from coarse2fine.data.photos import read_image, read_size
from coarse2fine.errors import DataError
from coarse2fine.inference.segmenter import Segmenter, working_shape
from coarse2fine.serving.batching import Batcher
from coarse2fine.serving.errors import RequestError
from coarse2fine.serving.metrics import Metrics
from coarse2fine.serving.uploads import CLOSE_CONNECTION, receive_photo
from coarse2fine.types import Image, Mask, Probabilities

Result = TypeVar("Result")

_MIN_UPLOAD_SECONDS = 2.0
"""An upload may take this long, even if there are too many."""


@dataclass(frozen=True)
class _DecodedPhoto:
    """A photo that is ready for the network.

    Attributes:
        content: Content of the image file.
        size: Height and width of the upright photo.
        shape: Working height and width.
        inputs: Inputs of the network, one per scale.
    """

    content: bytes
    size: tuple[int, int]
    shape: tuple[int, int]
    inputs: list[Image]


class Service:
    """A network, a thread pool for decoding and encoding, and the limits on simultaneous photos.

    Args:
        segmenter: The network.
        config: Limits.
        threads: Photos that are decoded, or masks that are encoded, at the same time.
    """

    def __init__(self, segmenter: Segmenter, config: ServeConfig, threads: int) -> None:
        self.segmenter, self.config, self.metrics = segmenter, config, Metrics()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="photos")
        self._batcher = Batcher(segmenter, config.batch, config.wait_ms / 1e3, self.metrics.record_batch)
        self._uploads: dict[asyncio.Timeout, float] = {}  # start by the clock of the event loop, the oldest first
        self._in_progress = 0

    async def segment(self, request: Request, encode: Callable[[Mask], Result]) -> Result:
        """Compute the mask of the photo in a request.

        Args:
            request: Its body is a photo, or a form with one file.
            encode: Called with the mask in a thread of the pool.

        Returns:
            The result of ``encode``.

        Raises:
            RequestError: The photo is not accepted.
            ClientDisconnect: The client closed the connection.
        """
        async with self._count_upload():
            content = await receive_photo(request, self.config)
        with self._count_photo():
            photo = await self._run_in_thread(self._decode, content)
            probabilities = await asyncio.wrap_future(self._batcher.submit(photo.inputs, photo.shape))
            return await self._run_in_thread(self._finish, photo, probabilities, encode)

    def is_healthy(self) -> bool:
        """Return whether the thread of the network is running."""
        return self._batcher.is_alive()

    def close(self) -> None:
        """Finish the photos in progress, then stop all threads."""
        self._batcher.close()
        self._threads.shutdown()
        self.metrics.close()

    @asynccontextmanager
    async def _count_upload(self) -> AsyncIterator[None]:
        """Count an upload. If there are too many, end the oldest one: slow clients must not keep out all others."""
        self._check_queue()  # before the upload, so that a client does not send a photo in vain
        overload = _overload_error(f"Too many simultaneous uploads ({len(self._uploads)})")
        now_s = asyncio.get_running_loop().time()
        if len(self._uploads) >= self.config.uploads:
            oldest, started_s = next(iter(self._uploads.items()))
            if now_s - started_s < _MIN_UPLOAD_SECONDS:
                raise overload
            del self._uploads[oldest]
            oldest.reschedule(now_s)
        try:
            async with asyncio.timeout(None) as timeout:
                self._uploads[timeout] = now_s
                try:
                    yield
                finally:
                    self._uploads.pop(timeout, None)
        except TimeoutError as error:
            raise RequestError(overload.status, overload.message, overload.headers | CLOSE_CONNECTION) from error

    @contextmanager
    def _count_photo(self) -> Iterator[None]:
        self._check_queue()
        self._in_progress += 1
        self.metrics.photos_in_progress.inc()
        try:
            yield
        finally:
            self._in_progress -= 1
            self.metrics.photos_in_progress.dec()

    def _check_queue(self) -> None:
        if self._in_progress >= self.config.queue:
            raise _overload_error(f"Too many photos in progress ({self._in_progress})")

    async def _run_in_thread(self, work: Callable[..., Result], *arguments: object) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(work, *arguments))

    def _decode(self, content: bytes) -> _DecodedPhoto:
        try:
            size = read_size(content)
            self._check_megapixels(size)
            image = read_image(content, at_least_px=self.segmenter.max_input_px)
        except DataError as error:
            status = 415 if str(error).startswith("not an image") else 400
            raise RequestError(status, f"The photo cannot be read: {error}.") from error
        shape = working_shape(size, self.segmenter.size_px)
        return _DecodedPhoto(content, size, shape, self.segmenter.network_inputs(image, shape))

    def _check_megapixels(self, size: tuple[int, int]) -> None:
        megapixels = size[0] * size[1] / 1e6
        if megapixels > self.config.max_megapixels:
            raise RequestError(
                413,
                f"A photo may have at most {self.config.max_megapixels:g} megapixels, but this one has {size[1]} x "
                f"{size[0]} pixels ({megapixels:.4g} megapixels); send a smaller one.",
            )

    def _finish(self, photo: _DecodedPhoto, probabilities: Probabilities, encode: Callable[[Mask], Result]) -> Result:
        read_photo = partial(read_image, photo.content, at_least_px=self.segmenter.crf.max_side_px)
        return encode(self.segmenter.mask_from_probabilities(probabilities, photo.size, read_photo))


def _overload_error(reason: str) -> RequestError:
    """Return the error of a request that exceeds a limit on simultaneous requests (503)."""
    return RequestError(503, f"{reason}; try again in a second.", {"Retry-After": "1"})
