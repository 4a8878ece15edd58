"""What every benchmark shares: where it ran, and how its result is kept."""

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from coarse2fine.hardware import count_cores

RESULTS = Path(__file__).with_name("results")
LIBRARIES = ("coarse2fine", "torch", "torchvision", "opencv-python-headless", "numba", "numpy", "scikit-image")


def describe() -> dict[str, Any]:
    """Machine and versions."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
    versions = {name: version(name) for name in LIBRARIES}
    return {"processor": model, "cores": count_cores(), "python": platform.python_version(), "versions": versions}


def keep(name: str, result: dict[str, Any]) -> None:
    """Print the result as one line of JSON and write it to ``results/<name>.json``."""
    whole = describe() | result
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(whole, indent=2, sort_keys=True)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(json.dumps(whole, sort_keys=True))
