"""Do speed and memory of every command stay the same from 1,000 to 1,000,000 photos?

    pip install '.[experiments]'
    python benchmarks/scale.py --photos 1000 10000 100000

Writes data sets of these sizes (drawn photos of 48 px, three classes) and runs ``coarse``, ``enhance``, ``fit`` (one
round of 50 optimizer steps with a small network), the same ``fit`` again, which has nothing to do but to check,
``predict`` and ``export``, each in its own process. Measures the seconds and the peak resident memory of that process,
without its data loader processes. photos/s does not count the time of the same command on 100 photos. Then ``fit`` is
killed while it computes coarse masks, and run again: ``resume`` is the time until the first new mask.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import RESULTS, keep
from matplotlib.figure import Figure

from coarse2fine.data.synthetic import draw_dataset
from coarse2fine.runtime.device import count_cores

RUN = """
import resource, sys
from coarse2fine.cli import main
main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
SETTINGS = """
rounds = 1
[network]
encoder = "mobilenetv2_050"
[train]
epochs = [1]
min_steps = [50]
max_steps = [50]
crop_px = 48
resize_px = 48
"""
PHOTO_PX, CLASSES, DRAWN_PHOTOS, START_PHOTOS = 48, 3, 100, 100
COMMANDS = ("coarse", "enhance", "fit", "fit again", "predict", "export")


def main() -> None:
    """Measure every number of photos; print a line for each command, then one line of JSON; draw the plot."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=int, nargs="+", default=[1000, 10_000, 100_000], help="sizes of the data sets")
    parser.add_argument("--threads", type=int, default=count_cores())
    parser.add_argument("--work", type=Path, help="folder for photos and runs, which is kept; default: temporary")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = options.work or Path(temporary)
        root.mkdir(parents=True, exist_ok=True)
        (root / "settings.toml").write_text(SETTINGS)
        measure_all(root / "warm-up", START_PHOTOS, options.threads)  # numba compiles
        start = measure_all(root / "start", START_PHOTOS, options.threads)
        sizes = {}
        for count in sorted(options.photos):
            sizes[count] = measure_all(root / str(count), count, options.threads)
            for name, found in sizes[count].items():
                if name != "fit again":
                    found["photos_per_s"] = round(count / max(0.01, found["seconds"] - start[name]["seconds"]), 1)
                print(f"{count:9,} {name:10}", *(f"{key} {value:,}" for key, value in found.items()), flush=True)
            sizes[count]["resume"] = {"seconds": measure_resume(root / str(count), options.threads)}
            print(f"{count:9,} {'resume':10} seconds {sizes[count]['resume']['seconds']}", flush=True)
    keep("scale", {"px": PHOTO_PX, "threads": options.threads, "start": start, "sizes": sizes})
    draw_plot(sizes, RESULTS / "scale.png")


def measure_all(root: Path, count: int, threads: int) -> dict[str, dict[str, float]]:
    """Write photos and run all commands on them; return their seconds and peak memory."""
    write_photos(root, count)
    photos, run, used = root / "photos", root / "run", ("--threads", threads, "--quiet")
    commands: dict[str, Sequence[object]] = {
        "coarse": ("coarse", photos, "--method", "box", "--out", root / "coarse", *used),
        "enhance": ("enhance", photos, root / "coarse", "--start", "mask", "--out", root / "enhanced", *used),
        "fit": (*fit_words(root, run), *used),
        "fit again": (*fit_words(root, run), *used),
        "predict": ("predict", run, photos, "--out", root / "predicted", *used),
        "export": ("export", run, "--format", "coco", "--out", root / "exported"),
    }
    return {name: measure(*words) for name, words in commands.items()}


def write_photos(root: Path, count: int) -> None:
    """Write photos of `CLASSES` classes, in folders of 1,000: drawn ones, each many times with another comment."""
    draw_dataset(root / "drawn", 0, DRAWN_PHOTOS, 1, PHOTO_PX, CLASSES)
    drawn = sorted((root / "drawn" / "train").rglob("*.jpg"), key=lambda path: (path.stem, path))
    for number in range(count):
        source = drawn[number % len(drawn)]
        path = root / "photos" / source.parent.name / f"{number // len(drawn) // 10:04}" / f"{number:07}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        content, comment = source.read_bytes(), f"{number:07}".encode()
        segment = b"\xff\xfe" + (2 + len(comment)).to_bytes(2, "big") + comment
        path.write_bytes(content[:2] + segment + content[2:])


def fit_words(root: Path, run: Path) -> tuple[object, ...]:
    """Return the words of the command ``fit``."""
    settings = root.parent / "settings.toml"
    return ("fit", root / "photos", "--out", run, "--recipe", "demo", "--config", settings)


def measure(*arguments: object) -> dict[str, float]:
    """Run one command and return its seconds, and its peak resident memory in MB."""
    command = [sys.executable, "-c", RUN, *map(str, arguments)]
    began = time.monotonic()
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds = time.monotonic() - began
    return {"seconds": round(seconds, 2), "megabytes": round(int(shown.split()[-1]) / 1024, 1)}


def measure_resume(root: Path, threads: int) -> float:
    """Kill ``fit`` when it has written a tenth of the coarse masks; return the seconds until it writes the next one."""
    run = root / "resumed"
    command = [sys.executable, "-c", RUN, *map(str, fit_words(root, run)), "--quiet", "--threads", str(threads)]
    names = sorted(path.relative_to(root / "photos").with_suffix(".png") for path in (root / "photos").rglob("*.jpg"))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    wait_for(run / "coarse" / names[len(names) // 10], process)
    process.kill()
    process.wait()
    missing = next(name for name in names if not (run / "coarse" / name).exists())
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    wait_for(run / "coarse" / missing, process)
    seconds = time.monotonic() - began
    process.kill()
    process.wait()
    return round(seconds, 2)


def wait_for(path: Path, process: "subprocess.Popen[bytes]") -> None:
    """Wait until a process writes a file."""
    while not path.exists():
        if process.poll() is not None:
            raise SystemExit(f"fit ended with status {process.returncode} before it wrote {path}.")
        time.sleep(0.01)


def draw_plot(sizes: dict[int, dict[str, Any]], out: Path) -> None:
    """Plot photos per second and memory of each command by the number of photos."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    speed, memory = figure.subplots(1, 2)
    for name in COMMANDS:
        for axes, key in ((speed, "photos_per_s"), (memory, "megabytes")):
            known = {count: found[name][key] for count, found in sizes.items() if key in found[name]}
            axes.plot(list(known), list(known.values()), marker="o", label=name)
    speed.set(title="photos per second, without the start", xscale="log", yscale="log", xlabel="photos")
    memory.set(title="peak memory in MB", xscale="log", ylim=(0, None), xlabel="photos")
    memory.legend(fontsize=8)
    for axes in (speed, memory):
        axes.grid(alpha=0.3)
    figure.savefig(out, dpi=120)


if __name__ == "__main__":
    main()
