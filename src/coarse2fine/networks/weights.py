"""Loading and saving of weights as safetensors files."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from coarse2fine.errors import ConfigError, DataError
from coarse2fine.runtime.files import write_atomically


def find_weights(weights: str, setting: str, keywords: str) -> Path:
    """Return the path of the safetensors file that a setting names.

    Args:
        weights: Value of the setting.
        setting: Name of the setting, for the error message.
        keywords: Other values that the setting accepts, for the error message, such as ``imagenet, none``.

    Raises:
        ConfigError: The value is not a safetensors file, or the file does not exist.
    """
    path = Path(weights).expanduser()
    if path.suffix != ".safetensors":
        raise ConfigError(f"{setting} must be {keywords} or a .safetensors file, found '{weights}'.")
    if not path.is_file():
        raise ConfigError(f"The weights file {path} does not exist. Set {setting} to an existing file.")
    return path


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a safetensors file, by name.

    Raises:
        ConfigError: The file cannot be read.
    """
    try:
        stored: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"The weights file {path} must be a readable safetensors file: {error}.") from error
    return stored


def check_fit(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], name: str, path: Path) -> None:
    """Check that tensors are those of an encoder, by name and shape.

    Args:
        wanted: Tensors of the encoder.
        found: Tensors of the file, under the encoder's names.
        name: Name of the encoder, for the error message.
        path: The file, for the error message.

    Raises:
        ConfigError: They differ; the message names the first difference.
    """
    misfits = [key for key in {**wanted, **found} if _describe(wanted, key) != _describe(found, key)]
    if misfits:
        first = misfits[0]
        raise ConfigError(
            f"{path} must hold the weights of the encoder '{name}': "
            f"{len(wanted) - len(wanted.keys() & misfits)} of its {len(wanted)} tensors fit, but '{first}' must be "
            f"{_describe(wanted, first)}, found {_describe(found, first)}. Choose the file of this encoder."
        )


def _describe(tensors: Mapping[str, Tensor], key: str) -> str:
    return f"of shape {tuple(tensors[key].shape)}" if key in tensors else "absent"


def save_weights(network: nn.Module, path: Path) -> None:
    """Write the weights of a network as a safetensors file."""
    tensors = {name: tensor.contiguous().cpu() for name, tensor in network.state_dict().items()}
    with write_atomically(path) as file:
        file.write(save(tensors))


def load_weights(network: nn.Module, path: Path) -> None:
    """Load weights written by :func:`save_weights` into ``network``.

    Raises:
        DataError: The file is missing or damaged, or holds the weights of another network.
    """
    try:
        network.load_state_dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise DataError(f"The weights {path} cannot be read ({error}).") from error
    except RuntimeError as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise DataError(f"The weights {path} do not fit the network of the settings: {first}") from error
