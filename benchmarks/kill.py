"""Does a run that is killed and resumed many times produce the same files as an uninterrupted run?

    python benchmarks/kill.py --kills 20

Draws a synthetic data set and runs ``coarse2fine fit`` on it once without interruption. Then runs it again, sends
SIGKILL after random times until it was killed that many times, and lets it finish. Compares all masks and weights byte
by byte.
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
min_steps = [1]
checkpoint_photos = 60
"""


def main() -> None:
    """Run fit with and without interruptions and compare the files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="number of SIGKILLs")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random times")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        draw_dataset(root / "data", train_per_class=10, val_photos=1, size_px=96)
        (root / "settings.toml").write_text(SETTINGS)
        startup_s, uninterrupted_s = time_uninterrupted(root)
        kills, runs = kill_often(root, options.kills, startup_s, uninterrupted_s, random.Random(options.seed))
        whole = contents(root / "whole")
        differing = [name for run in runs for name in differences(whole, contents(root / run))]
    print(f"{len(kills)} kills in {len(runs)} runs of {len(whole)} masks and weights: {len(differing)} differ")
    figures = {"kills": len(kills), "kills_after_s": kills, "whole_s": round(uninterrupted_s, 1), "runs": len(runs)}
    keep("kill", figures | {"files": len(whole), "differing": len(differing)})


def time_uninterrupted(root: Path) -> tuple[float, float]:
    """Measure the seconds until an uninterrupted run starts its work, and until it ends."""
    began = time.monotonic()
    process = start(root, "whole")
    while not (root / "whole" / "photos.json").exists():
        time.sleep(0.05)
    startup_s = time.monotonic() - began
    check_ended(process.wait())
    return startup_s, time.monotonic() - began


def kill_often(
    root: Path, kills: int, startup_s: float, uninterrupted_s: float, random_times: random.Random
) -> tuple[list[float], list[str]]:
    """Kill fit at random times and resume it; start another run if one ends before all kills are done.

    Returns:
        The seconds after each start at which fit was killed, and the names of the runs, all of which finished.
    """
    step_s = 2 * (uninterrupted_s - startup_s) / kills
    kill_times_s: list[float] = []
    runs = ["parts-0"]
    while True:
        process = start(root, runs[-1])
        timeout_s = startup_s + random_times.uniform(0, step_s) if len(kill_times_s) < kills else None
        try:
            check_ended(process.wait(timeout_s))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kill_times_s.append(round(timeout_s or 0.0, 1))
            continue
        if len(kill_times_s) == kills:
            return kill_times_s, runs
        runs.append(f"parts-{len(runs)}")


def check_ended(status: int) -> None:
    """End the benchmark if fit failed."""
    if status != 0:
        raise SystemExit(f"fit must end with exit status 0, but ended with {status}.")


def start(root: Path, name: str) -> "subprocess.Popen[bytes]":
    """Start fit in a new process."""
    command = [sys.executable, "-m", "coarse2fine", "fit", root / "data" / "train", "--out", root / name]
    command += ["--recipe", "demo", "--config", root / "settings.toml", "--quiet"]
    return subprocess.Popen([str(part) for part in command])


def contents(run: Path) -> dict[str, bytes]:
    """Read all masks and weights of a run by file name."""
    files = [*run.rglob("*.png"), *run.rglob("weights.safetensors")]
    return {str(file.relative_to(run)): file.read_bytes() for file in files}


def differences(whole: dict[str, bytes], parts: dict[str, bytes]) -> list[str]:
    """Return the names of files that are not byte for byte the same in both runs."""
    return sorted(name for name in whole.keys() | parts.keys() if whole.get(name) != parts.get(name))


if __name__ == "__main__":
    main()
