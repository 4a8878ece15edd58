"""Shared parts of the benchmarks: the result file with a description of the machine, and the selection of photos."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from coarse2fine.runtime.device import describe_machine

RESULTS = Path(__file__).with_name("results")

Item = TypeVar("Item")


def keep(name: str, result: dict[str, Any], folder: Path = RESULTS) -> None:
    """Print the result as one line of JSON and write it to ``<name>.json``, with a description of the machine.

    Args:
        name: Name of the file, without ending.
        result: The measured values.
        folder: Folder of the file; it is created.
    """
    whole = describe_machine() | result
    folder.mkdir(exist_ok=True)
    text = json.dumps(whole, indent=2, sort_keys=True)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(json.dumps(whole, sort_keys=True))


def take_evenly(items: Sequence[Item], count: int) -> list[Item]:
    """Return ``count`` evenly spaced items in their order, or all items if there are no more."""
    kept = min(count, len(items))
    return [items[index * len(items) // kept] for index in range(kept)]


def find_masks(folder: Path) -> list[Path]:
    """Return all masks (PNG) below a folder in sorted order; ends the program if there are none."""
    masks = sorted(folder.rglob("*.png"))
    if not masks:
        raise SystemExit(f"{folder} must contain masks (.png), but contains none; check --masks.")
    return masks
