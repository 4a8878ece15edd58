"""Flags made from the settings classes."""

from collections.abc import Callable, Sequence
from typing import Any

import tyro
from pydantic import ValidationError

from coarse2fine.config import explain
from coarse2fine.errors import ConfigError


def parse_settings(function: Callable[..., Any], arguments: Sequence[str], verb: str) -> Any:
    """Call ``function`` with what the arguments say; its signature and docstring make the flags and their help.

    Raises:
        ConfigError: A setting has a value that cannot be.
    """
    try:
        return tyro.cli(
            function,
            args=list(arguments),
            prog=f"coarse2fine {verb}",
        )
    except ValidationError as error:
        raise ConfigError(explain(error)) from error
