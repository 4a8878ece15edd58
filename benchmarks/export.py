"""How many photos per second does each mask format export, and does its memory grow with the number of photos?

    python benchmarks/export.py --photos 1000 10000

Draws a few photos with masks (holes, several parts, two classes), makes a folder of the given number of photos as
``predict`` does (hard links to these files), and exports it to every format, each in a process of its own.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from common import keep
from PIL import Image

from coarse2fine.export import MASK_FORMATS
from coarse2fine.masks.png import mask_path, write_mask
from coarse2fine.runtime.files import write_json, write_text

DRAWN = 20
RUN = """
import resource, sys
from coarse2fine.cli import main
main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def main() -> None:
    """Export each number of photos to each format."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--width", type=int, default=500)
    options = parser.parse_args()
    figures: dict[str, dict[int, dict[str, float]]] = {kind: {} for kind in MASK_FORMATS}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for count in options.photos:
            found = draw(root / f"found{count}", count, options.width)
            for kind in MASK_FORMATS:
                figures[kind][count] = export(found, root / "out", kind, count)
                print(kind, count, json.dumps(figures[kind][count]), flush=True)
    keep("export", {"formats": figures, "photo_px": [options.width, options.width * 3 // 4]})


def draw(folder: Path, count: int, width: int) -> Path:
    """Make a folder as ``predict`` writes it, and return it."""
    rng, height, photos = np.random.default_rng(0), width * 3 // 4, {}
    for index in range(DRAWN):
        noise = rng.integers(0, 256, (height // 10, width // 10, 3), np.uint8)
        path = folder / "photos" / f"{index}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)).save(path)
        hills = cv2.GaussianBlur(rng.random((height, width)).astype(np.float32), (0, 0), width / 25)
        mask = (hills > np.quantile(hills, 0.7)).astype(np.uint8) + (hills > np.quantile(hills, 0.9)).astype(np.uint8)
        write_mask(mask_path(folder / "drawn", str(index)), mask)
    for index in range(count):
        name = f"{index // 1000}/{index}"
        photos[name] = str(folder / "photos" / f"{index % DRAWN}.jpg")
        path = mask_path(folder / "masks", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(mask_path(folder / "drawn", str(index % DRAWN)), path)
    write_json(folder / "photos.json", photos)
    write_json(folder / "classes.json", ["background", "low", "high"])
    write_text(folder / "found.csv", "")
    return folder


def export(found: Path, out: Path, kind: str, count: int) -> dict[str, float]:
    """Measure the photos per second and the peak resident memory of one export."""
    images = "copy" if kind == "huggingface" else "link"
    arguments = ["export", str(found), "--format", kind, "--out", str(out), "--images", images, "--quiet"]
    began = time.monotonic()
    shown = subprocess.run([sys.executable, "-c", RUN, *arguments], check=True, capture_output=True, text=True).stdout
    seconds = time.monotonic() - began
    size = sum(path.lstat().st_size for path in out.rglob("*") if not path.is_dir())
    subprocess.run(["rm", "-r", str(out)], check=True)
    peak_mb = int(shown.split()[-1]) / 1024
    return {
        "photos_per_s": round(count / seconds, 1),
        "peak_mb": round(peak_mb, 1),
        "kb_per_photo": round(size / count / 1000, 2),
    }


if __name__ == "__main__":
    main()
