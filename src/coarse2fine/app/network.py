"""The network of a run, loaded on its first use and reloaded after ``fit`` has written a new one."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from coarse2fine.config import ServeConfig
from coarse2fine.inference.load import load_model
from coarse2fine.runtime.device import Device
from coarse2fine.serving.errors import RequestError
from coarse2fine.serving.service import Service
from coarse2fine.store.run import Run
from coarse2fine.types import Mask

Result = TypeVar("Result")


class RunNetwork:
    """Segments photos with the newest network of a run.

    Args:
        run: The run.
        config: Limits on photos.
        device: Device that computes the network.
        threads: Processor threads.
    """

    def __init__(self, run: Run, config: ServeConfig, device: Device, threads: int) -> None:
        self.run, self.config, self.device, self.threads = run, config, device, threads
        self._service: Service | None = None
        self._modified_ns = 0
        self._lock = asyncio.Lock()

    async def segment(self, request: Request, encode: Callable[[Mask], Result]) -> Result:
        """Compute the mask of the photo in a request; see :meth:`Service.segment`.

        Raises:
            RequestError: The photo is not accepted, or the run has no network yet.
            DataError: The network is damaged.
        """
        async with self._lock:
            service = await self._load()
        return await service.segment(request, encode)

    def close(self) -> None:
        """Finish the photos in progress and stop all threads."""
        if self._service:
            self._service.close()

    async def _load(self) -> Service:
        path = self.run.model / "model.toml"
        if not path.exists():
            raise RequestError(409, "This run has no network yet. fit writes it at its end; try again after that.")
        modified_ns = path.stat().st_mtime_ns
        if self._service is None or modified_ns != self._modified_ns:
            segmenter = await run_in_threadpool(load_model, self.run.root, self.device, self.threads)
            if self._service:
                await run_in_threadpool(self._service.close)
            self._service, self._modified_ns = Service(segmenter, self.config, self.threads), modified_ns
        return self._service
