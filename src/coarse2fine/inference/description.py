"""The description of a finished network in a run folder, ``model.toml``. Imports no torch."""

import tomllib
from pathlib import Path

from coarse2fine.config import TorchModelConfig, parse_model
from coarse2fine.errors import DataError
from coarse2fine.runtime.files import read_limited

MAX_DESCRIPTION_BYTES = 500_000
"""Size of ``model.toml``, at most; most of it are the names of the classes."""

DESCRIPTION, WEIGHTS = "model.toml", "weights.safetensors"


def find_model_folder(path: Path | str) -> Path:
    """Return the folder of a finished network: the path itself, or the folder ``model`` in it."""
    root = Path(path)
    return root if (root / DESCRIPTION).exists() else root / "model"


def read_description(folder: Path) -> TorchModelConfig:
    """Read what `~coarse2fine.inference.torch_segmenter.TorchSegmenter.save` wrote about a network.

    Raises:
        DataError: There is no finished network in the folder, or its description is damaged.
    """
    path = folder / DESCRIPTION
    try:
        stored = tomllib.loads(read_limited(path, MAX_DESCRIPTION_BYTES).decode("utf-8"))
    except FileNotFoundError as error:
        raise DataError(
            f"{folder.parent if folder.name == 'model' else folder} contains no finished network ({path} is missing); "
            "let fit finish first, look into its report if round 1 collapsed, or choose another run folder."
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} must be TOML text ({error}).") from error
    return parse_model(stored, TorchModelConfig, str(path))
