"""Settings of a whole run, from recipes and files, and back into them."""

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self, get_args

import tomli_w
from pydantic import Field, ValidationError, model_validator

from coarse2fine.config.base import Count, PositiveFloat, PositiveInt, Settings, explain
from coarse2fine.config.stages import (
    CoarseConfig,
    EnhanceConfig,
    NetworkConfig,
    PredictConfig,
    RefineConfig,
    Start,
    TrainConfig,
)
from coarse2fine.errors import ConfigError

Task = Literal["classes", "foreground"]

RECIPES = ("paper", "small", "demo")


class FitConfig(Settings):
    """Everything that decides the masks of a run."""

    task: Task = Field(
        "classes",
        description="classes: photos have one label each, the network finds all classes; foreground: photos need no "
        "label, the network tells object from background",
    )
    rounds: PositiveInt = Field(5, description="how often the network trains on its own refined masks")
    seed: Count = Field(0, description="same settings, seed and machine kind: same masks")
    max_megapixels: PositiveFloat = Field(200.0, description="larger photos are left out, with their reason")
    coarse: CoarseConfig = CoarseConfig()
    enhance: EnhanceConfig = EnhanceConfig()
    refine: RefineConfig = RefineConfig()
    network: NetworkConfig = NetworkConfig()
    train: TrainConfig = TrainConfig()
    predict: PredictConfig = PredictConfig()

    @model_validator(mode="after")
    def _coarse_scores_exist(self) -> Self:
        if self.keeps_scores(0) and not self.coarse.has_scores:
            raise ConfigError(
                f"The masks of coarse.method = {self.coarse.method} say nothing about how likely a pixel is: with them "
                "set enhance.coarse_start to auto, box or mask."
            )
        return self

    def start_of(self, number: int) -> Start:
        """From where the masks of a round are enhanced; round 0 is that of the coarse masks."""
        if self.enhance.method == "crf":
            return "scores" if number or self.coarse.has_scores else "mask"
        chosen = self.enhance.start if number else self.enhance.coarse_start
        if chosen != "auto":
            return chosen
        return "scores" if self.coarse.has_scores and self.enhance.can_weigh_scores else "box"

    def keeps_scores(self, number: int) -> bool:
        """Whether the masks of a round are enhanced from the scores they were made from."""
        enhances = self.enhance.method in ("grabcut", "crf") and (number == 0 or self.enhance.between_rounds)
        return enhances and self.start_of(number) == "scores"

    @property
    def view_px(self) -> int:
        """Longer side at which the network sees a photo after training."""
        return self.predict.size_px or self.train.resize_px


def load_recipe(name: str, task: Task = "classes") -> FitConfig:
    """Settings of a named recipe; those of the foreground task are laid over it.

    Raises:
        ConfigError: There is no recipe of this name.
    """
    if name not in RECIPES:
        raise ConfigError(f"There is no recipe '{name}'; choose one of {', '.join(RECIPES)}.")
    config = _parse_recipe(name, None)
    return config if task == "classes" else _parse_recipe(f"{name}-{task}", config)


def read_task(path: Path) -> Task | None:
    """The task that a TOML file names, if it does; what else is wrong with it, :func:`load_config` tells."""
    try:
        return find_task(tomllib.loads(path.read_text(encoding="utf-8")).get("task"))
    except (OSError, ValueError):
        return None


def find_task(name: str | None) -> Task | None:
    """The task of a name; none if there is none."""
    return next((task for task in get_args(Task) if task == name), None)


def load_config(path: Path, base: FitConfig | None = None) -> FitConfig:
    """Settings from a TOML file, laid over ``base`` (default: the classes' own defaults).

    Raises:
        ConfigError: The file is missing, is no TOML, or holds an unknown key or a bad value.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"The settings file {path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"The settings file {path} must be UTF-8 text: {error}.") from error
    return parse_config(text, where=str(path), base=base)


def parse_config(text: str, where: str, base: FitConfig | None = None) -> FitConfig:
    """Settings from TOML text laid over ``base``; ``where`` names the text in errors."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where} must be TOML: {error}.") from error
    merged = _merge(base.model_dump() if base else {}, values)
    try:
        return FitConfig.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(f"{where}: {explain(error)}") from error
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def dump_config(config: Settings) -> str:
    """TOML text from which :func:`parse_config` makes the same settings again; settings that are none are left out."""
    return tomli_w.dumps(_without_none(config.model_dump(mode="json")))


def _parse_recipe(name: str, base: FitConfig | None) -> FitConfig:
    text = (resources.files("coarse2fine.config") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
    return parse_config(text, where=f"recipe {name}", base=base)


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if value is not None
    }
