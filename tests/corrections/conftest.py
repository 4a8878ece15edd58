"""A short run on twelve drawn photos, for tests that correct or review its masks."""

from collections.abc import Callable
from pathlib import Path

import pytest

from coarse2fine.config import FitConfig, parse_config
from coarse2fine.data.synthetic import draw_dataset

TINY = """
rounds = 2
[coarse]
method = "box"
[enhance]
coarse_start = "box"
[enhance.grabcut]
iterations = 1
[refine]
constrain = "label"
[filter]
min_share = 0
max_share = 1
[network]
encoder = "test_efficientnet"
encoder_weights = "none"
decoder_channels = 16
freeze_batch_norm = false
frozen_stages = 0
[train]
epochs = [1]
batch = 6
resize_px = 48
keep_aspect = true
crop_px = 32
scale_jitter = [1.0, 1.0]
color_jitter = 0.0
optimizer = "sgd"
learning_rate = 0.00025
head_learning_rate_factor = 10.0
weight_decay = 0.0005
warmup_share = 0.0
loader_workers = 0
precision = "fp32"
[predict]
flip = false
scales = [1.0]
"""


@pytest.fixture(scope="session")
def settings() -> Callable[..., FitConfig]:
    """Return a function that merges the settings of a test, as TOML, into those of the short run."""
    return lambda text="": parse_config(text, "test", parse_config(TINY, "test"))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    draw_dataset(folder, train_per_class=2, val_photos=1, size_px=48)
    return folder / "train"
