"""Does a run that is killed again and again end with the masks of an undisturbed one?

    python benchmarks/kill.py --kills 20

Draws a small data set, runs ``coarse2fine fit`` on it once undisturbed, then again with SIGKILL after random times
until it was killed that often, then to its end. Compares every mask and every weight byte by byte.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import keep

from coarse2fine.data.shapes import draw_dataset

SETTINGS = """
rounds = 3
[train]
epochs = [3]
checkpoint_photos = 60
"""


def main() -> None:
    """Kill, resume, compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        draw_dataset(root / "data", train_per_class=10, val_photos=1, size_px=96)
        (root / "settings.toml").write_text(SETTINGS)
        began = time.monotonic()
        start(root, "whole").wait()
        seconds = time.monotonic() - began
        kills = kill_often(root, options.kills, random.Random(options.seed))
        whole, parts = contents(root / "whole"), contents(root / "parts")
        differing = sorted(name for name in whole.keys() | parts.keys() if whole.get(name) != parts.get(name))
    print(f"{len(kills)} kills, {len(whole)} masks and weights, {len(differing)} differ {differing[:3]}")
    keep(
        "kill",
        {
            "kills": len(kills),
            "kills_after_s": kills,
            "files": len(whole),
            "differing": len(differing),
            "run_s": round(seconds, 1),
        },
    )


def kill_often(root: Path, kills: int, chance: random.Random) -> list[float]:
    """Kill the run that often, at random moments of its life, and let it end; returns the seconds it was given."""
    given: list[float] = []
    while len(given) < kills:
        process = start(root, "parts")
        patience = chance.uniform(4, 14)
        try:
            process.wait(patience)
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            given.append(round(patience, 1))
    start(root, "parts").wait()
    return given


def start(root: Path, name: str) -> "subprocess.Popen[bytes]":
    """Start fit."""
    command = [sys.executable, "-m", "coarse2fine", "fit", root / "data" / "train", "--out", root / name]
    command += ["--recipe", "demo", "--config", root / "settings.toml", "--quiet"]
    return subprocess.Popen([str(part) for part in command])


def contents(run: Path) -> dict[str, bytes]:
    """Masks and weights by name."""
    files = [*run.rglob("*.png"), *run.rglob("weights.safetensors")]
    return {str(file.relative_to(run)): file.read_bytes() for file in files}


if __name__ == "__main__":
    main()
