"""Reading and writing settings: named recipes, TOML files and TOML text."""

import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import tomli_w
from pydantic import ValidationError

from coarse2fine.config.base import Settings, explain
from coarse2fine.config.fit import FitConfig, Task
from coarse2fine.errors import ConfigError

_WINDOWS_PATH = re.compile(r'"[^"\n]*\\[^"\n]*"')

RECIPES = ("small", "paper", "demo")
"""Names of the recipes. ``small`` is ``FitConfig()``; the others are applied on top of it."""


def load_recipe(name: str, task: Task = "classes") -> FitConfig:
    """Return the settings of a recipe.

    Args:
        name: One of `RECIPES`.
        task: For ``foreground``, the changes in ``<name>-foreground.toml`` are applied on top of the recipe.

    Raises:
        ConfigError: There is no recipe of this name.
    """
    if name not in RECIPES:
        raise ConfigError(f"There is no recipe '{name}'; choose one of {', '.join(RECIPES)}.")
    config = FitConfig() if name == "small" else _parse_recipe(name, FitConfig())
    return config if task == "classes" else _parse_recipe(f"{name}-{task}", config)


def read_task(path: Path | str) -> Task | None:
    """Return the task that a TOML file sets, or ``None``; :func:`load_config` reports what is wrong with the file."""
    try:
        return find_task(tomllib.loads(Path(path).read_text(encoding="utf-8-sig")).get("task"))
    except (OSError, ValueError, RecursionError):
        return None


def find_task(name: str | None) -> Task | None:
    """Return the task of this name, or ``None`` if there is none."""
    return next((task for task in get_args(Task) if task == name), None)


def load_config(path: Path | str, base: FitConfig | None = None) -> FitConfig:
    """Return the settings of a TOML file, applied on top of ``base``.

    Args:
        path: The file.
        base: Settings for everything that the file does not set; default: ``FitConfig()``, the recipe ``small``.

    Raises:
        ConfigError: The file is missing, is not TOML, or holds an unknown key or a bad value.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"The settings file {path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"The settings file {path} must be UTF-8 text: {error}.") from error
    return parse_config(text, where=str(path), base=base)


def parse_config(text: str, where: str, base: FitConfig | None = None) -> FitConfig:
    """Return the settings of TOML text, applied on top of ``base``.

    Args:
        text: TOML.
        where: Name of the text in error messages.
        base: As in :func:`load_config`.

    Raises:
        ConfigError: The text is not TOML, or holds an unknown key or a bad value.
    """
    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        hint = r" Write a Windows path with / or in single quotes: 'C:\photos'." if _WINDOWS_PATH.search(text) else ""
        raise ConfigError(f"{where} must be TOML: {error}.{hint}") from error
    merged = _merge((base or FitConfig()).model_dump(), values)
    try:
        return FitConfig.model_validate(merged)
    except ValidationError as error:
        is_unknown = any(detail["type"] == "extra_forbidden" for detail in error.errors())
        hint = " 'coarse2fine fit --help-all' shows all settings." if is_unknown else ""
        raise ConfigError(f"{where}: {explain(error, FitConfig)}{hint}") from error
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def dump_config(config: Settings) -> str:
    """Return TOML text from which :func:`parse_config` restores the settings; values of ``None`` are left out."""
    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))


def _parse_recipe(name: str, base: FitConfig) -> FitConfig:
    text = (resources.files("coarse2fine.config") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
    return parse_config(text, where=f"recipe {name}", base=base)


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
