"""Properties of this machine: processor, cores, device and number format for computing."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from coarse2fine.errors import ConfigError

if TYPE_CHECKING:
    import torch

Device = Literal["auto", "cpu", "cuda"]
"""Device that computes a network; auto: the CUDA GPU if the machine has one, else the CPU."""

VERSIONED = ("coarse2fine", "torch", "torchvision", "timm", "opencv-python-headless", "numba", "numpy")
"""Packages that can change numeric results."""


_device: Device = "auto"
_threads: int | None = None


@contextmanager
def computing_on(device: Device = "auto", threads: int | None = None) -> Iterator[None]:
    """Set, for the block, the device that :func:`pick_device` chooses and the number that :func:`count_cores` returns.

    They belong to the whole process, as torch's modes do.

    Args:
        device: ``auto``: no change.
        threads: CPU threads of all processes of a run on this machine; None: no change.

    Raises:
        ConfigError: The device does not exist, or there are less than 1 thread.
    """
    global _device, _threads
    if threads is not None and threads < 1:
        raise ConfigError(f"--threads must be at least 1, found {threads}.")
    if device == "cuda":
        pick_device(device)
    before = _device, _threads
    _device, _threads = (device if device != "auto" else _device), threads or _threads
    try:
        yield
    finally:
        _device, _threads = before


def count_cores() -> int:
    """Count the processor cores that this process may use; inside :func:`computing_on` its number of threads."""
    if _threads:
        return _threads
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_machine() -> dict[str, Any]:
    """Describe processor, cores, GPU and package versions, to be stored with every measured figure."""
    import torch

    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    gpu = {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    versions = {name: find_version(name) for name in VERSIONED}
    python = platform.python_version()
    return gpu | {
        "processor": model or platform.processor(),
        "cores": count_cores(),
        "python": python,
        "versions": versions,
    }


def find_version(package: str) -> str | None:
    """Return the version of an installed package; None if it is not installed under this name (OpenCV has several)."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def pick_device(device: Device = "auto") -> "torch.device":
    """Choose the device that computes a network.

    Several processes on one machine use one GPU each. The launcher (``torchrun``, ``srun``) numbers the processes of a
    machine from 0. With ``srun --gpus-per-task=1`` each process sees only its own GPU, which then has the number 0;
    therefore the number of a SLURM process is taken modulo the number of GPUs that it sees.

    Args:
        device: ``auto``: the device of :func:`computing_on`, or the CUDA GPU of this process if the machine has one, or
            the CPU.

    Raises:
        ConfigError: ``device`` is ``cuda``, and torch finds no CUDA GPU.
    """
    import torch

    device = _device if device == "auto" else device
    if device == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        if "LOCAL_RANK" in os.environ:
            return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        return torch.device("cuda", int(os.environ.get("SLURM_LOCALID", "0")) % torch.cuda.device_count())
    if device == "cuda":
        raise ConfigError("torch finds no CUDA GPU on this machine; use --device cpu.")
    return torch.device("cpu")


@contextmanager
def deterministic_algorithms() -> Iterator[None]:
    """Let torch use algorithms that give the same bits in every run inside the block; restore its mode afterwards.

    The mode belongs to the whole process. Operations without such an algorithm only print a warning.
    """
    import torch

    enabled = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    workspace = os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
        if workspace is None:
            os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)


def pick_dtype(precision: Literal["auto", "bf16", "fp32"], device: "torch.device") -> "torch.dtype":
    """Choose the number format of forward and backward passes.

    Args:
        precision: ``auto``: bfloat16 if the processor has instructions for it, else float32.
        device: Device that computes the network.
    """
    import torch

    if precision == "auto":
        return torch.bfloat16 if _computes_bfloat16(device) else torch.float32
    return torch.bfloat16 if precision == "bf16" else torch.float32


def _computes_bfloat16(device: "torch.device") -> bool:
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # torch has no public name for these yet
    return any(bool(getattr(torch.cpu, check, bool)()) for check in checks)
