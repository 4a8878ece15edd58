"""Runs uvicorn, with one worker process or several that share a port."""

import os
import socket
import sys
import tempfile
from functools import partial
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from coarse2fine.config import ServeConfig
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.inference.load import load_model
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.device import Device, count_cores
from coarse2fine.serving.app import START_FAILURE, WORKER_SETTINGS_VARIABLE, WorkerSettings, create_app
from coarse2fine.serving.connections import ConnectionLimits, LimitedProtocol, limit_connections
from coarse2fine.serving.log_limit import limited_logging
from coarse2fine.serving.metrics import MULTIPROCESS_FOLDER


def serve(model: Path, device: Device, threads: int | None, config: ServeConfig, console: Console) -> None:
    """Serve a network over HTTP until SIGTERM or Ctrl-C; open requests are finished first.

    Args:
        model: A run folder, or an exported network.
        device: Device that computes the network.
        threads: Processor threads of each worker; None: the cores divided by the number of workers.
        config: Address, workers and limits.
        console: Prints the address.

    Raises:
        ConfigError: The port is not available, or the device does not exist.
        DataError: The model cannot be read, also if that is found by a worker that replaces a dead one.
    """
    threads = threads or max(1, count_cores() // config.workers)
    check_port(config.host, config.port)
    limits = limit_connections(config)
    segmenter = load_model(model, device, threads)  # also with several workers: errors appear before they start
    console.say(f"{format_url(config.host, config.port)}  classes: {', '.join(segmenter.classes[1:])}", style="green")
    console.say("POST a photo to /segment; description of the API: /openapi.json; stop with Ctrl-C")
    if config.workers == 1:
        run_server(create_app(segmenter, config, threads), config, limits)
        return
    del segmenter
    with _create_metrics_folder() as folder:
        settings = WorkerSettings(model=model, device=device, threads=threads, config=config)
        os.environ[MULTIPROCESS_FOLDER] = folder
        os.environ[WORKER_SETTINGS_VARIABLE] = settings.model_dump_json()
        run_server("coarse2fine.serving.app:create_app_from_environment", config, limits)
        failure = Path(folder) / START_FAILURE
        if failure.exists():
            raise DataError(f"A worker process could not start: {failure.read_text(encoding='utf-8')}")


def _create_metrics_folder() -> "tempfile.TemporaryDirectory[str]":
    try:
        return tempfile.TemporaryDirectory()
    except OSError as error:
        raise ConfigError(
            f"Several workers need a folder for temporary files, but none is writable ({error.strerror}); set TMPDIR, "
            "or mount one in a container (docker run --tmpfs /tmp)."
        ) from error


def run_server(app: FastAPI | str, config: ServeConfig, limits: ConnectionLimits) -> None:
    """Run an application with uvicorn until SIGTERM or Ctrl-C.

    Args:
        app: The application; for several workers the import string of a function that creates it.
        config: Address, workers, and time to finish open requests after the signal.
        limits: Limits on connections.
    """
    uvicorn.run(
        app,
        factory=isinstance(app, str),
        host=config.host,
        port=config.port,
        workers=config.workers if isinstance(app, str) else 1,
        http=partial(LimitedProtocol, limits=limits),  # type: ignore[arg-type]  # called like the class
        ws="none",
        backlog=limits.backlog,
        log_config=limited_logging(),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=config.stop_seconds,
        lifespan="on",
    )


def format_url(host: str, port: int) -> str:
    """Return the URL of a host and port; IPv6 addresses are put in brackets."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def check_port(host: str, port: int) -> None:
    """Check that a port is available; uvicorn would report only an exit status.

    Raises:
        ConfigError: The port is not available.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            if sys.platform != "win32":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise ConfigError(
            f"Port {port} of {host} is not available ({error.strerror}); choose another one with --port or --host."
        ) from error
