"""The network of a run as ONNX, for onnxruntime and others; ``coarse2fine predict`` and ``serve`` take it."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from coarse2fine.errors import ConfigError
from coarse2fine.export.graph import before_it_counts, check, plain, refused, trace
from coarse2fine.inference.onnx_segmenter import INPUT, OUTPUT, OnnxSegmenter, to_metadata
from coarse2fine.inference.torch_segmenter import TorchSegmenter
from coarse2fine.runtime.files import write_atomically

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 20
"""Of ONNX; onnxruntime knows it since 1.17."""

_PROTOBUF_LIMIT = 2**31
_ODD_SHAPES = ((1, 67, 101), (2, 45, 33))


def export_onnx(segmenter: TorchSegmenter, path: Path) -> float:
    """Write the network as ONNX, for any number and size of photos, with what must be known of it in its metadata.

    Args:
        segmenter: The network; it is exported in float32.
        path: The file.

    Returns:
        The largest difference of a probability between onnxruntime and torch, on photos of odd sizes.

    Raises:
        ConfigError: The extra ``onnx`` is not installed, or the architecture cannot be exported.
        Coarse2FineError: onnxruntime gives other scores than torch.
    """
    need_onnx()
    segmenter = plain(segmenter)
    model = _convert(segmenter)
    with before_it_counts(path) as place, refused(segmenter, "onnxruntime"):
        write_model(model, to_metadata(segmenter), place)
        session = OnnxSegmenter.load(place, "cpu", threads=1).session
        return check(segmenter, lambda batch: session.run([OUTPUT], {INPUT: batch})[0], _ODD_SHAPES)


def write_model(model: "ModelProto", metadata: dict[str, str], path: Path) -> None:
    """Check a model by the rules of ONNX and write it with its metadata."""
    import onnx

    onnx.helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    with write_atomically(path) as file:
        file.write(model.SerializeToString())


def need_onnx() -> None:
    """Check that what the export needs is installed.

    Raises:
        ConfigError: It is not.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"The export to ONNX needs onnx, onnxscript and onnxruntime ({error}): pip install 'coarse2fine[onnx]'."
        ) from error


def _convert(segmenter: TorchSegmenter) -> "ModelProto":
    program = trace(segmenter)
    with refused(segmenter, "torch.onnx"), torch.no_grad():
        converted = torch.onnx.export(
            program, dynamo=True, opset_version=OPSET, input_names=[INPUT], output_names=[OUTPUT], verbose=False
        )
        assert converted is not None
        model: ModelProto = converted.model_proto
        if model.ByteSize() >= _PROTOBUF_LIMIT:
            raise ValueError("one ONNX file holds less than 2 GB")
    _name_sizes(model)
    return model


def _name_sizes(model: "ModelProto") -> None:
    """Call the free sizes what they are, for those who look at the file; the exporter calls them s5 and s76."""
    given = model.graph.input[0].type.tensor_type.shape.dim
    names = {
        size.dim_param: name for size, name in zip(given, ("batch", "height", "width"), strict=False) if size.dim_param
    }
    del model.graph.value_info[:]  # sizes in between, under the old names
    for value in (*model.graph.input, *model.graph.output):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_param = names.get(size.dim_param, size.dim_param)
    for node in model.graph.node:
        del node.metadata_props[:]  # stack traces, with the paths of the machine it was made on
        node.doc_string = ""
    for value in (*model.graph.input, *model.graph.output):
        del value.metadata_props[:]
