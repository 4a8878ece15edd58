"""Parsing of options; the flags and their help are made from functions and settings classes by tyro."""

import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext, redirect_stderr, redirect_stdout
from functools import partial, wraps
from itertools import pairwise
from typing import Annotated, Any, TypeAlias, TypeVar

import tyro
from pydantic import ValidationError

from coarse2fine.config import explain
from coarse2fine.errors import ConfigError

Result = TypeVar("Result")

Quiet: TypeAlias = Annotated[bool, tyro.conf.FlagCreatePairsOff]

Json: TypeAlias = Annotated[bool, tyro.conf.FlagCreatePairsOff]
"""Type of the flag ``--json``; :func:`parse_and_call` acts on it."""

JSON_FLAG = "--json"

SWITCH_VALUES = ("true", "false", "yes", "no", "on", "off")
"""What is often written behind an option that takes no value."""

MARKERS = (tyro.conf.DisallowNone,)
"""An optional value is shown without None; an optional bool has the flags ``--x`` and ``--no-x``."""


def parse_and_call(function: Callable[..., dict[str, Any] | None], arguments: Sequence[str], command: str) -> None:
    """Call a function with the options of the command line; its signature and docstring define flags and help.

    With the flag ``--json``, all that the function prints goes to standard error, and what it returns is printed as one
    JSON object, unless it is None: in a run of several processes, only the first prints.

    Raises:
        ConfigError: A setting has a value that is not allowed.
        SystemExit: After help, or if an option is unknown.
    """
    _respect_no_color()
    as_json = JSON_FLAG in arguments
    try:
        with redirect_stdout(sys.stderr) if as_json else nullcontext():
            result = _parse(function, arguments, command)()
    except ValidationError as error:
        raise ConfigError(explain(error)) from error
    if as_json and result is not None:
        print(json.dumps(result, ensure_ascii=False, allow_nan=False))  # noqa: T201


def _parse(function: Callable[..., Result], arguments: Sequence[str], command: str) -> Callable[[], Result]:
    """Return the function with its arguments from the command line.

    tyro prints errors of pydantic as they are, over many lines and with an address. So what it prints is not shown
    first. If a setting is wrong, pydantic's error is the context of tyro's; for any other mistake tyro parses again.
    """

    @wraps(function)
    def bind(*values: Any, **options: Any) -> Callable[[], Result]:
        return partial(function, *values, **options)

    def parse() -> Callable[[], Result]:
        bound: Callable[[], Result] = tyro.cli(
            bind, args=list(arguments), prog=f"coarse2fine {command}", config=MARKERS
        )
        return bound

    try:
        with redirect_stderr(printed := io.StringIO()):
            return parse()
    except SystemExit as error:
        if not error.code:  # after help
            raise
        rejection = error.__context__
        if rejection and isinstance(wrong := rejection.__context__, ValidationError):
            section = str(getattr(rejection, "arg", "")).removeprefix("settings").removeprefix(".")
            raise ConfigError(explain(wrong, section=section)) from wrong
        _refuse_values_of_switches(arguments, printed.getvalue())
    return parse()


def _refuse_values_of_switches(arguments: Sequence[str], rejection: str) -> None:
    """Explain how a switch is written, if tyro calls its value an unknown option in what it prints."""
    words = [part for word in arguments for part in (word.split("=", 1) if word.startswith("--") else [word])]
    for option, value in pairwise(words):
        if option.startswith("--") and value.lower() in SWITCH_VALUES and value in rejection.split():
            *sections, name = option.removeprefix("--").split(".")
            off = "--" + ".".join([*sections, f"no-{name.removeprefix('no-')}"])
            raise ConfigError(
                f"{option} must stand alone, without a value, but is followed by '{value}'. To switch it off, "
                f"write {off} if --help shows it, or leave it out."
            )


def _respect_no_color() -> None:
    """Switch colors in help texts off if ``NO_COLOR`` is set. tyro has no public name for the switch."""
    if os.environ.get("NO_COLOR") and hasattr(tyro, "_experimental_options"):
        tyro._experimental_options["ansi_codes"] = False


def parse_ahead(function: Callable[..., Result], arguments: Sequence[str], command: str) -> Result:
    """Call a function with those of the options that it knows, before all options are parsed."""
    result, _ = tyro.cli(
        function,
        args=[word for word in arguments if word not in ("-h", "--help")],
        prog=f"coarse2fine {command}",
        config=MARKERS,
        add_help=False,
        return_unknown_args=True,
    )
    return result
