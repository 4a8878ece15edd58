"""Export a network as ONNX, for onnxruntime and other programs; ``predict``, ``evaluate`` and ``serve`` accept it."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from coarse2fine.errors import ConfigError
from coarse2fine.export.network_graph import compare_with_network, copy_to_cpu, explain_export_errors, trace_network
from coarse2fine.inference.onnx_segmenter import INPUT, OUTPUT, OnnxSegmenter, to_metadata
from coarse2fine.inference.torch_segmenter import TorchSegmenter
from coarse2fine.runtime.extras import install_command
from coarse2fine.runtime.files import replace_when_complete, write_atomically

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 20
"""Version of the ONNX operators; onnxruntime supports it since 1.17."""

_PROTOBUF_LIMIT_BYTES = 2**31
_ODD_SHAPES = ((1, 67, 101), (2, 45, 33))


def export_onnx(segmenter: TorchSegmenter, path: Path, say: Callable[[str], None] = lambda _text: None) -> float:
    """Write a network as ONNX, for any number and size of images, with its settings as metadata.

    Args:
        segmenter: The network. It is exported in float32.
        path: The file to write.
        say: Called with the name of each step before it begins; together they take half a minute or more.

    Returns:
        The largest difference of a class probability between onnxruntime and torch, on drawn images of odd sizes, too.

    Raises:
        ConfigError: The extra ``onnx`` is not installed, or the architecture cannot be exported.
        Coarse2FineError: onnxruntime computes other probabilities than torch.
    """
    check_onnx_installed()
    segmenter = copy_to_cpu(segmenter)
    model = _convert(segmenter, say)
    say("export 3/3: comparing onnxruntime with torch")
    with replace_when_complete(path) as unchecked, explain_export_errors(segmenter, "onnxruntime"):
        write_onnx(model, to_metadata(segmenter), unchecked)
        session = OnnxSegmenter.load(unchecked, "cpu", threads=1).session
        return compare_with_network(segmenter, lambda batch: session.run([OUTPUT], {INPUT: batch})[0], _ODD_SHAPES)


def write_onnx(model: "ModelProto", metadata: dict[str, str], path: Path) -> None:
    """Check a model with ``onnx.checker`` and write it with metadata."""
    import onnx

    onnx.helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    with write_atomically(path) as file:
        file.write(model.SerializeToString())


def check_onnx_installed() -> None:
    """Check that the packages of the extra ``onnx`` are installed.

    Raises:
        ConfigError: One is missing.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"The export to ONNX needs onnx, onnxscript and onnxruntime ({error}): {install_command('onnx')}"
        ) from error


def _convert(segmenter: TorchSegmenter, say: Callable[[str], None]) -> "ModelProto":
    say("export 1/3: tracing the network with torch.export")
    program = trace_network(segmenter)
    say("export 2/3: converting it to ONNX")
    with explain_export_errors(segmenter, "torch.onnx"), torch.no_grad():
        converted = torch.onnx.export(
            program, dynamo=True, opset_version=OPSET, input_names=[INPUT], output_names=[OUTPUT], verbose=False
        )
        assert converted is not None
        model: ModelProto = converted.model_proto
        if model.ByteSize() >= _PROTOBUF_LIMIT_BYTES:
            raise ValueError("one ONNX file must be smaller than 2 GB")
    _rename_dimensions(model)
    return model


def _rename_dimensions(model: "ModelProto") -> None:
    """Name the free dimensions ``batch``, ``height``, ``width`` instead of ``s5``, ``s76``; remove stack traces."""
    dimensions = model.graph.input[0].type.tensor_type.shape.dim
    names = {
        dimension.dim_param: name
        for dimension, name in zip(dimensions, ("batch", "height", "width"), strict=False)
        if dimension.dim_param
    }
    del model.graph.value_info[:]  # shapes of inner tensors, under the old names
    for value in (*model.graph.input, *model.graph.output):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param:
                dimension.dim_param = names.get(dimension.dim_param, dimension.dim_param)
        del value.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]  # stack traces with paths of this machine
        node.doc_string = ""
