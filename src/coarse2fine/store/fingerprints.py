"""Fingerprints of what each stage depends on: a stage is run again only if its fingerprint changes.

The settings that a stage depends on are its sections of the settings, whole (of :class:`MethodSettings` the section of
the chosen method), so that a new setting is always part of the fingerprint. A setting that is not, or not
with its plain value, carries a :class:`Role` in its class.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from coarse2fine.config import (
    CoarseConfig,
    EnhanceConfig,
    FitConfig,
    MethodSettings,
    RefineConfig,
    Role,
    Settings,
    Start,
)
from coarse2fine.masks.png import mask_path
from coarse2fine.runtime.files import hash_of
from coarse2fine.types import Photo

Value = TypeVar("Value", int, float)

KEPT = {"soft masks": "saved"}
"""Entry in the settings of a stage that also writes the probabilities of its masks."""


def describe_settings(settings: Settings, prefix: str, number: int = 1) -> dict[str, Any]:
    """Return all settings that decide a result, as plain values by their full name.

    Args:
        settings: A section of the settings.
        prefix: Name of the section, such as ``train``.
        number: The round, for settings with one value per round.
    """
    described: dict[str, Any] = {}
    roles, plain = settings.roles(), settings.model_dump(mode="json")
    for name in type(settings).model_fields:
        value, role, key = getattr(settings, name), roles.get(name), f"{prefix}.{name}"
        if role in (Role.NO_EFFECT, Role.RESOLVED):
            continue
        if isinstance(value, Settings):
            if not isinstance(settings, MethodSettings) or name == settings.method:
                described |= describe_settings(value, key, number)
        elif role is Role.PER_ROUND:
            described[key] = value_of(value, number)
        elif role is Role.FILE and value is not None:
            described[key] = describe_file(value)
        else:
            described[key] = plain[name]
    return described


def coarse_settings(config: CoarseConfig, keeps_soft_masks: bool = False) -> dict[str, Any]:
    """Return the settings that decide the coarse masks."""
    described = describe_settings(config, "coarse")
    if config.method == "student":  # the included student may change with the version of coarse2fine
        described["coarse.student.weights"] = describe_file(config.student.file)
    return described | (KEPT if keeps_soft_masks else {})


def enhance_settings(config: EnhanceConfig, start: Start, seed: int) -> dict[str, Any]:
    """Return the settings that decide the enhanced masks, for the start that is used."""
    described = describe_settings(config, "enhance") | {"enhance.start": start}
    uses_seed = config.method == "grabcut" and config.grabcut.engine == "opencv"
    return described | ({"seed": seed} if uses_seed else {})


def training_settings(config: FitConfig, number: int) -> dict[str, Any]:
    """Return the settings that, beside its masks, decide the weights of a round, counted from 1."""
    described = describe_settings(config.train, "train", number) | describe_settings(config.network, "network")
    if number > 1:  # the first round trains on all photos
        described |= describe_settings(config.filter, "filter")
    return described | {"seed": config.seed}


def refine_settings(config: RefineConfig, size_px: int, keeps_soft_masks: bool) -> dict[str, Any]:
    """Return the settings that, beside its network, decide the refined masks of a round."""
    return describe_settings(config, "refine") | {"size_px": size_px} | (KEPT if keeps_soft_masks else {})


def value_of(values: Sequence[Value], number: int) -> Value:
    """Return the value of a round or generation, counted from 1; the last value is used for all later ones."""
    return values[min(number, len(values)) - 1]


def describe_photos(photos: Sequence[Photo]) -> str:
    """Return the number of photos and a fingerprint of their names, labels and sizes in bytes."""
    key = hash_of([(photo.name, photo.label, photo.path.stat().st_size) for photo in photos])
    return f"{len(photos)} ({key})"


def describe_given(photos: Sequence[Photo], folder: Path) -> str:
    """Return the fingerprint of the masks that a folder holds for the photos."""
    return describe_masks([mask_path(folder, photo.name) for photo in photos])


def describe_masks(paths: Sequence[Path]) -> str:
    """Return the fingerprint of the content of mask files; files may be missing."""
    return hash_of([hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "" for path in paths])


def describe_file(given: Path | str) -> str:
    """Return a fingerprint of the content of a file; a name that is no file, such as ``imagenet``, stays as it is."""
    path = Path(given).expanduser()
    if not path.is_file():
        return str(given)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
