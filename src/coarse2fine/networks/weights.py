"""Weights files: found, read, and refused in one sentence where they do not fit."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from coarse2fine.errors import ConfigError


def find_weights(weights: str, setting: str, words: str) -> Path:
    """The safetensors file that a setting names.

    Args:
        weights: The setting's value.
        setting: Its name, for the error.
        words: What else it may be, for the error: ``imagenet, none``.

    Raises:
        ConfigError: It names no file of this kind, or one that is not there.
    """
    path = Path(weights).expanduser()
    if path.suffix != ".safetensors":
        raise ConfigError(f"{setting} must be {words} or a .safetensors file, found '{weights}'.")
    if not path.is_file():
        raise ConfigError(f"The weights file {path} does not exist; set {setting} to one that does.")
    return path


def read_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, by name.

    Raises:
        ConfigError: The file cannot be read.
    """
    try:
        stored: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"The weights file {path} must be a readable safetensors file: {error}.") from error
    return stored


def check_fit(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], name: str, path: Path) -> None:
    """Refuse tensors that are not exactly those of an encoder, by name and shape.

    Args:
        wanted: The encoder's tensors.
        found: Those of the file, under the encoder's names.
        name: The encoder, for the error.
        path: The file, for the error.

    Raises:
        ConfigError: They differ; the first that does is named.
    """
    misfits = [key for key in {**wanted, **found} if _describe(wanted, key) != _describe(found, key)]
    if misfits:
        first = misfits[0]
        raise ConfigError(
            f"{path} must hold the weights of the encoder '{name}': "
            f"{len(wanted) - len(wanted.keys() & misfits)} of its {len(wanted)} tensors fit, but '{first}' must be "
            f"{_describe(wanted, first)}, found {_describe(found, first)}; name the file of this very encoder."
        )


def _describe(tensors: Mapping[str, Tensor], key: str) -> str:
    return f"of shape {tuple(tensors[key].shape)}" if key in tensors else "absent"
