"""What each stage's files depend on: only a change of these redoes the stage."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from coarse2fine.config import CoarseConfig, EnhanceConfig, FitConfig, NetworkConfig, RefineConfig, Settings, Start
from coarse2fine.masks.png import mask_path
from coarse2fine.runtime.files import hash_of
from coarse2fine.types import Photo

_FEATURES = ("features_model", "features_weights", "features_side_px", "features_pieces")
Value = TypeVar("Value", int, float)

_COARSE = {
    "saliency": ("threshold", "max_side_px"),
    "box": ("box_share",),
    "student": ("threshold",),
    "features": ("threshold", *_FEATURES),
    "folder": ("folder",),
}
_GRABCUT = {"box": ("box",), "mask": ("band_share",), "scores": ("certain_share", "score_weight")}
_TRAINING_APART = ("epochs", "loader_workers", "checkpoint_photos")


def coarse_settings(config: CoarseConfig, keeps_scores: bool = False) -> dict[str, Any]:
    """Settings that decide the coarse masks."""
    chosen = _pick(config, "coarse", ("method", *_COARSE[config.method]))
    if config.method == "student":
        chosen["coarse.student_weights"] = _describe_weights(str(config.student_file))
    if config.method == "features":
        chosen["coarse.features_weights"] = _describe_weights(config.features_weights)
    return chosen | ({"scores": "kept"} if keeps_scores else {})


def enhance_settings(config: EnhanceConfig, start: Start, seed: int) -> dict[str, Any]:
    """Settings that decide the enhanced masks, for a start from boxes, masks or scores."""
    if config.method == "none":
        return {"enhance.method": "none"}
    if config.method == "box":
        return _pick(config, "enhance", ("method", "box"))
    if config.method == "crf":
        return _crf_settings(config, start)
    chosen = _pick(config, "enhance", ("method", "engine", "iterations", "max_side_px", *_GRABCUT[start]))
    return chosen | {"enhance.start": start} | ({"seed": seed} if config.engine == "opencv" else {})


def _crf_settings(config: EnhanceConfig, start: Start) -> dict[str, Any]:
    from_scores = start == "scores"
    chosen = _pick(config, "enhance", ["method"] + ["mask_certainty"] * (not from_scores))
    names = list(type(config.crf).model_fields)
    return chosen | _pick(config.crf, "enhance.crf", names) | {"enhance.start": "scores" if from_scores else "mask"}


def training_settings(config: FitConfig, number: int) -> dict[str, Any]:
    """Settings that decide the weights of a round, beside its masks."""
    train = _pick(
        config.train, "train", [name for name in type(config.train).model_fields if name not in _TRAINING_APART]
    )
    network = _network_settings(config.network)
    names = ["min_share", "max_share"] + ["drop_worst"] * (config.refine.drop_worst > 0)
    limits = _pick(config.refine, "refine", names) if number > 1 else {}
    return {**train, **network, **limits, "train.epochs": value_of(config.train.epochs, number), "seed": config.seed}


def _network_settings(config: NetworkConfig) -> dict[str, Any]:
    apart = {"rates"} if config.name != "dfpn" else set()
    apart |= {"scales"} if config.scales == (1.0,) else set()
    chosen = _pick(config, "network", [name for name in type(config).model_fields if name not in apart])
    return chosen | {"network.encoder_weights": _describe_weights(config.encoder_weights)}


def refine_settings(config: RefineConfig, size_px: int, keeps_scores: bool) -> dict[str, Any]:
    """Settings that decide the masks a network gives its training photos."""
    names = ["constrain", "flip", "scales"] + ["threshold"] * (config.constrain == "foreground")
    return _pick(config, "refine", names) | {"size_px": size_px} | ({"scores": "kept"} if keeps_scores else {})


def value_of(values: Sequence[Value], number: int) -> Value:
    """A setting's value in a round or generation, counted from 1; the last value holds for all further ones."""
    return values[min(number, len(values)) - 1]


def describe_photos(photos: Sequence[Photo]) -> str:
    """How many photos there are, and a fingerprint of their names, labels and sizes in bytes."""
    key = hash_of([(photo.name, photo.label, photo.path.stat().st_size) for photo in photos])
    return f"{len(photos)} ({key})"


def describe_given(photos: Sequence[Photo], folder: Path) -> str:
    """Fingerprint of the content of the masks that a user gives; of those there are."""
    return describe_masks([mask_path(folder, photo.name) for photo in photos])


def describe_masks(paths: Sequence[Path]) -> str:
    """Fingerprint of the content of masks; of those there are."""
    return hash_of([hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "" for path in paths])


def _describe_weights(given: str) -> str:
    """Weights by content, so that a moved file stays the same and a changed one does not."""
    path = Path(given).expanduser()
    if not path.is_file():
        return given
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _pick(settings: Settings, prefix: str, names: Sequence[str]) -> dict[str, Any]:
    plain = settings.model_dump(mode="json", include=set(names))
    return {f"{prefix}.{name}": value for name, value in plain.items()}
