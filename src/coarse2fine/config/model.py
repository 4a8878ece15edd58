"""Description of a finished network, as its files hold it. They may come from a stranger, so everything has a limit."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, ValidationError, model_validator

from coarse2fine.config.base import PositiveInt, Scales, Settings, explain
from coarse2fine.config.network import NetworkConfig
from coarse2fine.config.predict import PredictCrfConfig, check_input_size
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.types import FOREGROUND_CLASSES, MAX_CLASSES

ClassName = Annotated[str, Field(min_length=1, max_length=255)]


def _check_class_names(names: tuple[str, ...]) -> tuple[str, ...]:
    if names[0] != FOREGROUND_CLASSES[0] or len(set(names)) < len(names):
        raise ValueError(f"must start with '{FOREGROUND_CLASSES[0]}' and have distinct names")
    return names


ClassNames = Annotated[
    tuple[ClassName, ...], Field(min_length=2, max_length=MAX_CLASSES + 1), AfterValidator(_check_class_names)
]
"""Type of the names of all classes by index, background first, in the schema of a file."""


class ModelPredictConfig(Settings):
    """How photos are predicted."""

    size_px: PositiveInt
    flip: bool
    scales: Scales
    foreground_first: bool
    precision: Literal["auto", "bf16", "fp32"]
    crf: PredictCrfConfig

    @model_validator(mode="after")
    def _input_has_a_limit(self) -> Self:
        check_input_size("predict.size_px", self.size_px, self.scales)
        return self


class ModelConfig(Settings):
    """A finished network: its classes and how photos are predicted."""

    classes: ClassNames
    predict: ModelPredictConfig


class TorchModelConfig(ModelConfig):
    """A finished network that torch computes: also its architecture."""

    network: NetworkConfig

    @model_validator(mode="after")
    def _network_input_has_a_limit(self) -> Self:
        largest = max(1.0, *self.network.scales)
        check_input_size("predict.size_px", self.predict.size_px, [largest * scale for scale in self.predict.scales])
        return self


Kind = TypeVar("Kind", bound=ModelConfig)


def parse_model(values: Mapping[str, Any], kind: type[Kind], where: str) -> Kind:
    """Check the description of a network; no value is converted to another type.

    Args:
        values: Parsed TOML or JSON.
        kind: What it must describe.
        where: Name of the file in error messages.

    Raises:
        DataError: A value is missing, unknown, or of another type or size; it is named.
    """
    try:
        return kind.model_validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        reason = explain(error)
    except ConfigError as error:
        reason = str(error)
    raise DataError(
        f"{where} was written by another version of coarse2fine, or is damaged: {reason} Use that version, train "
        "again, or take another copy."
    )
