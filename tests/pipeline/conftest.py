"""Shared by the tests of the pipeline: drawn photos."""

from pathlib import Path

import pytest

from coarse2fine.data.synthetic import draw_dataset


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    """Two drawn photos of 48 px per class, three of ``val``, and their ground truth; tests must not change them."""
    folder = tmp_path_factory.mktemp("drawn")
    draw_dataset(folder, train_per_class=2, val_photos=3, size_px=48)
    return folder
