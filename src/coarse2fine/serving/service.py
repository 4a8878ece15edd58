"""One photo's way: a place, its bytes, its pixels, the network, its mask."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from starlette.requests import Request

from coarse2fine.config import ServeConfig
from coarse2fine.data.photos import read_image, read_size
from coarse2fine.errors import DataError
from coarse2fine.inference.segmenter import Segmenter, working_shape
from coarse2fine.masks.png import encode_mask
from coarse2fine.serving.batching import Batcher
from coarse2fine.serving.metrics import Metrics
from coarse2fine.serving.request_error import RefusalError, busy
from coarse2fine.serving.responses import Form, describe_mask
from coarse2fine.serving.uploads import read_photo
from coarse2fine.types import Image, Mask, Probabilities

Result = TypeVar("Result")


@dataclass(frozen=True)
class Prepared:
    """A photo as the network sees it.

    Attributes:
        content: The file.
        size: Height and width, upright.
        shape: Working shape.
        views: Once per scale.
    """

    content: bytes
    size: tuple[int, int]
    shape: tuple[int, int]
    views: list[Image]


class Service:
    """A network, the threads around it, and the places of those who wait.

    Args:
        scorer: The network.
        config: Limits.
        threads: Photos decoded and masks written at the same time.
    """

    def __init__(self, scorer: Segmenter, config: ServeConfig, threads: int) -> None:
        self.scorer, self.config, self.metrics = scorer, config, Metrics()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="photos")
        self._batcher = Batcher(scorer, config.batch, config.wait_ms / 1e3, self.metrics.watch_batch)
        self._uploads = self._in_hand = 0

    async def answer(self, request: Request, form: Form) -> bytes:
        """The mask of a request's photo, in the form asked for.

        Raises:
            RefusalError: The photo cannot be taken.
        """
        return await self.find(request, partial(_encode, form, self.scorer.classes))

    async def find(self, request: Request, write: Callable[[Mask], Result]) -> Result:
        """What ``write`` makes, in a thread, of the mask of a request's photo.

        Raises:
            RefusalError: The photo cannot be taken.
        """
        with self._place_to_send():
            content = await read_photo(request, self.config)
        with self._place_in_hand():
            prepared = await self._run(self._prepare, content)
            scores = await asyncio.wrap_future(self._batcher.submit(prepared.views, prepared.shape))
            return await self._run(self._finish, prepared, scores, write)

    def is_well(self) -> bool:
        """Whether the network still works."""
        return self._batcher.is_alive()

    def close(self) -> None:
        """Finish what is in hand."""
        self._batcher.close()
        self._pool.shutdown()
        self.metrics.leave()

    @contextmanager
    def _place_to_send(self) -> Iterator[None]:
        if self._in_hand >= self.config.queue:
            raise busy(f"{self._in_hand} photos are in hand, the most that may be")
        if self._uploads >= self.config.uploads:
            raise busy(f"{self._uploads} photos are being sent, the most that may be at a time")
        self._uploads += 1
        try:
            yield
        finally:
            self._uploads -= 1

    @contextmanager
    def _place_in_hand(self) -> Iterator[None]:
        if self._in_hand >= self.config.queue:
            raise busy(f"{self._in_hand} photos are in hand, the most that may be")
        self._in_hand += 1
        self.metrics.in_hand.inc()
        try:
            yield
        finally:
            self._in_hand -= 1
            self.metrics.in_hand.dec()

    async def _run(self, work: Callable[..., Result], *arguments: object) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(work, *arguments))

    def _prepare(self, content: bytes) -> Prepared:
        try:
            size = read_size(content)
            self._check_pixels(size)
            image = read_image(content, at_least_px=self.scorer.max_input_px)
        except DataError as error:
            status = 415 if str(error).startswith("not an image") else 400
            raise RefusalError(status, f"The photo cannot be read: {error}.") from error
        shape = working_shape(size, self.scorer.size_px)
        return Prepared(content, size, shape, self.scorer.network_inputs(image, shape))

    def _check_pixels(self, size: tuple[int, int]) -> None:
        megapixels = size[0] * size[1] / 1e6
        if megapixels > self.config.max_megapixels:
            raise RefusalError(
                413,
                f"A photo may have at most {self.config.max_megapixels:g} megapixels, but this one has {size[1]} x "
                f"{size[0]} pixels ({megapixels:.4g} megapixels); send a smaller one.",
            )

    def _finish(self, prepared: Prepared, scores: Probabilities, write: Callable[[Mask], Result]) -> Result:
        read = partial(read_image, prepared.content, at_least_px=self.scorer.crf.max_side_px)
        return write(self.scorer.mask_from_probabilities(scores, prepared.size, read))


def _encode(form: Form, names: tuple[str, ...], mask: Mask) -> bytes:
    return encode_mask(mask) if form == "png" else describe_mask(mask, names).model_dump_json().encode()
