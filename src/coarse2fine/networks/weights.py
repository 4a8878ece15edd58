"""Weights files: found, read, and refused in one sentence where they do not fit."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from coarse2fine.errors import ConfigError, DataError
from coarse2fine.runtime.files import write_atomically


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


def save_weights(network: nn.Module, path: Path) -> None:
    """Write a network's weights as safetensors."""
    tensors = {name: tensor.contiguous().cpu() for name, tensor in network.state_dict().items()}
    with write_atomically(path) as file:
        file.write(save(tensors))


def load_weights(network: nn.Module, path: Path) -> None:
    """Read weights that :func:`save_weights` wrote into ``network``.

    Raises:
        DataError: The file is missing or damaged, or belongs to another network.
    """
    try:
        network.load_state_dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise DataError(f"The weights {path} cannot be read ({error}).") from error
    except RuntimeError as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise DataError(f"The weights {path} belong to another network than the settings describe: {first}") from error
