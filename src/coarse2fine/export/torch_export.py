"""Export a network as a ``torch.export`` program."""

import json
from collections.abc import Callable
from pathlib import Path

import torch

from coarse2fine.export.network_graph import compare_with_network, copy_to_cpu, explain_export_errors, trace_network
from coarse2fine.inference.onnx_segmenter import to_metadata
from coarse2fine.inference.torch_segmenter import TorchSegmenter
from coarse2fine.runtime.files import replace_when_complete

METADATA_FILE = "coarse2fine.json"


def export_torch(segmenter: TorchSegmenter, path: Path, say: Callable[[str], None] = lambda _text: None) -> float:
    """Write a network as a ``.pt2`` file for images with sides that are multiples of `SIDE_STEP_PX`.

    ``torch.export.load(path, extra_files={"coarse2fine.json": ""})`` loads it with its metadata.

    Args:
        segmenter: The network. It is exported in float32, for the CPU.
        path: The file to write.
        say: Called with the name of each step before it begins.

    Returns:
        The largest difference of a class probability between the file and the network, on drawn images.

    Raises:
        ConfigError: The architecture cannot be exported.
        Coarse2FineError: The file computes other probabilities than the network.
    """
    segmenter = copy_to_cpu(segmenter)
    say("export 1/2: tracing the network with torch.export")
    program = trace_network(segmenter)
    say("export 2/2: comparing the file with the network")
    metadata = json.dumps(to_metadata(segmenter), ensure_ascii=False, indent=2)
    with replace_when_complete(path) as unchecked, explain_export_errors(segmenter, "torch.export"):
        with unchecked.open("wb") as file:
            torch.export.save(program, file, extra_files={METADATA_FILE: metadata})
        with unchecked.open("rb") as file:
            loaded = torch.export.load(file).module()
        return compare_with_network(segmenter, lambda batch: loaded(torch.from_numpy(batch)).detach().numpy())
