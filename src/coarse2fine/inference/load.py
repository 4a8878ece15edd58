"""Load a trained network by its path: a run folder, its ``model`` folder, or an exported ``.onnx`` file."""

from pathlib import Path

from coarse2fine.errors import ConfigError
from coarse2fine.inference.description import DESCRIPTION, WEIGHTS, find_model_folder, read_description
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


def find_pretrained(
    name: Path | str,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: Path | str | None = None,
    local_files_only: bool = False,
) -> Path:
    """Return the folder of a network on the Hugging Face Hub, downloaded if needed.

    Arguments are those of :meth:`Segmenter.from_pretrained`.

    Raises:
        ConfigError: It is neither a folder nor a repository that can be downloaded.
    """
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import constants, snapshot_download

    from coarse2fine.networks.hub import check_reachable

    def find(in_cache_only: bool) -> Path:
        return Path(
            snapshot_download(
                str(name),
                revision=revision,
                cache_dir=cache_dir,
                token=token,
                local_files_only=in_cache_only,
                allow_patterns=[DESCRIPTION, WEIGHTS],
            )
        )

    try:
        if not local_files_only:
            check_reachable()
    except Exception:  # offline, or any error of the HTTP library
        local_files_only = True
    try:
        return find(local_files_only)
    except Exception as error:  # the client of the hub also raises the errors of its HTTP library
        reason = next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
        where = "is not in the cache" if local_files_only else f"could not be downloaded from {constants.ENDPOINT}"
        raise ConfigError(
            f"'{name}' must be a folder of a network, or a repository on the hub; it is no folder, and {where} "
            f"({reason}). Check the name and the connection; a private repository needs 'hf auth login'."
        ) from error
