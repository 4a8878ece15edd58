"""Starts the review page of a run."""

import secrets
from contextlib import AbstractContextManager
from pathlib import Path

from coarse2fine.app.access import TokenAuthentication, is_loopback
from coarse2fine.app.network import RunNetwork
from coarse2fine.app.photo_list import PhotoList
from coarse2fine.app.routes import create_app
from coarse2fine.config import AppConfig, ServeConfig
from coarse2fine.corrections.review import Review
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.device import Device, count_cores
from coarse2fine.runtime.lock import lock_file
from coarse2fine.serving.connections import limit_connections
from coarse2fine.serving.server import check_port, format_url, run_server
from coarse2fine.store.photos import read_photos
from coarse2fine.store.run import Run

_STOP_SECONDS = 5
_MAX_PHOTOS_IN_PROGRESS = 8  # the page has few users


def serve_page(folder: Path, device: Device, threads: int | None, config: AppConfig, console: Console) -> None:
    """Serve the review page of a run until SIGTERM or Ctrl-C.

    Args:
        folder: The run folder; ``fit`` may still be working on it.
        device: Device that computes the network.
        threads: Processor threads; None: all cores.
        config: Address, token and limits.
        console: Prints the address and the token.

    Raises:
        ConfigError: The port is not available, or the process may open too few files.
        DataError: The run cannot be read, or another review page of the run is running.
    """
    run, local = Run(folder), is_loopback(config.host)
    dataset = read_photos(run)
    check_port(config.host, config.port)
    server = ServeConfig(
        host=config.host,
        port=config.port,
        max_mb=config.max_mb,
        max_megapixels=config.max_megapixels,
        queue=_MAX_PHOTOS_IN_PROGRESS,
        uploads=_MAX_PHOTOS_IN_PROGRESS,
        stop_seconds=_STOP_SECONDS,
    )
    limits = limit_connections(server)
    with lock_review(run):
        network = RunNetwork(run, server, device, threads or count_cores())
        token = config.token or (None if local else secrets.token_urlsafe(16))
        authentication = TokenAuthentication(token, config.port)
        app = create_app(PhotoList(run, dataset, Review(run.review)), network, authentication, local)
        console.say(f"{format_url(config.host, config.port)}  {len(dataset.photos)} photos", style="green")
        if token and not config.token:
            console.warn(f"Authentication token of the page: {token}")
        if not local:
            console.warn("The connection is not encrypted; use a reverse proxy with TLS (docs/app.md).")
        console.say("Decisions are saved immediately; the next 'coarse2fine fit' uses them. Stop with Ctrl-C.")
        run_server(app, server, limits)


def lock_review(run: Run) -> AbstractContextManager[None]:
    """Hold the lock of the decisions of a run; ``fit`` does not need this lock.

    Raises:
        DataError: Another review page holds the lock, or the run folder is not writable.
    """
    locked = f"Another review page of {run.root} is already running. Use it, or stop its 'coarse2fine app' first."
    return lock_file(run.root / ".review.lock", locked, "Make it writable, so that decisions can be saved.")
