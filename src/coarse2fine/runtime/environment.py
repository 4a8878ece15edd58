"""The state of this machine and of the installation, as plain values."""

import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

from coarse2fine.runtime.device import describe_machine
from coarse2fine.runtime.extras import EXTRAS, find_missing, install_command

SHARED_MEMORY = Path("/dev/shm")
"""File system of Linux through which torch passes tensors between processes; in docker it has 64 MB."""


def describe_environment() -> dict[str, Any]:
    """Describe processor, memory, GPUs, versions, and dependencies that are missing or too old.

    Sizes are in bytes; None where the system does not tell them.
    """
    import torch

    cuda = torch.cuda.is_available()
    machine = describe_machine()
    machine.pop("gpu", None)
    return machine | {
        "system": platform.platform(),
        "executable": sys.executable,
        "memory_bytes": _find_memory(),
        "shared_memory_bytes": shutil.disk_usage(SHARED_MEMORY).total if SHARED_MEMORY.is_dir() else None,
        "torch_built_for": f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU",
        "device": "cuda" if cuda else "cpu",
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())] if cuda else [],
        "missing": find_missing(),
    }


def list_extras() -> dict[str, dict[str, Any]]:
    """Describe each extra: the commands that need it, what is missing, and the command that installs it."""
    return {
        extra: {"commands": commands, "missing": find_missing(extra), "install": install_command(extra)}
        for extra, commands in EXTRAS.items()
    }


def _find_memory() -> int | None:
    """Return the memory of this machine in bytes; None where the system does not tell it (Windows)."""
    names = getattr(os, "sysconf_names", {})
    if not {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= set(names):
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
