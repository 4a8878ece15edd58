"""``coarse2fine app``: a local web page to review the masks of a run and to try its network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from coarse2fine.cli.parser import Quiet, parse_and_call
from coarse2fine.config import AppConfig
from coarse2fine.runtime.device import Device


def run(arguments: Sequence[str]) -> None:
    """Parse the options and start the web page."""
    parse_and_call(app, arguments, "app")


def app(
    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")],
    settings: Annotated[AppConfig, tyro.conf.arg(name="")] = AppConfig(),  # noqa: B008 - frozen
    device: Device = "auto",
    threads: int | None = None,
    quiet: Quiet = False,
) -> None:
    """Review the masks of a run on a local web page, lowest quality score first: accept, reject or correct them.

    Decisions are written to RUN/review at once, and used when fit runs on RUN again. The page also segments any photo
    that you drop on it. Needs the extra app (coarse2fine doctor); see docs/app.md.

    For example:
      coarse2fine app runs/pets
      coarse2fine app runs/pets --host 0.0.0.0          # open to other machines, which need the token that is printed

    Args:
        run: Run folder of fit, finished or not; fit may be running.
        settings: Address and limits.
        device: Where the network is computed; auto: on the CUDA GPU if there is one.
        threads: CPU threads; default: one per core.
        quiet: Print only warnings, errors, and a generated token.
    """
    from coarse2fine.errors import ConfigError
    from coarse2fine.runtime.console import Console
    from coarse2fine.runtime.extras import install_command

    try:
        from coarse2fine.app.server import serve_page
    except ModuleNotFoundError as error:
        raise ConfigError(f"app needs {error.name}, which is not installed: {install_command('app')}") from error
    serve_page(run, device, threads, settings, Console(quiet))
