"""A run with drawn masks of every stage, without training, and a network with set weights."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from coarse2fine.app.access import CSRF_HEADER, TokenAuthentication
from coarse2fine.app.network import RunNetwork
from coarse2fine.app.photo_list import PhotoList
from coarse2fine.app.routes import create_app
from coarse2fine.config import NetworkConfig, ServeConfig
from coarse2fine.corrections.review import Review
from coarse2fine.evaluation.mask_quality import Quality
from coarse2fine.evaluation.quality_table import write_quality
from coarse2fine.inference.torch_segmenter import TorchSegmenter
from coarse2fine.masks.png import mask_path, write_mask
from coarse2fine.networks.build import build_network
from coarse2fine.runtime.files import size_and_time, write_json
from coarse2fine.store.photos import read_photos
from coarse2fine.store.run import Run

HTML = "<img src=x onerror=alert(1)>"
NAMES = {"cat": ["a", HTML, "c"], "dog": ["d", "e"]}


@pytest.fixture
def drawn_run(tmp_path) -> Run:
    """A run of two classes, five photos of 40 x 30 pixels and two rounds; the scores rise with the names."""
    run, qualities = Run(tmp_path / "run"), []
    for label, (kind, names) in enumerate(NAMES.items(), start=1):
        for name in names:
            path = tmp_path / "photos" / kind / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 30), (200, 180, len(qualities))).save(path)
            stages = [run.coarse, run.enhanced(0), run.refined(1), run.enhanced(1), run.refined(2), run.enhanced(2)]
            for size, folder in enumerate(stages, start=4):
                mask = np.zeros((30, 40), np.uint8)
                mask[4 : 4 + size, 5 : 5 + size] = label
                write_mask(mask_path(folder, f"{kind}/{name}"), mask)
            score = len(qualities) / 10
            qualities.append(Quality(f"{kind}/{name}", kind, score, score, None, 1.0, None, 0.25, 1, 0.0))
    for folder in (run.coarse, *map(run.enhanced, range(3)), run.quality(2)):
        write_json(folder / "done.json", {"key": "k", "settings": {}, "inputs": ["k"], "seconds": 1.0})
    write_quality(run.quality(2) / "quality.csv", qualities)
    write_json(run.round(2) / "filter.json", {"cat/a": "foreground 0.4 % is below 1 %"})
    usable = {str(path): size_and_time(path) for path in (tmp_path / "photos").rglob("*.png")}
    record = {
        "data": str(tmp_path / "photos"),
        "classes": ["background", "cat", "dog"],
        "usable": usable,
        "skipped": {},
    }
    write_json(run.photos, record)
    return run


@pytest.fixture
def add_network() -> Callable[[Run], TorchSegmenter]:
    """Adds a network to a run; it predicts class 2 for every pixel."""

    def add(run: Run) -> TorchSegmenter:
        config = NetworkConfig(encoder="mobilenetv2_050", encoder_weights="none", decoder_channels=16)
        network = build_network(config, 3)
        network.classify.weight.data.zero_()
        network.classify.bias.data[:] = network.classify.bias.new_tensor([0.0, 0.0, 9.0])
        made = TorchSegmenter(network, ("background", "cat", "dog"), config, 64, precision="fp32")
        made.save(run.model)
        run.config.touch()
        return made

    return add


@pytest.fixture
def open_app() -> Callable[..., TestClient]:
    """Starts the application of a run and returns a client with the headers of the page; each call is a restart."""

    def start(
        run: Run, token: str | None = None, local: bool = True, max_mb: float = 1.0, upload_seconds: float = 30.0
    ) -> TestClient:
        photo_list = PhotoList(run, read_photos(run), Review(run.review))
        network = RunNetwork(run, ServeConfig(max_mb=max_mb, upload_seconds=upload_seconds), "cpu", 1)
        app = create_app(photo_list, network, TokenAuthentication(token, 8001), local)
        return TestClient(app, base_url="http://127.0.0.1:8001", headers={CSRF_HEADER: "1"})

    return start


@pytest.fixture
def photos_of(tmp_path) -> Path:
    return tmp_path / "photos"
