"""Fingerprints of what each stage depends on: a stage is run again only if its fingerprint changes.

The fingerprint of a stage contains all settings of its sections; of :class:`MethodSettings` only the section of the
chosen method. A new setting is therefore always part of the fingerprint. A :class:`Role` in the class of a setting
excludes it, or replaces its value in the fingerprint, for example the path of a file by a hash of its content.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from coarse2fine.config import (
    CoarseConfig,
    EnhanceConfig,
    FitConfig,
    MethodSettings,
    Role,
    Settings,
    Start,
)
from coarse2fine.data.mask_files import list_masks, match_masks
from coarse2fine.masks.png import mask_path
from coarse2fine.runtime.files import hash_file, hash_of
from coarse2fine.store.photos import hash_in
from coarse2fine.types import Photo

SOFT_MASKS_SAVED = {"soft masks": "saved"}
"""Entry in the settings of a stage that also writes the soft masks from which it makes its masks."""


def describe_settings(settings: Settings, prefix: str) -> dict[str, Any]:
    """Return the settings of a section that change a result, as plain values by their full name.

    Args:
        settings: A section of the settings.
        prefix: Name of the section, such as ``train``.
    """
    described: dict[str, Any] = {}
    roles, plain = settings.roles(), settings.model_dump(mode="json")
    for name in type(settings).model_fields:
        value, role, key = getattr(settings, name), roles.get(name), f"{prefix}.{name}"
        if role in (Role.NO_EFFECT, Role.RESOLVED):
            continue
        if isinstance(value, Settings):
            if not isinstance(settings, MethodSettings) or name == settings.method:
                described |= describe_settings(value, key)
        elif role is Role.FILE and value is not None:
            described[key] = describe_file(value)
        else:
            described[key] = plain[name]
    return described


def coarse_settings(config: CoarseConfig, keeps_soft_masks: bool = False) -> dict[str, Any]:
    """Return the settings that change the coarse masks."""
    described = describe_settings(config, "coarse")
    if config.uses_student:  # the included student may change with the version of coarse2fine
        described["coarse.student.weights"] = describe_file(config.student.file)
    if config.combines_methods:
        described |= describe_settings(config.box, "coarse.box")
    return described | (SOFT_MASKS_SAVED if keeps_soft_masks else {})


def enhance_settings(config: EnhanceConfig, start: Start, seed: int) -> dict[str, Any]:
    """Return the settings that change the enhanced masks; ``start`` is the start that the enhancement really uses."""
    described = describe_settings(config, "enhance") | {"enhance.start": start}
    return described | ({"seed": seed} if config.uses_opencv else {})


def training_settings(config: FitConfig, number: int, steps: int) -> dict[str, Any]:
    """Return the settings that change the weights of a round. The masks are an input of the stage.

    Args:
        config: All settings.
        number: The round, from 1.
        steps: Optimizer steps of the round.
    """
    described = describe_settings(config.train, "train") | describe_settings(config.network, "network")
    described["train.steps"] = steps
    if number > 1:  # the filter does not leave out photos of round 1
        described |= describe_settings(config.filter, "filter")
    return described | {"seed": config.seed}


def refine_settings(config: FitConfig, number: int) -> dict[str, Any]:
    """Return the settings that change the refined masks of a round. The network is an input of the stage."""
    described = describe_settings(config.refine, "refine") | describe_settings(config.predict, "predict")
    described["predict.size_px"] = config.view_px
    return described | (SOFT_MASKS_SAVED if config.keeps_soft_masks(number) else {})


def describe_photos(photos: Sequence[Photo]) -> str:
    """Return the number of photos and a fingerprint of their names, labels and contents.

    A photo counts by the hash in its stamp; one without a hash by its size in bytes.
    """
    # A single label is not a list, and old stamps have no hash, so that fingerprints of older runs stay valid.
    labels = ([*photo.labels] if photo.label is None else photo.label for photo in photos)
    contents = (hash_in(photo.stamp) or photo.path.stat().st_size for photo in photos)
    described = [(photo.name, own, content) for photo, own, content in zip(photos, labels, contents, strict=True)]
    return f"{len(photos)} ({hash_of(described)})"


def describe_photo_masks(photos: Sequence[Photo], folder: Path) -> str:
    """Return the fingerprint of the masks that a folder holds for the photos."""
    masks = match_masks([photo.name for photo in photos], list_masks(folder))
    return describe_masks([masks.get(photo.name, mask_path(folder, photo.name)) for photo in photos])


def describe_masks(paths: Sequence[Path]) -> str:
    """Return the fingerprint of the content of mask files; files may be missing."""
    return hash_of([hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "" for path in paths])


def describe_file(given: Path | str) -> str:
    """Return a fingerprint of the content of a file; a name that is no file (``imagenet``) is returned unchanged."""
    path = Path(given).expanduser()
    return hash_file(path) if path.is_file() else str(given)
