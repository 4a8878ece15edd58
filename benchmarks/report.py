"""How long does the report of a run take, and how large is its page, with few photos and with many?

    python benchmarks/report.py --photos 100 40000

The benchmark draws a run folder with five classes and three rounds: photos and masks of 500 x 375 px. A few hundred
files are shared by all names through hard links, so that 40,000 photos fit on a small disk. ``seconds`` is the
wall-clock time of ``coarse2fine report`` in a new process, median and spread. ``quality_seconds`` is the time to
measure the mask quality of all three rounds, which ``fit`` does round by round.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import keep
from PIL import Image

from coarse2fine.config import dump_config, load_recipe
from coarse2fine.masks.png import mask_path, write_mask, write_soft
from coarse2fine.runtime.files import size_and_time, write_json, write_text
from coarse2fine.store.run import Run

CLASSES = ("ape", "bee", "cat", "dog", "elk")
ORIGINALS = 40
"""Number of different photos and masks of each class."""


def main() -> None:
    """Print one line per number of photos, then one line of JSON."""
    options = read_options()
    results: dict[str, Any] = {}
    for photos in options.photos:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            results[str(photos)] = measure(Path(folder), photos, options.repeats)
        print(f"{photos:7} photos", *(f"{key} {value}" for key, value in results[str(photos)].items()), sep="  ")
    keep("report", {"photos": results, "rounds": 3, "classes": len(CLASSES)})


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=int, nargs="+", default=[100, 40000], help="numbers of photos")
    parser.add_argument("--repeats", type=int, default=3, help="number of times that each page is written")
    parser.add_argument(
        "--folder", type=Path, help="folder for the drawn runs; default: temporary folder of the system"
    )
    return parser.parse_args()


def measure(folder: Path, photos: int, repeats: int) -> dict[str, Any]:
    """Measure time and size of the page of one run."""
    run = draw(folder, photos)
    first = time_report(run)
    times = [time_report(run) for _ in range(repeats)]
    return {
        "seconds": round(statistics.median(times), 2),
        "seconds_spread": [round(min(times), 2), round(max(times), 2)],
        "quality_seconds": round(first - statistics.median(times), 1),
        "page_mb": round(run.report.stat().st_size / 1e6, 2),
    }


def time_report(run: Run) -> float:
    """Return the seconds of one call of ``coarse2fine report``."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "coarse2fine", "report", str(run.root), "--quiet"], check=True)
    return time.perf_counter() - began


def draw(folder: Path, photos: int) -> Run:
    """Draw a finished run folder whose masks change from round to round."""
    data, run, rng = folder / "photos", Run(folder / "run"), np.random.default_rng(0)
    names = [f"{CLASSES[index % len(CLASSES)]}/{index:06}" for index in range(photos)]
    originals = names[: ORIGINALS * len(CLASSES)]
    for name in originals:
        path = data / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = rng.integers(0, 255, (12, 16, 3), np.uint8)
        Image.fromarray(noise).resize((500, 375), Image.Resampling.BICUBIC).save(path, quality=85)
    link(data, names, originals, ".jpg")
    folders = [run.coarse, run.enhanced(0)]
    for number in (1, 2, 3):
        folders += [run.refined(number), run.enhanced(number)]
    for place in folders:
        draw_masks(place, names, originals, rng)
        finish(place, 10.0)
    for number in (1, 2, 3):
        draw_soft_masks(run.soft_masks(number), names, originals, rng)
        finish(run.training(number), 100.0, loss=1 / number, photos=photos)
        reasons = {
            name: "foreground 0.4 % is below 1 %" if index % 50 == 7 else None for index, name in enumerate(names)
        }
        write_json(run.filter_file(number), reasons)
        write_json(run.metrics(number), {"round": number, "left_out": photos // 50})
    write_json(run.metrics(0), {"round": 0, "left_out": 0})
    write_text(run.config, dump_config(load_recipe("small")))
    write_json(run.classes, ["background", *CLASSES])
    usable = {name: size_and_time(data / f"{name}.jpg") for name in names}
    write_json(run.photos, {"data": str(data), "classes": ["background", *CLASSES], "usable": usable, "skipped": {}})
    write_text(run.model / "model.toml", "")
    return run


def draw_masks(place: Path, names: Sequence[str], originals: Sequence[str], rng: np.random.Generator) -> None:
    """Draw ellipses that differ a little from stage to stage."""
    y, x = np.mgrid[0:375, 0:500]
    for name in originals:
        center, radius = rng.integers((160, 220), (210, 280)), rng.integers((60, 90), (130, 190))
        inside = ((y - center[0]) / radius[0]) ** 2 + ((x - center[1]) / radius[1]) ** 2 < 1
        label = 1 + CLASSES.index(name.partition("/")[0])
        write_mask(mask_path(place, name), inside.astype(np.uint8) * np.uint8(label))
    link(place, names, originals, ".png")


def draw_soft_masks(place: Path, names: Sequence[str], originals: Sequence[str], rng: np.random.Generator) -> None:
    """Draw soft masks at the working size of a network."""
    y, x = np.mgrid[0:256, 0:320]
    for name in originals:
        far = np.hypot((y - 128) / 80, (x - 160) / 110) + rng.normal(0, 0.05)
        write_soft(mask_path(place, name), (1 / (1 + np.exp(6 * (far - 1)))).astype(np.float32))
    link(place, names, originals, ".png")


def link(place: Path, names: Sequence[str], originals: Sequence[str], ending: str) -> None:
    """Link the other names of each class to the files of its first ones."""
    for index, name in enumerate(names[len(originals) :]):
        os.link(place / f"{originals[index % len(originals)]}{ending}", place / f"{name}{ending}")


def finish(folder: Path, seconds: float, **counts: object) -> None:
    """Mark a stage as complete."""
    settings = {"enhance.method": "grabcut", "soft masks": "saved"}
    write_json(folder / "done.json", {"key": folder.as_posix(), "settings": settings, "seconds": seconds} | counts)


if __name__ == "__main__":
    main()
