"""Loading and saving of weights as safetensors files."""

import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from coarse2fine.errors import ConfigError, DataError
from coarse2fine.runtime.files import check_regular_file, write_atomically

DISCARDED_PARAMETERS = 150_000_000
"""Parameters that an encoder may build and remove again; VGG removes a classifier of 124 million."""


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
        ConfigError: The file cannot be read, or holds numbers that are not finite.
    """
    try:
        check_regular_file(path)
        stored: dict[str, Tensor] = load_file(path)
        _check_finite(stored, path)
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"The weights file {path} must be a readable safetensors file: {error}.") from error
    except DataError as error:
        raise ConfigError(str(error)) from error
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
    return _name_shape(tuple(tensors[key].shape) if key in tensors else None)


def save_weights(network: nn.Module, path: Path) -> None:
    """Write the weights of a network as a safetensors file."""
    tensors = {name: tensor.contiguous().cpu() for name, tensor in network.state_dict().items()}
    with write_atomically(path) as file:
        file.write(save(tensors))


def load_weights(network: nn.Module, path: Path) -> None:
    """Load weights written by :func:`save_weights` into ``network``; floating-point numbers may have 16 bits.

    The sizes in the header of the file are compared before its tensors are read.

    Raises:
        DataError: The file is missing or damaged, holds the weights of another network, or numbers that are not finite.
    """
    wanted, found = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}, read_shapes(path)
    for name in sorted({*wanted, *found}):
        if wanted.get(name) != found.get(name):
            raise DataError(
                f"The weights {path} do not fit the network of the settings: '{name}' must be "
                f"{_name_shape(wanted.get(name))}, found {_name_shape(found.get(name))}."
            )
    with _explain_damage(path):
        tensors = load_file(path)
    _check_finite(tensors, path)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:  # a type of numbers from which torch cannot convert
        raise DataError(f"The weights {path} do not fit the network of the settings ({error}).") from error


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Read the shape of each tensor from the header of a safetensors file.

    Raises:
        DataError: The file is missing, damaged or no regular file.
    """
    with _explain_damage(path):
        check_regular_file(path)
        with safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no mapping


@contextmanager
def limit_parameters(path: Path) -> Iterator[None]:
    """Stop the construction of networks inside the block that are much larger than a file of weights.

    Settings from a stranger may name an architecture with billions of parameters. Some architectures build a classifier
    that is removed at once, so the limit is generous.

    Args:
        path: File with the weights of the network that is built.

    Raises:
        DataError: The network is too large, or the file is missing or damaged.
    """
    stored = sum(math.prod(shape) for shape in read_shapes(path).values())
    thread, count = threading.get_ident(), 0

    def add(_module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal count
        if parameter is None or threading.get_ident() != thread:
            return
        count += parameter.numel()
        if count > 2 * stored + DISCARDED_PARAMETERS:
            raise DataError(
                f"The network of the settings has more than {count / 1e6:.0f} million parameters, but {path} holds "
                f"only {stored / 1e6:.1f} million: they do not belong together. Use the files that fit wrote."
            )

    hook = register_module_parameter_registration_hook(add)
    try:
        yield
    finally:
        hook.remove()


def _check_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    for name, tensor in tensors.items():
        if tensor.is_complex() or (tensor.is_floating_point() and not tensor.float().isfinite().all()):
            raise DataError(
                f"The weights {path} must be finite numbers, but '{name}' holds others: the file is damaged. Copy it "
                "again, or train again."
            )


def _name_shape(shape: tuple[int, ...] | None) -> str:
    return "absent" if shape is None else f"of shape {shape}"


@contextmanager
def _explain_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise DataError(f"The weights {path} cannot be read ({error}).") from error
