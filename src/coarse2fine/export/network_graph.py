"""A trained network as one graph with normalization and softmax: traced, and compared with its exported file."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from coarse2fine.errors import Coarse2FineError, ConfigError
from coarse2fine.inference.onnx_segmenter import INPUT
from coarse2fine.inference.torch_segmenter import TorchSegmenter
from coarse2fine.networks.normalization import mean_and_std

TOLERANCE = 1e-4
"""Largest allowed difference of a probability between a network and its export, which add in another order."""

_TRACED_SHAPE = (2, 96, 128)
_CHECKED_SHAPES = ((1, 32, 32), (3, 128, 96))

ImageBatch = NDArray[np.uint8]
"""RGB images, shape (N, H, W, 3), 0 to 255."""


class NetworkGraph(nn.Module):
    """The exported module: RGB images, uint8 (N, H, W, 3), to class probabilities, float32 (N, C, H, W)."""

    def __init__(self, segmenter: TorchSegmenter) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.network = segmenter.network
        mean, std = mean_and_std(segmenter.network_config.encoder, torch.device("cpu"))
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, images: Tensor) -> Tensor:
        """Normalize images, compute the logits, and convert them to probabilities."""
        logits: Tensor = self.network((images.permute(0, 3, 1, 2).float() - self.mean) / self.std)
        return logits.float().softmax(1)


def copy_to_cpu(segmenter: TorchSegmenter) -> TorchSegmenter:
    """Copy a network to the CPU, in float32 and with tensors in the contiguous memory format."""
    copied = replace(segmenter, network=deepcopy(segmenter.network), precision="fp32").to("cpu")
    return replace(copied, network=copied.network.to(memory_format=torch.contiguous_format))


def trace_network(segmenter: TorchSegmenter) -> ExportedProgram:
    """Trace a network for any number of images and for any sides that are multiples of `SIDE_STEP_PX`.

    Raises:
        ConfigError: The computation depends on the values or the size of the input in a way that cannot be traced.
    """
    any_size = {0: Dim.DYNAMIC, 1: Dim.DYNAMIC, 2: Dim.DYNAMIC}
    example = torch.zeros((*_TRACED_SHAPE, 3), dtype=torch.uint8)
    with explain_export_errors(segmenter, "torch.export"), torch.no_grad():
        return torch.export.export(NetworkGraph(segmenter).eval(), (example,), dynamic_shapes={INPUT: any_size})


@contextmanager
def explain_export_errors(segmenter: TorchSegmenter, exporter: str) -> Iterator[None]:
    """Raise a ConfigError of one sentence instead of the exporters' own errors, and silence their warnings.

    Args:
        segmenter: The network that is exported.
        exporter: Name of the exporter, for the message.
    """
    loggers = [logging.getLogger(name) for name in ("torch", "torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    except (Coarse2FineError, OSError):
        raise
    except Exception as error:  # each step of the exporters has its own exceptions
        config = segmenter.network_config
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ConfigError(
            f"The network {config.name} with the encoder {config.encoder} cannot be exported by {exporter}: {reason} "
            "(choose another format, or train with another network.encoder, such as mobilenetv2_100 or resnet50)."
        ) from error
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def compare_with_network(
    segmenter: TorchSegmenter,
    exported: Callable[[ImageBatch], NDArray[np.float32]],
    more_shapes: Sequence[tuple[int, int, int]] = (),
) -> float:
    """Compare an exported graph with its network, on batches of several sizes.

    Args:
        segmenter: The network.
        exported: Computes the exported graph: images, uint8 (N, H, W, 3), to class probabilities (N, C, H, W).
        more_shapes: Number, height and width of further images. Images with sides that are multiples of `SIDE_STEP_PX`
            are always compared.

    Returns:
        The largest difference of a probability.

    Raises:
        Coarse2FineError: The difference is not below `TOLERANCE`.
    """
    graph = NetworkGraph(segmenter).eval()
    largest = 0.0
    for shape in (*_CHECKED_SHAPES, *more_shapes):
        batch = _draw_images(*shape)
        with torch.inference_mode():
            expected = graph(torch.from_numpy(batch)).numpy()
        largest = max(largest, float(np.abs(exported(batch) - expected).max()))
    if not largest < TOLERANCE:
        raise Coarse2FineError(
            f"The class probabilities of the exported network must differ from those of the run's network by less than "
            f"{TOLERANCE:g}, but they differ by {largest:.3g}. Nothing was written. Please report this error with your "
            "versions of torch and onnxruntime."
        )
    return largest


def _draw_images(count: int, height: int, width: int) -> ImageBatch:
    """Draw smooth random colors, because neighboring pixels of photos are alike."""
    coarse = np.random.default_rng(0).integers(0, 256, (count, height // 8 + 2, width // 8 + 2, 3), np.uint8)
    return np.stack([cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC) for image in coarse])
