"""``coarse2fine info``: what a run folder or an exported network contains."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from coarse2fine.cli.parser import Json, Quiet, parse_and_call

if TYPE_CHECKING:
    from rich.table import Table


def run(arguments: Sequence[str]) -> None:
    """Parse the options and print."""
    parse_and_call(info, arguments, "info")


def info(
    model: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|MODEL.onnx")],
    quiet: Quiet = False,
    json: Json = False,
) -> dict[str, Any]:
    """Show what a run or an exported network contains: classes, sizes, figures of every round, versions.

    For example:
      coarse2fine info runs/pets
      coarse2fine info pets.onnx --json

    Args:
        model: Run folder of fit, finished or not; its folder model; or a network written by coarse2fine export.
        quiet: Print only warnings and errors.
        json: Print the result as one JSON object; all other output goes to standard error.
    """
    from coarse2fine.report.facts import describe
    from coarse2fine.runtime.console import Console

    found = describe(model)
    Console(quiet or json).show(as_table(found))
    return found


def as_table(values: Mapping[str, Any]) -> "Table":
    """Return a table of two columns, name and value; of nested objects one row per value."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in _flatten(values):
        table.add_row(name, escape(value))
    return table


def _flatten(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        title = f"{prefix}{name.replace('_', ' ')}"
        if isinstance(value, Mapping):
            rows += _flatten(value, f"{title}: ")
        elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            rows += [(title, ", ".join(f"{key} {one}" for key, one in _flatten(item))) for item in value]
        elif isinstance(value, list):
            rows.append((title, ", ".join(map(str, value)) or "-"))
        else:
            rows.append((title, "-" if value is None else str(value)))
    return rows
