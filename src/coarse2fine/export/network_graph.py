"""The network of a run as one graph: photos in, probabilities out, normalization inside."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from coarse2fine.errors import Coarse2FineError, ConfigError
from coarse2fine.inference.onnx_segmenter import INPUT, to_metadata
from coarse2fine.inference.torch_segmenter import TorchSegmenter
from coarse2fine.networks.normalization import mean_and_std
from coarse2fine.runtime.files import write_atomically

TOLERANCE = 1e-4
"""Probabilities of the graph and of the network may differ by this: sums in another order."""

METADATA_FILE = "coarse2fine.json"
_TRACED_SHAPE = (2, 96, 128)
_CHECKED_SHAPES = ((1, 32, 32), (3, 128, 96))

Batch = NDArray[np.uint8]
Run = Callable[[Batch], NDArray[np.float32]]


class Graph(nn.Module):
    """What is exported: RGB photos, uint8 (N, H, W, 3), become probabilities, float32 (N, C, H, W)."""

    def __init__(self, segmenter: TorchSegmenter) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.network = segmenter.network
        mean, std = mean_and_std(segmenter.network_config.encoder, torch.device("cpu"))
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, photos: Tensor) -> Tensor:
        """Normalize, compute, make probabilities of logits."""
        logits: Tensor = self.network((photos.permute(0, 3, 1, 2).float() - self.mean) / self.std)
        return logits.float().softmax(1)


def export_torch(segmenter: TorchSegmenter, path: Path) -> float:
    """Write the network as a ``torch.export`` program, ``.pt2``, for photos with sides of multiples of `SIDE_STEP_PX`.

    ``torch.export.load(path, extra_files={"coarse2fine.json": ""})`` gives it back with its metadata.

    Args:
        segmenter: The network; it is exported in float32, on the CPU.
        path: The file.

    Returns:
        The largest difference of a probability between the file and the network, on drawn photos.

    Raises:
        ConfigError: The architecture cannot be exported.
        Coarse2FineError: The file gives other scores than the network.
    """
    segmenter = plain(segmenter)
    program = trace(segmenter)
    notes = json.dumps(to_metadata(segmenter), ensure_ascii=False, indent=2)
    with before_it_counts(path) as place, refused(segmenter, "torch.export"):
        with write_atomically(place) as file:
            torch.export.save(program, file, extra_files={METADATA_FILE: notes})
        loaded = torch.export.load(place).module()
        return check(segmenter, lambda batch: _as_array(loaded(torch.from_numpy(batch))))


def plain(segmenter: TorchSegmenter) -> TorchSegmenter:
    """A copy of the network on the CPU, in float32, with its tensors in the usual order."""
    copied = replace(segmenter, network=deepcopy(segmenter.network), precision="fp32").ready(torch.device("cpu"))
    return replace(copied, network=copied.network.to(memory_format=torch.contiguous_format))


def trace(segmenter: TorchSegmenter) -> ExportedProgram:
    """Record the network for any number of photos, of any sides that are multiples of `SIDE_STEP_PX`.

    Raises:
        ConfigError: What it computes depends on its numbers, or on a size.
    """
    any_size = {0: Dim.DYNAMIC, 1: Dim.DYNAMIC, 2: Dim.DYNAMIC}
    example = torch.zeros((*_TRACED_SHAPE, 3), dtype=torch.uint8)
    with refused(segmenter, "torch.export"), torch.no_grad():
        return torch.export.export(Graph(segmenter).eval(), (example,), dynamic_shapes={INPUT: any_size})


@contextmanager
def before_it_counts(path: Path) -> Iterator[Path]:
    """Give a place beside ``path`` to write and check a file at; it takes its name only if the block succeeds."""
    place = path.with_name(f".unchecked-{path.name}")
    try:
        yield place
        place.replace(path)
    finally:
        place.unlink(missing_ok=True)


@contextmanager
def refused(segmenter: TorchSegmenter, what: str) -> Iterator[None]:
    """Say in one sentence that an architecture cannot be exported; the exporters print pages."""
    loggers = [logging.getLogger(name) for name in ("torch", "torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    except Coarse2FineError:
        raise
    except Exception as error:  # each step of the exporters has exceptions of its own
        config = segmenter.network_config
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ConfigError(
            f"The network {config.name} with the encoder {config.encoder} cannot be exported by {what}: {reason} "
            "(choose another format, or train with another network.encoder, such as mobilenetv2_100 or resnet50)."
        ) from error
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def check(segmenter: TorchSegmenter, run: Run, further_shapes: Sequence[tuple[int, int, int]] = ()) -> float:
    """Compare an exported graph with its network, on batches of several sizes.

    Args:
        segmenter: The network.
        run: The graph: photos, uint8 (N, H, W, 3), to probabilities.
        further_shapes: Number, height and width of further photos, beside some with sides of `SIDE_STEP_PX` pixels.

    Returns:
        The largest difference of a probability.

    Raises:
        Coarse2FineError: It is above `TOLERANCE`.
    """
    graph = Graph(segmenter).eval()
    largest = 0.0
    for shape in (*_CHECKED_SHAPES, *further_shapes):
        batch = _draw_clouds(*shape)
        with torch.inference_mode():
            wanted = _as_array(graph(torch.from_numpy(batch)))
        largest = max(largest, float(np.abs(run(batch) - wanted).max()))
    if not largest < TOLERANCE:
        raise Coarse2FineError(
            f"The exported network must give the scores of the run's to within {TOLERANCE:g}, but they differ by "
            f"{largest:.3g}, so nothing was written. Please report this, with the versions of torch and onnxruntime."
        )
    return largest


def _draw_clouds(count: int, height: int, width: int) -> Batch:
    """Smooth random colors: like a photo, neighbors resemble each other."""
    coarse = np.random.default_rng(0).integers(0, 256, (count, height // 8 + 2, width // 8 + 2, 3), np.uint8)
    return np.stack([cv2.resize(one, (width, height), interpolation=cv2.INTER_CUBIC) for one in coarse])


def _as_array(scores: Tensor) -> NDArray[np.float32]:
    return scores.detach().numpy()
