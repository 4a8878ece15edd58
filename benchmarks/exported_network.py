"""Does the exported network compute the probabilities of torch, how fast is it, and what do 8 bits cost?

    python benchmarks/exported_network.py --run RUN --photos val/images --masks val/masks

RUN is a finished run of ``coarse2fine fit``. The masks are ground truth in its class indices, named like the photos.
Torch computes in float32, as the exported network does, and in bfloat16, as a run does if the processor supports it.
Probabilities are compared as ``predict`` computes them, with the run's scales and flip, at the working size; masks are
compared at the size of the photos. Photos per second are those of the network alone, with one scale and no flip, on
images of one working size in memory: median and quartiles of several passes, in which the networks take turns.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import keep

from coarse2fine.config import PredictConfig
from coarse2fine.data import list_photos, read_image
from coarse2fine.data.reader import ReadOptions
from coarse2fine.evaluation.metrics import confusion_matrix, mean_iou
from coarse2fine.evaluation.pairing import pair_by_name
from coarse2fine.export.int8_quantization import quantize
from coarse2fine.export.onnx_export import export_onnx
from coarse2fine.inference.files import predict_files
from coarse2fine.inference.onnx_segmenter import OnnxSegmenter
from coarse2fine.inference.segmenter import Segmenter, decide_classes, working_shape
from coarse2fine.inference.torch_segmenter import TorchSegmenter
from coarse2fine.masks.png import read_mask
from coarse2fine.masks.resize import resize
from coarse2fine.runtime.device import count_cores
from coarse2fine.runtime.files import read_json
from coarse2fine.store.run import Run

BATCHES = (1, 8)


def main() -> None:
    """Compare probabilities and masks, then measure the speed; print one line per network, then one line of JSON."""
    options = read_options()
    threads = count_cores()
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        networks = load_networks(options, Path(folder), threads)
        sizes = {name: (Path(folder) / f"{name}.onnx") for name in ("onnx", "int8")}
        megabytes = {name: round(path.stat().st_size / 1e6, 2) for name, path in sizes.items()}
    pairs = choose_pairs(options)
    results = compare(networks, pairs)
    for name, figures in time_all(networks, [photo for photo, _ in pairs], options.passes).items():
        results[name] |= figures
        print(f"{name:14}", *(f"{key} {value}" for key, value in results[name].items()), sep="  ", flush=True)
    facts = {"photos": len(pairs), "threads": threads, "onnxruntime": version("onnxruntime"), "megabytes": megabytes}
    keep(options.name, facts | {"contestants": results})


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="run folder of fit")
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos")
    parser.add_argument("--masks", type=Path, required=True, help="folder of their ground truth masks")
    parser.add_argument("--sample", type=int, default=50, help="number of photos to use, evenly spaced")
    parser.add_argument("--passes", type=int, default=9, help="number of timed passes")
    parser.add_argument("--calibrate", nargs="+", help="photos for the scales of 8 bits; default: the training photos")
    parser.add_argument("--name", default="exported_network", help="name of the result")
    return parser.parse_args()


def load_networks(options: argparse.Namespace, folder: Path, threads: int) -> dict[str, Segmenter]:
    """Return the network of torch in two precisions, exported, and exported with 8 bits; all on the CPU."""
    float32 = replace(TorchSegmenter.load(options.run), precision="fp32").to("cpu")
    export_onnx(float32, folder / "onnx.onnx")
    training_photos = [Path(path) for path in read_json(Run(options.run).photos)["usable"]]
    quantize(
        folder / "onnx.onnx",
        folder / "int8.onnx",
        list_photos(options.calibrate) if options.calibrate else training_photos,
    )
    loaded = {name: OnnxSegmenter.load(folder / f"{name}.onnx", "cpu", threads) for name in ("onnx", "int8")}
    return {"torch": float32, "torch_bfloat16": replace(float32, precision="bf16"), **loaded}


def choose_pairs(options: argparse.Namespace) -> list[tuple[Path, Path]]:
    """Return evenly spaced photos and their masks."""
    pairs = pair_by_name(list_photos([options.photos]), options.photos, options.masks)
    sample = min(options.sample, len(pairs))
    return [pairs[index * len(pairs) // sample] for index in range(sample)]


def compare(networks: dict[str, Segmenter], pairs: Sequence[tuple[Path, Path]]) -> dict[str, dict[str, Any]]:
    """Compare probabilities and masks with those of torch, and compute the mIoU of each network."""
    results: dict[str, dict[str, Any]] = {}
    photos = [photo for photo, _ in pairs]
    reading = ReadOptions(batch_size=1, threads=1)
    expected = {one.index: one.probabilities for one in predict_files(networks["torch"], photos, reading)}
    for name, segmenter in networks.items():
        largest, differing, pixels = 0.0, 0, 0
        total = np.zeros((len(segmenter.classes), len(segmenter.classes)), np.int64)
        for found in predict_files(segmenter, photos, reading):
            index, own = found.index, found.probabilities
            expected_mask, mask = (
                decide_classes(some, *found.size, found.foreground_first) for some in (expected[index], own)
            )
            largest = max(largest, float(np.abs(own - expected[index]).max()))
            differing, pixels = differing + int((mask != expected_mask).sum()), pixels + mask.size
            total += confusion_matrix(mask, read_mask(pairs[index][1]), len(segmenter.classes))
        results[name] = {
            "largest_score_difference": float(f"{largest:.3g}"),
            "share_of_pixels_that_differ": float(f"{differing / pixels:.3g}"),
            "mean_iou": round(mean_iou(total), 4),
        }
    return results


def time_all(networks: dict[str, Segmenter], photos: Sequence[Path], passes: int) -> dict[str, dict[str, Any]]:
    """Measure the photos per second of every network, in batches of each size."""
    shape = (256, networks["torch"].size_px)
    images = [read_image(photo) for photo in photos]
    fitting = [image for image in images if working_shape(image.shape, shape[1]) == shape] or images
    stack = np.stack([resize(image, *shape) for image in fitting])
    stack = np.concatenate([stack] * -(-max(BATCHES) // len(stack)))
    plain = {name: segmenter.with_settings(PredictConfig(flip=False)) for name, segmenter in networks.items()}
    rates: dict[str, dict[int, list[float]]] = {name: {batch: [] for batch in BATCHES} for name in networks}
    for number in range(passes + 1):
        for batch in BATCHES:
            for name, segmenter in plain.items():
                began = time.perf_counter()
                count = len(stack) // batch * batch
                for first in range(0, count, batch):
                    segmenter.probabilities(stack[first : first + batch], shape)
                if number:  # the first pass warms up
                    rates[name][batch].append(count / (time.perf_counter() - began))
    return {
        name: {f"photos_per_s_batch_{batch}": spread(found) for batch, found in by.items()}
        for name, by in rates.items()
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3
    return {"median": round(middle, 1), "low": round(low, 1), "high": round(high, 1)}


if __name__ == "__main__":
    main()
