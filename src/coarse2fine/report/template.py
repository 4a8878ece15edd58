"""Render the HTML templates of this package."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from coarse2fine.runtime.console import format_seconds


def render_template(name: str, values: Mapping[str, Any]) -> str:
    """Render a template of this package as HTML; all values are escaped."""
    return _environment().get_template(name).render(values)


@cache
def _environment() -> Environment:
    """Return the environment, which compiles each template once: that takes longer than drawing a small page."""
    environment = Environment(
        loader=PackageLoader("coarse2fine", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "decimals": _format_decimals,
        "count": _format_count,
        "percent": lambda share: f"{100 * share:.1f} %",
        "duration": format_seconds,
    }
    return environment


def _format_decimals(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _format_count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"
