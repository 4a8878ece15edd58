"""What this machine is and can do: processor, cores, device, number format."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch

Device = Literal["auto", "cpu", "cuda"]
"""Where a network is computed; auto: on the CUDA GPU if there is one."""

VERSIONED = ("coarse2fine", "torch", "torchvision", "timm", "opencv-python-headless", "numba", "numpy")
"""Packages on which figures depend."""


def count_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_machine() -> dict[str, Any]:
    """Processor, cores, GPU and versions, as they stand beside every figure that was measured."""
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
    """Version of an installed package; none where it is not, or goes by another name, as OpenCV does."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def pick_device() -> "torch.device":
    """The CUDA GPU of this process where there is one, else the CPU; launchers number the processes of a machine."""
    import torch

    number = int(os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0")))
    return torch.device("cuda", number) if torch.cuda.is_available() else torch.device("cpu")


@contextmanager
def deterministic_algorithms() -> Iterator[None]:
    """Let torch use deterministic algorithms where it has them, as long as the block lasts; then restore its mode."""
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read once by CUDA, when its library is loaded
    mode = torch.get_deterministic_debug_mode()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(mode)


def pick_dtype(precision: Literal["auto", "bf16", "fp32"], device: "torch.device") -> "torch.dtype":
    """The number format of forward and backward passes.

    Args:
        precision: ``auto`` is bfloat16 where the processor computes in it, else float32.
        device: Where the network runs.
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
