"""Read the JSON files of a run folder, and check their types: a file may be damaged, or come from somebody else."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from coarse2fine.runtime.files import read_json_as

MAX_NUMBER = 2**53
"""Larger counts are not exact as floating-point numbers, and no run has them."""

Count = Annotated[int, Field(ge=0, le=MAX_NUMBER)]
Seconds = Annotated[FiniteFloat, Field(ge=0, le=1e10)]


class _Record(BaseModel):
    """A JSON object with some keys whose types are checked, and any others."""

    model_config = ConfigDict(extra="allow")


class _Done(_Record):
    key: str = ""
    settings: dict[str, Any] = {}
    seconds: Seconds = 0.0
    inputs: list[str] = []
    versions: dict[str, str | None] = {}
    written: Count = 0
    photos: Count = 0
    loss: float | None = None  # not a number if a training diverged
    quality: FiniteFloat = 0.0
    agreement: FiniteFloat = 0.0


class _Started(_Record):
    key: str = ""
    settings: dict[str, Any] = {}


class _Evaluation(_Record):
    mean_iou: FiniteFloat
    iou: dict[str, FiniteFloat | None]
    confusion_matrix: list[list[Count]] = []
    photos: Count


class _Metrics(_Record):
    key: str = ""
    round: Count
    left_out: Count
    training_masks_iou: dict[Literal["coarse", "refined", "enhanced"], FiniteFloat] = {}
    training_masks_measured: Count = 0
    evaluation: _Evaluation | None = None


class _CoarseChoice(_Record):
    key: str
    method: str
    reason: str


class _EarlyEnd(_Record):
    round: Annotated[int, Field(ge=1)]


def read_done(folder: Path) -> dict[str, Any]:
    """Read ``done.json`` of a stage, with at least key, settings and seconds; empty if the stage is not complete.

    Raises:
        DataError: The file is damaged; so for all functions of this module.
    """
    done = _read(folder / "done.json", _Done)
    return done and {"key": "", "settings": {}, "seconds": 0.0, **done}


def read_started(folder: Path) -> dict[str, Any]:
    """Read ``stage.json`` of a stage; empty if the stage is complete or was not started."""
    return _read(folder / "stage.json", _Started)


def read_metrics(path: Path) -> dict[str, Any]:
    """Read ``metrics.json`` of a round; empty if there is none."""
    return _read(path, _Metrics)


def read_evaluation(path: Path) -> dict[str, Any]:
    """Read the figures that ``coarse2fine evaluate`` wrote; empty if there are none."""
    return _read(path, _Evaluation)


def read_coarse_choice(path: Path) -> dict[str, Any]:
    """Read ``coarse-choice.json``; empty if there is none."""
    return _read(path, _CoarseChoice)


def read_early_end(path: Path) -> int | None:
    """Read the number of the last round from ``early-end.json``; None if there is none."""
    last: int | None = _read(path, _EarlyEnd).get("round")
    return last


def read_reasons(path: Path) -> dict[str, str | None]:
    """Read ``filter.json``: for each photo null, or why it is left out."""
    return read_json_as(path, dict[str, str | None], "the reason, or null, for each photo")


def read_notes(folder: Path) -> dict[str, str]:
    """Read ``notes.json`` of a folder of masks: notes of the enhancement by photo; empty if there is none."""
    path = folder / "notes.json"
    return read_json_as(path, dict[str, str], "a note for each photo") if path.exists() else {}


def _read(path: Path, kind: type[_Record]) -> dict[str, Any]:
    if not path.exists():
        return {}
    return read_json_as(path, kind, "what coarse2fine wrote").model_dump(exclude_unset=True)
