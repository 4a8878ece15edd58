"""How many photos per second does a network predict, and how much faster is it folded?

    python benchmarks/predict.py [--px 320] [--threads 1]

Measures the network of the recipe ``small`` with random weights, folded and as trained, alternating
in one run, with batches of one photo and of eight photos. A folded network has its batch norms in the convolutions and
its ReLUs on integers.
"""

import argparse
import statistics
import time
from dataclasses import replace

import numpy as np
import torch
from common import keep

from coarse2fine.config import load_recipe
from coarse2fine.inference.torch_segmenter import TorchSegmenter
from coarse2fine.networks.build import build_network
from coarse2fine.runtime.device import count_cores

TURNS, PHOTOS = 5, 16
CLASSES = ("background", "bird", "cat", "cow", "dog", "horse")


def main() -> None:
    """Measure every variant, and print one line of JSON at the end."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--px", type=int, default=320, help="longer side of the photos; the shorter has 4/5 of it")
    parser.add_argument("--threads", type=int, default=count_cores())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config = load_recipe("small").network.model_copy(update={"encoder_weights": "none"})
    folded = TorchSegmenter(build_network(config, len(CLASSES)), CLASSES, config, options.px).to()
    height, width = options.px, options.px * 4 // 5 // 32 * 32
    photos = np.random.default_rng(0).integers(0, 256, (8, height, width, 3), np.uint8)
    rates: dict[str, dict[str, float]] = {}
    for precision in ("auto", "fp32"):
        for batch in (1, 8):
            variants = {"folded": replace(folded, precision=precision)}
            variants["as trained"] = replace(variants["folded"], folded=None)
            found = time_in_turn(variants, photos[:batch])
            rates[f"{precision}, {batch} at a time"] = found
            ratio = found["folded"] / found["as trained"]
            words = f"{found['folded']:6.1f} photos/s folded, {found['as trained']:6.1f} as trained, x {ratio:.2f}"
            print(f"{precision}, {batch} at a time: {words}")
    keep("predict", {"px": [height, width], "threads": options.threads, "photos_per_s": rates})


def time_in_turn(variants: dict[str, TorchSegmenter], photos: np.ndarray) -> dict[str, float]:
    """Return photos per second of every variant: the median of several turns."""
    rates: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(TURNS + 1):
        for name, segmenter in variants.items():
            began = time.perf_counter()
            for _ in range(PHOTOS // len(photos)):
                segmenter.run_network(photos, (photos.shape[1], photos.shape[2]))
            if turn:  # the first turn is the warm-up
                rates[name].append(PHOTOS / (time.perf_counter() - began))
    return {name: statistics.median(found) for name, found in rates.items()}


if __name__ == "__main__":
    main()
