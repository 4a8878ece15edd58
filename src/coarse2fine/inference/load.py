"""Load a trained network by its path: a run folder, its ``model`` folder, or an exported ``.onnx`` file."""

from pathlib import Path

from coarse2fine.errors import ConfigError
from coarse2fine.inference.description import find_model_folder, read_description
from coarse2fine.inference.segmenter import Segmenter
from coarse2fine.runtime.device import Device


def is_model(path: Path | str) -> bool:
    """Return whether a path is a run folder of ``fit``, the model folder in it, or an exported network."""
    return is_run(path) or Path(path).suffix.lower() == ".onnx"


def is_run(path: Path | str) -> bool:
    """Return whether a path is a run folder of ``fit``, or the model folder in it."""
    return any((Path(path) / name).exists() for name in ("model.toml", "config.toml"))


def load_model(path: Path | str, device: Device = "auto", threads: int | None = None) -> Segmenter:
    """Load a trained network; imports torch only for a run folder. See :meth:`Segmenter.load`."""
    if Path(path).suffix.lower() == ".onnx":
        from coarse2fine.inference.onnx_segmenter import OnnxSegmenter

        return OnnxSegmenter.load(path, device, threads)
    read_description(find_model_folder(path))  # importing torch takes seconds: check first
    try:
        from coarse2fine.inference.torch_segmenter import TorchSegmenter
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"A run folder needs {error.name}, which is not installed; install coarse2fine with all its dependencies, "
            "or pass an exported network (.onnx)."
        ) from error
    return TorchSegmenter.load(path, device, threads)
