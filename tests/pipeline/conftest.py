"""Shared by the tests of the pipeline: drawn photos, and weights of a tiny encoder."""

from pathlib import Path

import pytest
from safetensors.torch import save_file

from coarse2fine.data.synthetic import draw_dataset
from coarse2fine.networks.backbone import build_encoder
from coarse2fine.runtime.seeds import torch_seed


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    """Two drawn photos of 48 px per class, three of ``val``, and their ground truth; tests must not change them."""
    folder = tmp_path_factory.mktemp("drawn")
    draw_dataset(folder, train_per_class=2, val_photos=3, size_px=48)
    return folder


@pytest.fixture(scope="session")
def weights(tmp_path_factory, settings) -> str:
    """Weights of the tiny encoder, as a line of TOML."""
    path = tmp_path_factory.mktemp("weights") / "encoder.safetensors"
    network = settings().network
    with torch_seed(0):  # otherwise they depend on the tests before
        encoder = build_encoder(network.encoder, network.output_stride, "none")
    save_file(encoder.state_dict(), path)
    return f'[network]\nencoder_weights = "{path}"\n'
