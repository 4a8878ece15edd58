"""Any finished network by its path: a run folder, its ``model`` folder, or an exported ``.onnx`` file."""

from pathlib import Path

from coarse2fine.errors import ConfigError
from coarse2fine.inference.segmenter import Segmenter
from coarse2fine.runtime.device import Device


def is_model(path: Path) -> bool:
    """Whether a path is a run folder of fit, the model folder in it, or an exported network."""
    return is_run(path) or path.suffix.lower() == ".onnx"


def load_model(path: Path, device: Device = "auto", threads: int | None = None) -> Segmenter:
    """Load a finished network, ready for photos; torch is imported for a run only.

    Args:
        path: A run folder, its ``model`` folder, or an ``.onnx`` file made by ``coarse2fine export``.
        device: Where it is computed; ``auto``: on the CUDA GPU if there is one.
        threads: Of the processor that compute a layer together; none: all cores.

    Raises:
        ConfigError: The device is not there, or a library is not installed.
        DataError: There is no finished network, or its files are damaged.
    """
    if path.suffix.lower() == ".onnx":
        from coarse2fine.inference.onnx_segmenter import OnnxSegmenter

        return OnnxSegmenter.load(path, device, threads)
    try:
        import torch

        from coarse2fine.inference.torch_segmenter import TorchSegmenter
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"A run needs {error.name}, which is not installed; install coarse2fine with all it depends on, or give an "
            "exported network (.onnx) instead."
        ) from error

    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("torch finds no CUDA GPU here; choose --device cpu.")
    if threads:
        torch.set_num_threads(threads)
    segmenter = TorchSegmenter.load(path)
    return segmenter.ready(torch.device("cpu")) if device == "cpu" else segmenter


def is_run(path: Path) -> bool:
    """Whether a folder is a run folder of fit, or the model folder in it."""
    return (path / "model.toml").exists() or (path / "config.toml").exists()
