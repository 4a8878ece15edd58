import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from coarse2fine.export.graph import METADATA_FILE, export_torch


def test_export_torch__comes_back_with_its_scores_and_notes(small_segmenter, tmp_path):
    assert export_torch(small_segmenter, tmp_path / "a.pt2") < 1e-4
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt2"]
    notes = {METADATA_FILE: ""}
    program = torch.export.load(tmp_path / "a.pt2", extra_files=notes).module()
    assert json.loads(json.loads(notes[METADATA_FILE])["classes"]) == ["background", "Röte", "blue"]
    batch = np.random.default_rng(0).integers(0, 256, (3, 64, 96, 3), np.uint8)
    wanted = replace(small_segmenter, flip=False).probabilities(batch, (64, 96))
    assert np.abs(program(torch.from_numpy(batch)).detach().numpy() - wanted).max() < 1e-4
    with pytest.raises(AssertionError):
        program(torch.zeros((1, 67, 101, 3), dtype=torch.uint8))
