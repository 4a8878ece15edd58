"""``coarse2fine serve``: a network over HTTP."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from coarse2fine.cli.parser import parse_settings
from coarse2fine.config import ServeConfig
from coarse2fine.runtime.device import Device


def run(arguments: Sequence[str]) -> None:
    """Parse, serve."""
    parse_settings(serve, arguments, "serve")


def serve(
    model: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|MODEL.onnx")],
    settings: Annotated[ServeConfig, tyro.conf.arg(name="")] = ServeConfig(),  # noqa: B008 - frozen
    device: Device = "auto",
    threads: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    quiet: bool = False,
) -> None:
    """Answer over HTTP: a photo in, its mask out, as PNG (pixel = class index) or JSON (COCO RLE, classes, areas).

    Needs pip install 'coarse2fine[serve]', and [onnx] for an exported network. There is no password and no
    TLS, so it listens to this machine only, unless --host says otherwise (docs/serve.md).

    Like this:
      coarse2fine serve runs/pets
      coarse2fine serve pets.onnx --workers 2 --port 8080
      curl --data-binary @cat.jpg http://127.0.0.1:8000/segment > cat.png
      curl -F photo=@cat.jpg 'http://127.0.0.1:8000/segment?format=json'

    Args:
        model: A run folder of fit, the model folder in it, or a network from coarse2fine export.
        settings: Address, workers and limits.
        device: Where the network is computed; auto: on the CUDA GPU if there is one.
        threads: Threads of the processor for each worker; default: its share of the cores.
        quiet: Print only warnings and errors.
    """
    from coarse2fine.errors import ConfigError
    from coarse2fine.runtime.console import Console

    try:
        from coarse2fine.serving.server import serve as serve_model
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"serve needs {error.name}, which is not installed: pip install 'coarse2fine[serve]'."
        ) from error
    serve_model(model, device, threads, settings, Console(quiet))
