"""Which views of a photo does a network need? mIoU and time of several values of predict.scales and predict.flip.

    python benchmarks/views.py --run RUN --photos VAL/images --masks VAL/masks [--count 100]

RUN is a finished run, or its folder ``model``. All values are measured in one call; ``ratio`` is the processor time
per photo, decoding included, as a share of that of both views at three scales.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

from common import keep, take_evenly

from coarse2fine import Segmenter
from coarse2fine.config import PredictConfig
from coarse2fine.evaluation.evaluate import evaluate_network_pairs
from coarse2fine.evaluation.pairing import pair_folders
from coarse2fine.runtime.device import count_cores

VIEWS = {
    "both views at 0.75, 1, 1.25": PredictConfig(scales=(0.75, 0.75, 1.0, 1.0, 1.25, 1.25)),
    "0.75, mirrored 1, 1.25": PredictConfig(scales=(0.75, 1.0, 1.25)),
    "0.75, mirrored 1.25": PredictConfig(scales=(0.75, 1.25)),
    "1.25, mirrored 0.75": PredictConfig(scales=(1.25, 0.75)),
    "both views at 1": PredictConfig(scales=(1.0,)),
    "1": PredictConfig(scales=(1.0,), flip=False),
}


def main() -> None:
    """Print a line for each setting, then one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="finished run, or its folder model")
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos")
    parser.add_argument("--masks", type=Path, required=True, help="folder of their ground truth")
    parser.add_argument("--count", type=int, default=10**9, help="number of photos; default: all")
    parser.add_argument("--name", default="views", help="name of the result file")
    options = parser.parse_args()
    network = Segmenter.load(options.run)
    pairs = pair_folders(options.photos, options.masks)
    chosen = take_evenly(range(len(pairs.photos)), options.count)
    parts = {part: tuple(getattr(pairs, part)[index] for index in chosen) for part in ("names", "photos", "masks")}
    pairs = replace(pairs, **parts)
    found: dict[str, dict[str, float]] = {}
    for name, view in VIEWS.items():
        began = time.process_time()
        result = evaluate_network_pairs(network.with_settings(view), pairs, count_cores())
        seconds = (time.process_time() - began) / len(chosen)
        first = next(iter(found.values()), {"ms": 1000 * seconds})["ms"]
        found[name] = {"mean_iou": round(result.mean_iou, 4), "ms": round(1000 * seconds, 1)}
        found[name]["ratio"] = round(found[name]["ms"] / first, 3)
        print(f"{name:32} mIoU {result.mean_iou:.4f}, {1000 * seconds:6.1f} ms per photo", flush=True)
    keep(options.name, {"photos": len(chosen), "classes": len(network.classes) - 1, "views": found})


if __name__ == "__main__":
    main()
