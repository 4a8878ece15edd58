"""Fixtures that several test folders share: drawn photos, a small VOC tree, settings of a short run, tiny networks."""

import logging
import os
import shutil
import signal
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image
from torch import Tensor, nn

from coarse2fine.config import FitConfig, NetworkConfig, parse_config
from coarse2fine.data.voc import VOC_CLASSES
from coarse2fine.inference.torch_segmenter import TorchSegmenter
from coarse2fine.masks.png import mask_path, write_mask, write_soft
from coarse2fine.networks.build import build_network
from coarse2fine.types import Photo


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need an exported network as slow: making it takes 20 seconds."""
    for item in items:
        if "exported_networks" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True, scope="session")
def one_torch_thread():
    """Compute with one thread: on tiny arrays, several threads only wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def interrupts_are_not_ignored():
    """Handle SIGINT as in a terminal: a shell that starts the tests in the background lets them ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def claim_huge() -> Callable[[Path], None]:
    """Return a function that changes the header of a PNG file so that it claims to have 40,000 x 40,000 pixels."""

    def claim(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[16:24] = (40_000).to_bytes(4, "big") * 2  # width and height
        data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
        path.write_bytes(data)

    return claim


@pytest.fixture(scope="session")
def draw_squares():
    """Return a function that draws photos ``<folder>/<n>.png`` (bright squares on noise) and their soft masks."""

    def draw(folder: Path, count: int, masks: Path | None = None) -> list[Photo]:
        rng, photos = np.random.default_rng(0), []
        for index in range(count):
            image, soft = rng.integers(0, 90, (40, 48, 3), np.uint8), np.zeros((40, 48), np.float32)
            top, left = rng.integers(2, 18, 2)
            image[top : top + 18, left : left + 18] += 150
            soft[top : top + 18, left : left + 18] = 0.9
            photos.append(Photo(folder / f"{index}.png", f"v/{index}", (1,)))
            write_image(photos[-1].path, image)
            write_soft(mask_path(masks or folder / "masks", photos[-1].name), soft)
        return photos

    return draw


SHORT_RUN = """
rounds = 2
[coarse]
method = "box"
[enhance.grabcut]
iterations = 1
[refine]
constrain = "foreground"
threshold = 0.5
[filter]
min_share = 0.0
max_share = 1.0
[network]
encoder = "test_resnet"
encoder_weights = "none"
decoder_channels = 16
freeze_batch_norm = false
frozen_stages = 0
[train]
epochs = [1]
min_steps = [1]
batch = 6
resize_px = 48
keep_aspect = true
crop_px = 32
scale_jitter = [1.0, 1.0]
color_jitter = 0.0
optimizer = "adamw"
learning_rate = 0.003
head_learning_rate_factor = 1.0
weight_decay = 0.0005
warmup_share = 0.0
loader_workers = 0
precision = "fp32"
[predict]
flip = false
scales = [1.0]
"""


@pytest.fixture(scope="session")
def short_run() -> str:
    """Settings of a run that takes seconds on a dozen photos of 48 px, as TOML; they hold for every recipe."""
    return SHORT_RUN


@pytest.fixture(scope="session")
def settings(short_run) -> Callable[..., FitConfig]:
    """Return a function that merges the settings of a test, as TOML, into those of the short run."""
    return lambda text="": parse_config(text, "test", parse_config(short_run, "test"))


VOC_OBJECTS = {  # photo id: class and side length of each object
    "2007_000001": [("dog", 6), ("cat", 12)],
    "2007_000002": [("cat", 8), ("cat", 4)],
    "2007_000003": [("tvmonitor", 10)],
}
VOC_LISTS = {"train": ["2007_000001", "2007_000002"], "val": ["2007_000003"], "test": ["2008_000009"]}


@pytest.fixture
def voc_tree(tmp_path) -> Path:
    """``VOCdevkit/VOC2012`` with two photos of train, one of val and one of test, 40 x 30 pixels each."""
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for name, ids in VOC_LISTS.items():
        path = root / "ImageSets" / "Segmentation" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(ids) + "\n")
        for one in ids:
            write_image(root / "JPEGImages" / f"{one}.jpg", np.full((30, 40, 3), 99, np.uint8))
    for one, objects in VOC_OBJECTS.items():
        mask, text = np.zeros((30, 40), np.uint8), ""
        for index, (name, side) in enumerate(objects):
            left = 1 + 20 * index
            mask[1 : 1 + side, left : left + side] = VOC_CLASSES.index(name)
            box = f"<xmin>{left}</xmin><ymin>1</ymin><xmax>{left + side}</xmax><ymax>{1 + side}</ymax>"
            part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
            text += f"<object><name>{name}</name><bndbox>{box}</bndbox>{part}</object>"
        mask[0] = 255
        write_mask(root / "SegmentationClass" / f"{one}.png", mask)
        (root / "Annotations").mkdir(exist_ok=True)
        (root / "Annotations" / f"{one}.xml").write_text(f"<annotation>{text}</annotation>")
    return root


def write_image(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


class ByColor(nn.Module):
    """Red pixels are class 1, blue pixels class 2 if there are three classes, all others background."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.anchor = nn.Parameter(torch.zeros(1))

    def forward(self, images: Tensor) -> Tensor:
        red, green, blue = images.unbind(1)
        logits = [torch.full_like(red, 0.5), red - green, blue - green]
        return 20 * torch.stack(logits[: self.classes], dim=1)


