"""``coarse2fine app``: a local page to check the masks of a run and to try its network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from coarse2fine.cli.parser import parse_settings
from coarse2fine.config import AppConfig
from coarse2fine.runtime.device import Device


def run(arguments: Sequence[str]) -> None:
    """Parse, open the page."""
    parse_settings(app, arguments, "app")


def app(
    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")],
    settings: Annotated[AppConfig, tyro.conf.arg(name="")] = AppConfig(),  # noqa: B008 - frozen
    device: Device = "auto",
    threads: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    quiet: bool = False,
) -> None:
    """Open a page on which masks are checked, the doubtful ones first: accept, reject, or fix them by brush.

    Decisions are kept in RUN/review at once, and count when fit is run on RUN again. Also finds the classes of any
    photo that is dropped on the page. Needs pip install 'coarse2fine[app]'; see docs/app.md.

    Like this:
      coarse2fine app runs/pets
      coarse2fine app runs/pets --host 0.0.0.0          # for others, too: they need the token that is printed

    Args:
        run: A run folder of fit, finished or not; fit may work on it meanwhile.
        settings: Address and limits.
        device: Where the network is computed; auto: on the CUDA GPU if there is one.
        threads: Threads of the processor; default: all cores.
        quiet: Print only warnings, errors, and the token where one was made up.
    """
    from coarse2fine.errors import ConfigError
    from coarse2fine.runtime.console import Console

    try:
        from coarse2fine.app.server import serve_page
    except ModuleNotFoundError as error:
        raise ConfigError(f"app needs {error.name}, which is not installed: pip install 'coarse2fine[app]'.") from error
    serve_page(run, device, threads, settings, Console(quiet))
