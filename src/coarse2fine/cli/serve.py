"""``coarse2fine serve``: a network as an HTTP service."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from coarse2fine.cli.parser import Quiet, parse_and_call
from coarse2fine.config import ServeConfig
from coarse2fine.runtime.device import Device


def run(arguments: Sequence[str]) -> None:
    """Parse the options and start the service."""
    parse_and_call(serve, arguments, "serve")


def serve(
    model: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|MODEL.onnx")],
    settings: Annotated[ServeConfig, tyro.conf.arg(name="")] = ServeConfig(),  # noqa: B008 - frozen
    device: Device = "auto",
    threads: int | None = None,
    quiet: Quiet = False,
) -> None:
    """Serve a network over HTTP: a photo in, its mask out.

    The mask is a PNG file (pixel = class index), or JSON with run lengths (COCO RLE), classes and areas.

    Needs the extra serve, and onnx for an exported network (coarse2fine doctor). There is no password and no TLS;
    therefore the service is open to this machine only, unless --host says otherwise (docs/serve.md).

    For example:
      coarse2fine serve runs/pets
      coarse2fine serve pets.onnx --workers 2 --port 8080
      curl --data-binary @cat.jpg http://127.0.0.1:8000/segment > cat.png
      curl -F photo=@cat.jpg 'http://127.0.0.1:8000/segment?format=json'

    Args:
        model: Run folder of fit, its folder model, or a network written by coarse2fine export.
        settings: Address, workers and limits.
        device: Where the network is computed; auto: on the CUDA GPU if there is one.
        threads: CPU threads of each worker; default: the number of cores divided by that of workers.
        quiet: Print only warnings and errors.
    """
    from coarse2fine.errors import ConfigError
    from coarse2fine.runtime.console import Console
    from coarse2fine.runtime.extras import install_command

    try:
        from coarse2fine.serving.server import serve as serve_model
    except ModuleNotFoundError as error:
        raise ConfigError(f"serve needs {error.name}, which is not installed: {install_command('serve')}") from error
    serve_model(model, device, threads, settings, Console(quiet))
