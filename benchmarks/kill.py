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

from coarse2fine.data.synthetic import draw_dataset

SETTINGS = """
rounds = 3
[filter]
min_share = 0.0
max_share = 1.0
[train]
epochs = [10]
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
        awake_s, whole_s = time_whole(root)
        kills, runs = kill_often(root, options.kills, awake_s, whole_s, random.Random(options.seed))
        whole = contents(root / "whole")
        differing = [name for run in runs for name in differences(whole, contents(root / run))]
    print(f"{len(kills)} kills in {len(runs)} runs of {len(whole)} masks and weights: {len(differing)} differ")
    figures = {"kills": len(kills), "kills_after_s": kills, "whole_s": round(whole_s, 1), "runs": len(runs)}
    keep("kill", figures | {"files": len(whole), "differing": len(differing)})


def time_whole(root: Path) -> tuple[float, float]:
    """Seconds until an undisturbed run begins its work, and until it ends."""
    began = time.monotonic()
    process = start(root, "whole")
    while not (root / "whole" / "photos.json").exists():
        time.sleep(0.05)
    awake_s = time.monotonic() - began
    check_ended(process.wait())
    return awake_s, time.monotonic() - began


def kill_often(
    root: Path, kills: int, awake_s: float, whole_s: float, chance: random.Random
) -> tuple[list[float], list[str]]:
    """Kill at random moments and resume; where a run ends before it was killed often enough, begin another.

    Returns:
        Seconds after each start at which it was killed, and the names of the runs, all of which ended.
    """
    step_s = 2 * (whole_s - awake_s) / kills
    given: list[float] = []
    runs = ["parts-0"]
    while True:
        process = start(root, runs[-1])
        patience = awake_s + chance.uniform(0, step_s) if len(given) < kills else None
        try:
            check_ended(process.wait(patience))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            given.append(round(patience or 0.0, 1))
            continue
        if len(given) == kills:
            return given, runs
        runs.append(f"parts-{len(runs)}")


def check_ended(status: int) -> None:
    """Only a run that ended well can be compared."""
    if status != 0:
        raise SystemExit(f"fit ended with status {status}")


def start(root: Path, name: str) -> "subprocess.Popen[bytes]":
    """Start fit."""
    command = [sys.executable, "-m", "coarse2fine", "fit", root / "data" / "train", "--out", root / name]
    command += ["--recipe", "demo", "--config", root / "settings.toml", "--quiet"]
    return subprocess.Popen([str(part) for part in command])


def contents(run: Path) -> dict[str, bytes]:
    """Masks and weights by name."""
    files = [*run.rglob("*.png"), *run.rglob("weights.safetensors")]
    return {str(file.relative_to(run)): file.read_bytes() for file in files}


def differences(whole: dict[str, bytes], parts: dict[str, bytes]) -> list[str]:
    """Names of files that are not byte for byte the same in both."""
    return sorted(name for name in whole.keys() | parts.keys() if whole.get(name) != parts.get(name))


if __name__ == "__main__":
    main()
