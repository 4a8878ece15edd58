"""A network that ``fit --task foreground`` trained without any mask, beside networks that were trained on human masks.

    pip install '.[onnx,experiments]'
    python benchmarks/peers.py --run RUN --photos ECSSD/images --masks ECSSD/masks --u2net u2net.onnx --isnet isnet.onnx

RUN is a finished run; its settings name the photos it was fitted to. Photos with the name of one of them are not
scored, and of all others ``--count`` are, evenly spaced by name. All networks see the same photos in turn, with the
same number of threads: decode, resize, network, mask in the size of the photo, PNG in memory. The networks:

- the run: with its own views of the photo (``predict.scales``), and with one;
- U2-Net (Qin et al., 2020): 320 x 320 px, mean and standard deviation of ImageNet, its first output stretched to 0..1;
- ISNet (Qin et al., 2022): 1024 x 1024 px, values (v - 128) / 256.

A pixel of a peer above .5 is foreground. Where to get the files is in docs/experiments.md.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from common import keep, take_evenly

from coarse2fine import Segmenter
from coarse2fine.config import PredictConfig
from coarse2fine.data.photos import read_image
from coarse2fine.errors import DataError
from coarse2fine.evaluation.ground_truth_reader import make_foreground_reader
from coarse2fine.evaluation.metrics import binary_iou
from coarse2fine.evaluation.pairing import pair_folders
from coarse2fine.masks.png import encode_mask
from coarse2fine.masks.resize import resize_soft
from coarse2fine.networks.backbone import IMAGENET_MEAN, IMAGENET_STD
from coarse2fine.runtime.device import count_cores
from coarse2fine.runtime.files import read_json
from coarse2fine.store.run import Run
from coarse2fine.types import Image, Mask

Predict = Callable[[Image], Mask]


def main() -> None:
    """Print a line for each network, then one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="finished run with --task foreground")
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos")
    parser.add_argument("--masks", type=Path, required=True, help="folder of their ground truth")
    parser.add_argument("--u2net", type=Path, help="u2net.onnx")
    parser.add_argument("--isnet", type=Path, help="isnet.onnx")
    parser.add_argument("--count", type=int, default=100, help="number of photos to score")
    parser.add_argument("--threads", type=int, default=count_cores())
    options = parser.parse_args()
    fitted = set(read_json(Run(options.run).photos)["usable"])
    pairs = pair_folders(options.photos, options.masks)
    unseen = [index for index, name in enumerate(pairs.names) if name not in fitted]
    if not unseen:
        raise DataError(f"{options.photos} must hold photos that {options.run} was not fitted to, but holds none.")
    chosen = take_evenly(unseen, options.count)
    networks = open_networks(options)
    read_truth = make_foreground_reader([pairs.masks[index] for index in chosen])
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    ious: dict[str, list[float]] = {name: [] for name in networks}
    cv2.setNumThreads(options.threads)
    for number, index in enumerate([chosen[0], *chosen]):  # the first photo is the warm-up
        truth = read_truth(pairs.masks[index])
        for name, (predict, _) in networks.items():
            began = time.perf_counter()
            mask = predict(read_image(pairs.photos[index]))
            encode_mask(mask)
            if number:
                seconds[name].append(time.perf_counter() - began)
                ious[name].append(binary_iou(mask, truth))
    found = {
        name: {
            "iou": round(statistics.mean(ious[name]), 4),
            "photos_per_s": round(len(chosen) / sum(seconds[name]), 2),
            "megabytes": round(size / 1e6, 1),
        }
        for name, (_, size) in networks.items()
    }
    for name, values in found.items():
        print("{:16} IoU {iou:.3f}, {photos_per_s:6.2f} photos/s, {megabytes:6.1f} MB".format(name, **values))
    keep("peers", {"photos": len(chosen), "fitted_photos": len(fitted), "threads": options.threads, "networks": found})


def open_networks(options: argparse.Namespace) -> dict[str, tuple[Predict, int]]:
    """Open all networks; return the function from a photo to its binary mask and the bytes of the file, by name."""
    run = Segmenter.load(options.run, device="cpu", threads=options.threads)
    one_view = run.with_settings(PredictConfig(scales=(1.0,), flip=False))
    size = sum(path.stat().st_size for path in Run(options.run).model.rglob("*.safetensors"))
    networks: dict[str, tuple[Predict, int]] = {"run": (run.predict, size), "run, one view": (one_view.predict, size)}
    if options.u2net:
        mean, std = 255 * np.array(IMAGENET_MEAN), 255 * np.array(IMAGENET_STD)
        networks["U2-Net"] = open_peer(options.u2net, 320, mean, std, True, options.threads)
    if options.isnet:
        networks["ISNet"] = open_peer(options.isnet, 1024, np.full(3, 128), np.full(3, 256), False, options.threads)
    return networks


def open_peer(
    file: Path, side_px: int, mean: np.ndarray, std: np.ndarray, is_stretched: bool, threads: int
) -> tuple[Predict, int]:
    """Open the ONNX file of a peer.

    Args:
        file: Its input is one RGB photo, float32, shape (1, 3, side_px, side_px), its first output the soft mask.
        side_px: Height and width of the input.
        mean: Subtracted from the values 0 to 255 of each channel.
        std: By which the difference is divided.
        is_stretched: Whether the soft mask is stretched to 0..1.
        threads: Processor threads.
    """
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file, settings, providers=["CPUExecutionProvider"])
    name, output = session.get_inputs()[0].name, session.get_outputs()[0].name

    def predict(image: Image) -> Mask:
        resized = cv2.resize(image, (side_px, side_px), interpolation=cv2.INTER_LINEAR)
        values = ((resized - mean) / std).astype(np.float32).transpose(2, 0, 1)[np.newaxis]
        soft = session.run([output], {name: values})[0][0, 0]
        if is_stretched:
            soft = (soft - soft.min()) / max(float(np.ptp(soft)), 1e-6)
        mask: Mask = (resize_soft(soft, *image.shape[:2]) > 0.5).astype(np.uint8)
        return mask

    return predict, file.stat().st_size


if __name__ == "__main__":
    main()
