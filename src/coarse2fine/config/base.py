"""What all settings have in common: frozen, checked at birth, and one sentence for what is wrong with them."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Share = Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]


class Settings(BaseModel):
    """Frozen settings that refuse unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def explain(error: ValidationError) -> str:
    """One sentence from a pydantic error: which settings, what must hold, what was found."""
    return "; ".join(_explain_one(dict(detail)) for detail in error.errors()) + "."


def _explain_one(detail: dict[str, Any]) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"there is no setting '{key}'"
    message = str(detail["msg"]).removeprefix("Value error, ")
    return f"{key}: {message} (found {detail['input']!r})" if key else message
