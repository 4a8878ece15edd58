"""uvicorn around the application: one process, or several that share a port."""

import os
import socket
import sys
import tempfile
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from coarse2fine.config import ServeConfig
from coarse2fine.errors import ConfigError
from coarse2fine.inference.load import load_model
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.device import Device, count_cores
from coarse2fine.serving.app import ORDER, Order, create_app
from coarse2fine.serving.metrics import SHARED_FOLDER
from coarse2fine.serving.timeouts import PatientProtocol


def serve(model: Path, device: Device, threads: int | None, config: ServeConfig, console: Console) -> None:
    """Serve a network until told to stop; what is in hand is finished then.

    Args:
        model: A run folder, or an exported network.
        device: Where the network is computed.
        threads: Of each worker; none: its share of the cores.
        config: Everything else.
        console: Where the address is told.

    Raises:
        ConfigError: The port cannot be had, or the device is not there.
        DataError: The model cannot be read.
    """
    threads = threads or max(1, count_cores() // config.workers)
    check_port(config.host, config.port)
    scorer = load_model(model, device, threads)
    console.say(f"http://{in_url(config.host)}:{config.port}  finds {', '.join(scorer.classes[1:])}", style="green")
    console.say("POST a photo to /segment; /docs explains; Ctrl-C stops")
    if config.workers == 1:
        run_app(create_app(scorer, config, threads), config.host, config.port, config.stop_seconds)
        return
    del scorer
    with tempfile.TemporaryDirectory() as folder:
        os.environ[SHARED_FOLDER] = folder
        os.environ[ORDER] = Order(model=model, device=device, threads=threads, config=config).model_dump_json()
        factory = "coarse2fine.serving.app:app_from_environment"
        run_app(factory, config.host, config.port, config.stop_seconds, config.workers)


def run_app(app: FastAPI | str, host: str, port: int, stop_seconds: int, workers: int = 1) -> None:
    """Run an application until told to stop.

    Args:
        app: It, or, for several workers, where the function lies that makes it.
        host: Address to listen on.
        port: Port to listen on.
        stop_seconds: How long what is in hand may take when told to stop.
        workers: Processes.
    """
    uvicorn.run(
        app,
        factory=isinstance(app, str),
        host=host,
        port=port,
        workers=workers,
        http=PatientProtocol,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=stop_seconds,
        lifespan="on",
    )


def in_url(host: str) -> str:
    """A host as it stands in an address."""
    return f"[{host}]" if ":" in host else host


def check_port(host: str, port: int) -> None:
    """Have the port for a moment, to say in a sentence why not.

    Raises:
        ConfigError: It cannot be had.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            if sys.platform != "win32":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise ConfigError(
            f"Port {port} of {host} must be free to listen on, but is not ({error.strerror}); choose another --port or "
            "--host."
        ) from error
