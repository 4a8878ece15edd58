"""The network of a run as one graph: photos in, probabilities out, normalisation inside."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from coarse2fine.errors import Coarse2FineError, ConfigError
from coarse2fine.inference import Segmenter
from coarse2fine.networks.normalise import normalise
from coarse2fine.onnx_inference import INPUT, to_metadata
from coarse2fine.store import write_atomically

TOLERANCE = 1e-4
"""Scores of the graph and of the network may differ by this: sums in another order."""

METADATA_FILE = "coarse2fine.json"
_TRACED_SHAPE = (2, 96, 128)
_CHECKED_SHAPES = ((1, 67, 101), (3, 96, 64))

Batch = NDArray[np.uint8]
Run = Callable[[Batch], NDArray[np.float32]]


class Graph(nn.Module):
    """What is exported: RGB photos, uint8 (N, H, W, 3), become probabilities, float32 (N, C, H, W)."""

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.network = segmenter.network
        self.encoder = segmenter.network_config.encoder

    def forward(self, photos: Tensor) -> Tensor:
        """Normalise, compute, make probabilities of logits."""
        images = normalise(photos.permute(0, 3, 1, 2), self.encoder)
        logits: Tensor = self.network(images)
        return logits.float().softmax(1)


def export_torch(segmenter: Segmenter, path: Path) -> float:
    """Write the network as a ``torch.export`` program, ``.pt2``.

    ``torch.export.load(path, extra_files={"coarse2fine.json": ""})`` gives it back with its metadata.

    Args:
        segmenter: The network; it is exported in float32, on the CPU.
        path: The file.

    Returns:
        The largest difference of a probability between the file and the network, on photos of odd sizes.

    Raises:
        ConfigError: The architecture cannot be exported.
        Coarse2FineError: The file gives other scores than the network.
    """
    import json

    segmenter = plain(segmenter)
    program = trace(segmenter)
    with write_atomically(path) as file:
        notes = json.dumps(to_metadata(segmenter), ensure_ascii=False, indent=2)
        torch.export.save(program, file, extra_files={METADATA_FILE: notes})
    loaded = torch.export.load(path).module()
    return check(segmenter, lambda batch: _as_array(loaded(torch.from_numpy(batch))), path)


def plain(segmenter: Segmenter) -> Segmenter:
    """The network on the CPU, in float32, with its tensors in the usual order."""
    ready = replace(segmenter, precision="fp32").ready(torch.device("cpu"))
    return replace(ready, network=ready.network.to(memory_format=torch.contiguous_format))


def trace(segmenter: Segmenter) -> ExportedProgram:
    """Record the network for photos of any number, height and width.

    Raises:
        ConfigError: What it computes depends on its numbers, or on a size.
    """
    any_size = {0: Dim.DYNAMIC, 1: Dim.DYNAMIC, 2: Dim.DYNAMIC}
    example = torch.zeros((*_TRACED_SHAPE, 3), dtype=torch.uint8)
    with refused(segmenter, "torch.export"), torch.no_grad():
        return torch.export.export(Graph(segmenter).eval(), (example,), dynamic_shapes={INPUT: any_size})


@contextmanager
def refused(segmenter: Segmenter, what: str) -> Iterator[None]:
    """Say in one sentence that an architecture cannot be exported; the exporters print pages."""
    loggers = [logging.getLogger(name) for name in ("torch", "torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
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


def check(segmenter: Segmenter, run: Run, path: Path) -> float:
    """Compare an exported graph with its network on one photo of odd size, and on several of another.

    Args:
        segmenter: The network.
        run: The graph: photos, uint8 (N, H, W, 3), to probabilities.
        path: The file of the graph, to name.

    Returns:
        The largest difference of a probability.

    Raises:
        Coarse2FineError: It is above `TOLERANCE`; the file is removed.
    """
    graph = Graph(segmenter).eval()
    largest = 0.0
    for shape in _CHECKED_SHAPES:
        batch = _draw_clouds(*shape)
        with torch.inference_mode():
            wanted = _as_array(graph(torch.from_numpy(batch)))
        largest = max(largest, float(np.abs(run(batch) - wanted).max()))
    if not largest < TOLERANCE:
        path.unlink()
        raise Coarse2FineError(
            f"The exported network must give the scores of the run's to within {TOLERANCE:g}, but they differ by "
            f"{largest:.3g}; {path} was removed. Please report this, with the versions of torch and onnxruntime."
        )
    return largest


def _draw_clouds(count: int, height: int, width: int) -> Batch:
    """Smooth random colours: like a photo, neighbours resemble each other."""
    coarse = np.random.default_rng(0).integers(0, 256, (count, height // 8 + 2, width // 8 + 2, 3), np.uint8)
    return np.stack([cv2.resize(one, (width, height), interpolation=cv2.INTER_CUBIC) for one in coarse])


def _as_array(scores: Tensor) -> NDArray[np.float32]:
    return scores.detach().numpy()
