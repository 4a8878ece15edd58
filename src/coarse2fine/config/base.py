"""The base class of all settings: frozen, validated, and with one-sentence error messages."""

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from coarse2fine.errors import ConfigError

Share = Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Value = TypeVar("Value", int, float)


def value_of(values: Sequence[Value], number: int) -> Value:
    """Return the value of a round or generation, counted from 1; the last value is used for all later ones."""
    return values[min(number, len(values)) - 1]


class Role(Enum):
    """How a setting enters the fingerprint of its stage. A setting without a role enters with its value.

    Attach a role in the annotation of the field: ``batch: Annotated[int, Role.NO_EFFECT] = Field(8, ...)``.
    """

    NO_EFFECT = "does not change the result of the stage; not part of the fingerprint"
    RESOLVED = "decides other settings, which are part of the fingerprint"
    FILE = "path of a file; the content of the file is part of the fingerprint"


class Settings(BaseModel):
    """Frozen settings that refuse unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def roles(cls) -> dict[str, Role]:
        """Return the role of every field that has one."""
        return {
            name: mark for name, field in cls.model_fields.items() for mark in field.metadata if isinstance(mark, Role)
        }


class MethodSettings(Settings):
    """Settings of a stage that can be done by one of several methods.

    ``method`` names the method. A method with settings of its own has a section: a field of the same name, with a
    class that describes the method in the first line of its docstring. A new method therefore needs one new field here,
    or one new entry in ``without_settings``. The help text of ``method`` is made from both.

    Attributes:
        stage: Name of the stage in error messages.
        without_settings: Methods without settings, and their description.
    """

    stage: ClassVar[str]
    without_settings: ClassVar[Mapping[str, str]] = {}

    method: str

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        described = {name: _first_line(cls.model_fields[name].annotation) for name in cls.sections()}
        choices = described | dict(cls.without_settings)
        cls.model_fields["method"].description = "; ".join(f"{name}: {text}" for name, text in choices.items())

    @classmethod
    def sections(cls) -> tuple[str, ...]:
        """Return the names of the fields that hold the settings of one method."""
        kinds = {name: field.annotation for name, field in cls.model_fields.items()}
        return tuple(name for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, Settings))

    @classmethod
    def methods(cls) -> tuple[str, ...]:
        """Return the names of all methods."""
        return cls.sections() + tuple(cls.without_settings)

    @property
    def section(self) -> Settings:
        """The settings of the chosen method; empty settings if the method has none."""
        return getattr(self, self.method) if self.method in self.sections() else Settings()

    @model_validator(mode="after")
    def _method_is_known(self) -> Self:
        if self.method not in self.methods():
            known = ", ".join(self.methods())
            raise ConfigError(f"{self.stage}.method must be one of {known}; found '{self.method}'.")
        return self


def _first_line(kind: object) -> str:
    """Return the first line of a docstring without ``Method <name>:`` and without the full stop."""
    line = (kind.__doc__ or "").strip().partition("\n")[0]
    return re.sub(r"^Method \w+: ", "", line).removesuffix(".")


def explain(error: ValidationError) -> str:
    """Return one sentence that names each wrong setting, what must hold, and what was found."""
    return "; ".join(_explain_one(dict(detail)) for detail in error.errors()) + "."


def _explain_one(detail: dict[str, Any]) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"there is no setting '{key}'"
    message = str(detail["msg"]).removeprefix("Value error, ")
    return f"{key}: {message} (found {detail['input']!r})" if key else message
