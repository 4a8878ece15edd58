"""How many photos per second does a network train on, and does training wait for the data loader?

    python benchmarks/train.py [--px 256]

Draws synthetic photos, then times optimizer steps of the recipe ``small`` in one run: with the data loader, with one
batch that is already in memory, with torch's own dilated convolutions, and with parts of the encoder frozen.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from common import keep
from torch import Tensor
from torch.utils.data import DataLoader

from coarse2fine.config import FitConfig, TrainConfig, load_recipe
from coarse2fine.data import open_dataset
from coarse2fine.data.synthetic import draw_dataset
from coarse2fine.networks.build import build_network
from coarse2fine.networks.depthwise import DilatedDepthwiseConv
from coarse2fine.networks.normalization import normalize
from coarse2fine.networks.segmentation import parameter_groups
from coarse2fine.runtime.device import count_cores, pick_device, pick_dtype
from coarse2fine.runtime.processes import World
from coarse2fine.training.loader import count_loader_workers
from coarse2fine.training.sampler import ResumableBatchSampler
from coarse2fine.training.segmentation import pixel_cross_entropy
from coarse2fine.training.segmentation_samples import SegmentationSamples

WARM_UP, STEPS = 3, 12


def main() -> None:
    """Time every variant and print one line for each, then one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--px", type=int, default=256)
    options = parser.parse_args()
    torch.set_num_threads(count_cores())
    small = load_recipe("small")
    train = small.train.model_copy(update={"crop_px": options.px})
    with tempfile.TemporaryDirectory() as folder:
        draw_dataset(Path(folder), train_per_class=10, val_photos=1, size_px=320)
        rates = {"with the loader": time_steps(small, load_batches(Path(folder), train))}
    batch = (
        torch.randint(0, 255, (train.batch, 3, options.px, options.px), dtype=torch.uint8),
        torch.zeros(train.batch, options.px, options.px, dtype=torch.long),
    )
    torch_only = time_steps(small, iter([batch] * (WARM_UP + STEPS)), fast=False)
    rates["in memory, dilated convolutions of torch"] = torch_only
    for name, change in {
        "in memory": {},
        "in memory, batch norm frozen": {"freeze_batch_norm": True},
        "in memory, two stages and batch norm frozen": {"freeze_batch_norm": True, "frozen_stages": 2},
        "in memory, decoder of 256": {"decoder_channels": 256},
    }.items():
        network = small.network.model_copy(update=change)
        rates[name] = time_steps(small.model_copy(update={"network": network}), iter([batch] * (WARM_UP + STEPS)))
    for name, rate in rates.items():
        print(f"{name:50} {rate['photos_per_s']:6.1f} photos/s  ({rate['slowest']:.1f} to {rate['fastest']:.1f})")
    keep("train", {"px": options.px, "batch": train.batch, "rates": rates})


def load_batches(folder: Path, train: TrainConfig) -> Iterator[tuple[Tensor, Tensor]]:
    """Load batches as training does."""
    photos = open_dataset(folder / "train").photos
    sampler = ResumableBatchSampler(len(photos), train.batch, range(WARM_UP + STEPS), seed=0)
    samples = SegmentationSamples(photos, folder / "train_masks", train, 0)
    workers = count_loader_workers(train, World())
    return iter(DataLoader(samples, batch_sampler=sampler, num_workers=workers))


def time_steps(config: FitConfig, batches: Iterator[tuple[Tensor, Tensor]], fast: bool = True) -> dict[str, float]:
    """Measure photos per second of optimizer steps: loading, forward pass, backward pass and update.

    Args:
        config: Settings of network and training.
        batches: Batches for all steps.
        fast: Whether to use coarse2fine's dilated convolutions instead of torch's.

    Returns:
        Median, slowest and fastest step, in photos per second.
    """
    device = pick_device()
    dtype = pick_dtype(config.train.precision, device)
    network = build_network(config.network.model_copy(update={"encoder_weights": "none"}), 7).to(device)
    network.to(memory_format=torch.channels_last).train()
    for part in network.modules():
        if isinstance(part, DilatedDepthwiseConv):
            part.train(fast)
    optimizer = torch.optim.AdamW(parameter_groups(network, config.train))
    rates = []
    for _ in range(WARM_UP + STEPS):
        began = time.perf_counter()
        images, masks = next(batches)
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            loss = pixel_cross_entropy(network, normalize(images.to(device), config.network.encoder), masks.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rates.append(len(images) / (time.perf_counter() - began))
    timed = rates[WARM_UP:]
    return {"photos_per_s": statistics.median(timed), "slowest": min(timed), "fastest": max(timed)}


if __name__ == "__main__":
    main()
