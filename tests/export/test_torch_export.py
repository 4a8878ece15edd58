import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from coarse2fine.export.torch_export import METADATA_FILE


@pytest.mark.slow
def test_export_torch__loads_with_its_probabilities_and_metadata(small_segmenter, exported_networks):
    metadata = {METADATA_FILE: ""}
    program = torch.export.load(exported_networks / "network.pt2", extra_files=metadata).module()
    assert json.loads(json.loads(metadata[METADATA_FILE])["classes"]) == ["background", "Röte", "blue"]
    batch = np.random.default_rng(0).integers(0, 256, (3, 64, 96, 3), np.uint8)
    expected = replace(small_segmenter, flip=False).run_network(batch, (64, 96))
    assert np.abs(program(torch.from_numpy(batch)).detach().numpy() - expected).max() < 1e-4
    with pytest.raises(AssertionError):
        program(torch.zeros((1, 67, 101, 3), dtype=torch.uint8))


def test_export_torch__leaves_no_other_file(exported_networks):
    assert {path.name for path in exported_networks.iterdir()} == {"network.lock", "network.onnx", "network.pt2"}
