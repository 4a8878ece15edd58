"""What every benchmark shares: how its result is kept, beside where it ran."""

import json
from pathlib import Path
from typing import Any

from coarse2fine.runtime.device import describe_machine

RESULTS = Path(__file__).with_name("results")


def keep(name: str, result: dict[str, Any]) -> None:
    """Print the result as one line of JSON and write it to ``results/<name>.json``."""
    whole = describe_machine() | result
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(whole, indent=2, sort_keys=True)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(json.dumps(whole, sort_keys=True))
