"""The base class of all settings: frozen, validated, and with one-sentence error messages."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from enum import Enum
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from coarse2fine.errors import ConfigError

Share = Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Scales = Annotated[tuple[Annotated[float, Field(gt=0, le=10)], ...], Field(min_length=1, max_length=10)]
Value = TypeVar("Value", int, float)

MAX_EXPLAINED = 10
"""Wrong settings that one message names, at most."""

_MAX_SHOWN_CHARACTERS = 200


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

    @classmethod
    def list_paths(cls) -> list[tuple[str, ...]]:
        """Return the paths of all settings and sections; the own settings of a section precede its sub-sections."""
        inner: list[tuple[str, ...]] = []
        own: list[tuple[str, ...]] = []
        for name, field in cls.model_fields.items():
            kind = field.annotation
            if isinstance(kind, type) and issubclass(kind, Settings):
                inner += [(name,), *((name, *path) for path in kind.list_paths())]
            else:
                own.append((name,))
        return own + inner


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


def explain(error: ValidationError, kind: type[Settings] | None = None, section: str = "") -> str:
    """Return one sentence that names each wrong setting, what must hold, and what was found.

    Args:
        error: From the validation of settings.
        kind: The class that was validated. If given, the sentence suggests known settings for an unknown one.
        section: Full name of the section that was validated, such as ``enhance.grabcut``; "" for all settings.
    """
    above = tuple(section.split(".")) if section else ()
    places: dict[tuple[str | int, ...], list[dict[str, Any]]] = {}
    for detail in error.errors():
        places.setdefault(above + _place_of(detail), []).append(dict(detail))
    # An item that is wrong does not count, so pydantic reports that its list is too short, too.
    wrong_items = {place[:-1] for place in places if place and isinstance(place[-1], int)}
    wrong = [at for at in places if at not in wrong_items]
    sentences = [_explain_place(at, places[at], kind) for at in wrong[:MAX_EXPLAINED]]
    more = f"; and {len(wrong) - MAX_EXPLAINED} more" if len(wrong) > MAX_EXPLAINED else ""
    return "; ".join(sentences) + more + "."


def find_similar_names(key: str, kind: type[Settings]) -> list[str]:
    """Return the full names of up to three settings that may be meant by an unknown one, such as ``train.batchsize``.

    These are the settings of the same name in other sections; if there are none, those that are spelled similarly.
    """
    names = [".".join(path) for path in kind.list_paths()]
    elsewhere = [name for name in names if name.rpartition(".")[2] == key.rpartition(".")[2]]
    return elsewhere[:3] or get_close_matches(key, names, cutoff=0.75)


def _place_of(detail: Mapping[str, Any]) -> tuple[str | int, ...]:
    """Return names and indices of a wrong value, without pydantic's names of types (``literal['otsu']``)."""
    return tuple(part for part in detail["loc"] if isinstance(part, int) or part.isidentifier())


def _explain_place(place: tuple[str | int, ...], details: list[dict[str, Any]], kind: type[Settings] | None) -> str:
    """Explain the errors of one value; there are several if it may have one of several types."""
    key = ".".join(part for part in place if isinstance(part, str))
    if details[0]["type"] == "extra_forbidden":
        near = find_similar_names(key, kind) if kind else []
        return f"there is no setting '{key}'" + (f" (did you mean {' or '.join(near)}?)" if near else "")
    is_item = bool(place) and isinstance(place[-1], int)
    if details[0]["type"] == "missing":
        return f"{key} has too few values (found {_show(details[0])})" if is_item else f"{key} is missing"
    first, *others = map(_requirement, details)
    required = " or ".join([first, *(other.removeprefix("must be ") for other in others)])
    if not key:
        return required
    subject = f"each value of {key}" if is_item else key
    colon = "" if required.startswith("must ") else ":"
    return f"{subject}{colon} {required} (found {_show(details[0])})"


def _show(detail: Mapping[str, Any]) -> str:
    """Return the text of a wrong value, cut where it is long."""
    text = repr(detail["input"])
    return text if len(text) <= _MAX_SHOWN_CHARACTERS else f"{text[:_MAX_SHOWN_CHARACTERS]}..."


def _requirement(detail: Mapping[str, Any]) -> str:
    """Turn pydantic's ``Input should be greater than 0`` into ``must be greater than 0``."""
    kinds = {"model_type": "must be a section of settings", "path_type": "must be a path"}
    if detail["type"] in kinds:
        return kinds[detail["type"]]
    message = str(detail["msg"]).removeprefix("Value error, ")
    message = re.sub(r"^(Input|Tuple) should ", "must ", message)
    return re.sub(r"( after validation, not|, got|, unable to) .*", "", message)
