"""``coarse2fine --print-completion SHELL``: a script by which a shell completes commands and options."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from tyro.extras import subcommand_cli_from_dict

from coarse2fine.cli.parser import MARKERS
from coarse2fine.errors import ConfigError

SHELLS = ("bash", "zsh")

_FUNCTIONS = {"export": "export_masks", "student": "train", "fit": "fit_with_defaults"}
"""Names of the functions that are not called like their command."""


def print_completion(words: Sequence[str], commands: Sequence[str]) -> None:
    """Print the script for one shell.

    Args:
        words: The words after the option: the name of the shell.
        commands: Names of all commands.

    Raises:
        ConfigError: There is no such shell.
        SystemExit: With status 0, after the script.
    """
    if len(words) != 1 or words[0] not in SHELLS:
        found = " ".join(words) or "nothing"
        raise ConfigError(f"--print-completion must be followed by one of {', '.join(SHELLS)}; found {found}.")
    functions: dict[str, Callable[..., Any]] = {}
    for command in commands:
        module = import_module(f"coarse2fine.cli.{command.replace('-', '_')}")
        functions[command] = getattr(module, _FUNCTIONS.get(command, command.replace("-", "_")))
    subcommand_cli_from_dict(functions, prog="coarse2fine", args=["--tyro-print-completion", words[0]], config=MARKERS)
