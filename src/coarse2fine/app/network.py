"""The network of a run, loaded when the first photo is dropped, and again when fit has made another one."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from coarse2fine.config import ServeConfig
from coarse2fine.inference.load import load_model
from coarse2fine.runtime.device import Device
from coarse2fine.serving.request_error import RefusalError
from coarse2fine.serving.service import Service
from coarse2fine.store.run import Run
from coarse2fine.types import Mask

Result = TypeVar("Result")


class Finder:
    """Finds the classes of photos.

    Args:
        run: Whose network.
        config: Limits on the photos.
        device: Where it is computed.
        threads: Of the processor.
    """

    def __init__(self, run: Run, config: ServeConfig, device: Device, threads: int) -> None:
        self.run, self.config, self.device, self.threads = run, config, device, threads
        self._service: Service | None = None
        self._stamp = 0
        self._lock = asyncio.Lock()

    async def find(self, request: Request, write: Callable[[Mask], Result]) -> Result:
        """What ``write`` makes of the mask of a request's photo.

        Raises:
            RefusalError: The photo cannot be taken, or the run has no network yet.
            DataError: The network is damaged.
        """
        async with self._lock:
            service = await self._load()
        return await service.find(request, write)

    def close(self) -> None:
        """Finish what is in hand."""
        if self._service:
            self._service.close()

    async def _load(self) -> Service:
        path = self.run.model / "model.toml"
        if not path.exists():
            raise RefusalError(409, "The run has no finished network yet: fit writes it at its end; drop photos then.")
        stamp = path.stat().st_mtime_ns
        if self._service is None or stamp != self._stamp:
            scorer = await run_in_threadpool(load_model, self.run.root, self.device, self.threads)
            if self._service:
                await run_in_threadpool(self._service.close)
            self._service, self._stamp = Service(scorer, self.config, self.threads), stamp
        return self._service
