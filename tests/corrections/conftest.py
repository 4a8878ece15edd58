"""Twelve drawn photos, for tests that correct or review the masks of a short run."""

from pathlib import Path

import pytest

from coarse2fine.data.synthetic import draw_dataset


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    draw_dataset(folder, train_per_class=2, val_photos=1, size_px=48)
    return folder / "train"