@pytest.fixture(scope="session")
def color_segmenter() -> Callable[..., TorchSegmenter]:
    """Return a function that makes a segmenter of classes that need no training, see `ByColor`."""

    def make(classes: tuple[str, ...] = ("background", "Röte"), **options: object) -> TorchSegmenter:
        config = NetworkConfig(encoder="mobilenetv2_050", encoder_weights="none", decoder_channels=16)
        options = {"size_px": 64, "precision": "fp32", **options}
        return TorchSegmenter(ByColor(len(classes)), classes, config, **options).to("cpu")

    return make


@pytest.fixture(scope="session")
def small_segmenter() -> TorchSegmenter:
    """An untrained network of three classes with logits so far apart that rounding does not change a pixel's class.

    ``test_efficientnet`` of timm is the smallest encoder that has the operators of the supported ones: convolutions,
    depthwise convolutions, batch normalization, squeeze-and-excitation. It is exported in half the time of MobileNetV2.
    """
    config = NetworkConfig(encoder="test_efficientnet", encoder_weights="none", decoder_channels=16)
    torch.manual_seed(0)
    network = build_network(config, 3)
    with torch.no_grad():
        network.classify.weight *= 1000
    made = TorchSegmenter(network, ("background", "Röte", "blue"), config, 64, scales=(1.0, 0.5), precision="fp32")
    return made.to("cpu")


@pytest.fixture(scope="session")
def small_run(small_segmenter, tmp_path_factory) -> Path:
    """The folder of a finished run that holds nothing but the ``model`` folder of `small_segmenter`."""
    root = tmp_path_factory.mktemp("small") / "run"
    small_segmenter.save(root / "model")
    (root / "config.toml").touch()
    return root


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory) -> Path:
    """A folder that all worker processes of pytest-xdist share; without pytest-xdist, that of this session."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def exported_networks(small_segmenter, shared_folder) -> Path:
    """A folder with `small_segmenter` as ``network.pt2`` and ``network.onnx``, and the lock of both files.

    They are exported once for all worker processes, and the network is traced once for both, because tracing takes 10 s
    and the conversion to ONNX another 10 s.
    """
    folder = shared_folder / "networks"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "network.lock"):
        if not (folder / "network.onnx").exists():
            # Importing onnx takes a second, and most tests do not need it.
            from coarse2fine.export import network_graph, onnx_export, torch_export

            with pytest.MonkeyPatch.context() as patch:
                # pytest attaches a handler to this logger, for which torch would then format every step of the export.
                patch.setattr(logging.getLogger("torch.__trace"), "handlers", [])
                program = network_graph.trace_network(network_graph.copy_to_cpu(small_segmenter))
                for module in (torch_export, onnx_export):
                    patch.setattr(module, "trace_network", lambda _segmenter: program)
                assert torch_export.export_torch(small_segmenter, folder / "network.pt2") < 1e-4
                assert onnx_export.export_onnx(small_segmenter, folder / "network.onnx") < 1e-4
    return folder


@pytest.fixture(scope="session")
def small_onnx(exported_networks) -> Path:
    """`small_segmenter` as an ONNX file."""
    return exported_networks / "network.onnx"


@pytest.fixture(scope="session")
def clouds() -> list[np.ndarray]:
    """Images of odd sizes with smooth colors."""
    rng = np.random.default_rng(0)
    sizes = [(75, 101), (101, 75), (75, 101), (96, 128), (33, 47)]
    small = [rng.integers(0, 256, (5, 6, 3), np.uint8) for _ in sizes]
    return [
        np.asarray(Image.fromarray(one).resize((width, height), Image.Resampling.BICUBIC))
        for one, (height, width) in zip(small, sizes, strict=True)
    ]


@pytest.fixture
def cloud_folder(clouds, tmp_path) -> Path:
    """A folder with the images of `clouds` as photos, and one file that is no photo."""
    for index, image in enumerate(clouds):
        write_image(tmp_path / "clouds" / f"{index} ü.png", image)
    (tmp_path / "clouds" / "broken.jpg").write_text("no photo")
    return tmp_path / "clouds"


@pytest.fixture(scope="module")
def chromium():
    """A headless Chromium; without playwright or a browser, the test is skipped.

    It ends with the module, because playwright runs an event loop in this thread, which other tests could not start.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="no browser: pip install playwright")
    executable = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        except sync_api.Error as error:
            pytest.skip(f"no browser: set CHROMIUM=PATH, or run playwright install chromium ({error})")
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def check_accessibility() -> Callable[[Any], None]:
    """Return a function that checks an open page with axe-core: all rules, in a light and in a dark color scheme."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python")

    def check(page: Any) -> None:
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            results = axe.Axe().run(page)
            assert results.violations_count == 0, f"{scheme}: {results.generate_report()}"

    return check
