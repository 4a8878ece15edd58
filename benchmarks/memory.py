"""Does the peak memory of fit and predict grow with the number of photos?

    python benchmarks/memory.py --photos 500 5000

Draws data sets of these sizes, runs ``fit`` (one round, one epoch, a small network) and ``predict`` on each in a
separate process, and prints the peak resident memory of each process, without its data loader processes.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from common import keep

from coarse2fine.data.synthetic import CLASSES, draw_dataset

RUN = """
import resource, sys
from coarse2fine.cli import main
main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
SETTINGS = """
rounds = 1
[enhance.grabcut]
iterations = 1
[network]
encoder = "mobilenetv2_050"
[train]
epochs = [1]
min_steps = [1]
crop_px = 64
resize_px = 64
"""


def main() -> None:
    """Measure every number of photos; print one line each, then one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=int, nargs="+", default=[500, 5000], help="sizes of the data sets")
    options = parser.parse_args()
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "settings.toml").write_text(SETTINGS)
        for count in options.photos:
            data, run = root / f"data{count}", root / f"run{count}"
            draw_dataset(data, train_per_class=-(-count // (len(CLASSES) - 1)), val_photos=1, size_px=64)
            fit = peak_mb("fit", data / "train", "--out", run, "--recipe", "demo", "--config", root / "settings.toml")
            predict = peak_mb("predict", run, data / "train", "--out", root / f"out{count}")
            peaks[count] = {"fit_mb": fit, "predict_mb": predict}
            print(count, json.dumps(peaks[count]), flush=True)
    keep("memory", {"peaks": peaks})


def peak_mb(*arguments: object) -> float:
    """Run one command and return its peak resident memory in MB."""
    command = [sys.executable, "-c", RUN, *map(str, arguments), "--quiet"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return round(int(shown.split()[-1]) / 1024, 1)


if __name__ == "__main__":
    main()
