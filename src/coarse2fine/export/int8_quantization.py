"""Quantize an exported network: 8-bit weights and activations, a third of the file size, faster on some processors."""

import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coarse2fine.data.photos import read_image
from coarse2fine.export.onnx_export import write_onnx
from coarse2fine.inference.onnx_segmenter import INPUT, OnnxSegmenter, to_metadata
from coarse2fine.inference.segmenter import working_shape

CALIBRATION_PHOTOS = 64


def quantize(source: Path, path: Path, photos: Sequence[Path]) -> None:
    """Write a copy of an ONNX network with convolutions in 8-bit integers (static quantization).

    Weights have one scale per output channel. Activations have one scale and zero point per layer, computed from their
    smallest and largest value on the photos.

    Args:
        source: A file that :func:`~coarse2fine.export.onnx_export.export_onnx` wrote.
        path: The file to write.
        photos: Photos like those that the network will see. At most `CALIBRATION_PHOTOS` of them, evenly spaced, are
            used.

    Raises:
        DataError: A photo cannot be read.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    segmenter = OnnxSegmenter.load(source, "cpu")
    with tempfile.TemporaryDirectory() as folder:
        quantized = Path(folder) / "int8.onnx"
        level = logging.root.level
        logging.root.setLevel(logging.ERROR)  # it recommends a preparation that the exporter has already done
        try:
            quantize_static(
                source,
                quantized,
                _CalibrationReader(segmenter, _choose_evenly(photos)),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        finally:
            logging.root.setLevel(level)
        write_onnx(onnx.load(quantized), to_metadata(segmenter) | {"int8": "true"}, path)


def _choose_evenly(photos: Sequence[Path]) -> list[Path]:
    count = min(len(photos), CALIBRATION_PHOTOS)
    return [photos[index * len(photos) // count] for index in range(count)]


class _CalibrationReader:
    """Yields photos as network inputs, one at a time; the interface is onnxruntime's ``CalibrationDataReader``."""

    def __init__(self, segmenter: OnnxSegmenter, photos: Sequence[Path]) -> None:
        self._inputs = _read_inputs(segmenter, photos)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """Return the next input; None after the last."""
        return next(self._inputs, None)


def _read_inputs(segmenter: OnnxSegmenter, photos: Sequence[Path]) -> Iterator[dict[str, NDArray[Any]]]:
    for path in photos:
        image = read_image(path, at_least_px=segmenter.max_input_px)
        for view in segmenter.network_inputs(image, working_shape(image.shape, segmenter.size_px)):
            yield {INPUT: np.asarray(view)[None]}
