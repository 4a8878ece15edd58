"""uvicorn around the page of a run."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from coarse2fine.app.access import Door, is_loopback
from coarse2fine.app.network import Finder
from coarse2fine.app.photo_list import Gallery
from coarse2fine.app.routes import create_app
from coarse2fine.config import AppConfig, ServeConfig
from coarse2fine.corrections.review import Review
from coarse2fine.errors import DataError
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.device import Device, count_cores
from coarse2fine.serving.server import check_port, in_url, run_app
from coarse2fine.store.photos import read_photos
from coarse2fine.store.run import Run

_STOP_SECONDS = 5


def open_page(run: Path, device: Device, threads: int | None, config: AppConfig, console: Console) -> None:
    """Serve the page of a run until told to stop.

    Args:
        run: A run folder, finished or not.
        device: Where the network is computed.
        threads: Of the processor; none: all cores.
        config: Address and limits.
        console: Where the address and the token are told.

    Raises:
        ConfigError: The port cannot be had.
        DataError: The run cannot be read, or another page is open on it.
    """
    places, local = Run(run), is_loopback(config.host)
    dataset = read_photos(places)
    check_port(config.host, config.port)
    with hold_review(places):
        gallery = Gallery(places, dataset, Review(places.review))
        limits = ServeConfig(max_mb=config.max_mb, max_megapixels=config.max_megapixels, queue=8, uploads=8)
        finder = Finder(places, limits, device, threads or count_cores())
        token = config.token or (None if local else secrets.token_urlsafe(16))
        app = create_app(gallery, finder, Door(token, config.port), local)
        console.say(f"{len(dataset.photos)} photos: http://{in_url(config.host)}:{config.port}", style="green")
        if token and not config.token:
            console.warn(f"The page asks for this token: {token}")
        if not local:
            console.warn("Without TLS others on the way can read along; a reverse proxy gives it (docs/app.md).")
        console.say("decisions are kept in the run folder at once, and count when fit is run again; Ctrl-C stops")
        run_app(app, config.host, config.port, _STOP_SECONDS)


@contextmanager
def hold_review(run: Run) -> Iterator[None]:
    """Be the only page of a run for as long as the block lasts; fit may work on it meanwhile.

    Raises:
        DataError: Another page is open, or the run folder cannot be written.
    """
    lock = FileLock(run.root / ".review.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise DataError(
            f"Only one page at a time may keep decisions in {run.root}, but another 'coarse2fine app' does; use that "
            "one, or stop it."
        ) from error
    except OSError as error:
        raise DataError(f"{run.root} must be writable to keep decisions, but is not ({error.strerror}).") from error
    try:
        yield
    finally:
        lock.release()
