"""Settings and photos for all tests."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from coarse2fine.config import NetworkConfig
from coarse2fine.data.voc import VOC_CLASSES
from coarse2fine.export.onnx import export_onnx
from coarse2fine.inference.torch_segmenter import TorchSegmenter
from coarse2fine.masks.png import mask_path, write_mask, write_soft
from coarse2fine.networks.build import build_network
from coarse2fine.types import Photo


@pytest.fixture(autouse=True, scope="session")
def one_torch_thread():
    """Tiny arrays: threads would only wait for each other, most of all on busy machines."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def draw_squares():
    """Draws photos ``<folder>/<n>.png`` of bright squares on noise, and soft masks of them below ``masks``."""

    def draw(folder: Path, count: int, masks: Path | None = None) -> list[Photo]:
        rng, photos = np.random.default_rng(0), []
        for index in range(count):
            image, soft = rng.integers(0, 90, (40, 48, 3), np.uint8), np.zeros((40, 48), np.float32)
            top, left = rng.integers(2, 18, 2)
            image[top : top + 18, left : left + 18] += 150
            soft[top : top + 18, left : left + 18] = 0.9
            photos.append(Photo(folder / f"{index}.png", f"v/{index}", 1))
            write_image(photos[-1].path, image)
            write_soft(mask_path(masks or folder / "masks", photos[-1].name), soft)
        return photos

    return draw


VOC_OBJECTS = {  # id: class and side of each object
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


@pytest.fixture(scope="session")
def small_segmenter() -> TorchSegmenter:
    """An untrained network of three classes, so sure of its random opinions that rounding does not change a pixel."""
    config = NetworkConfig(encoder="mobilenetv2_050", encoder_weights="none", decoder_channels=16)
    torch.manual_seed(0)
    network = build_network(config, 3)
    with torch.no_grad():
        network.classify.weight *= 100
    made = TorchSegmenter(network, ("background", "Röte", "blue"), config, 64, scales=(1.0, 0.5), precision="fp32")
    return made.ready(torch.device("cpu"))


@pytest.fixture(scope="session")
def small_run(small_segmenter, tmp_path_factory) -> Path:
    """The folder of a finished run: its ``model`` alone."""
    root = tmp_path_factory.mktemp("small") / "run"
    small_segmenter.save(root / "model")
    (root / "config.toml").touch()
    return root


@pytest.fixture(scope="session")
def small_onnx(small_segmenter, tmp_path_factory) -> Path:
    """The same network as ONNX."""
    path = tmp_path_factory.mktemp("small") / "network.onnx"
    assert export_onnx(small_segmenter, path) < 1e-4
    return path


@pytest.fixture(scope="session")
def clouds() -> list[np.ndarray]:
    """Photos of odd sizes with smooth colors."""
    rng = np.random.default_rng(0)
    sizes = [(75, 101), (101, 75), (75, 101), (96, 128), (33, 47)]
    small = [rng.integers(0, 256, (5, 6, 3), np.uint8) for _ in sizes]
    return [
        np.asarray(Image.fromarray(one).resize((width, height), Image.Resampling.BICUBIC))
        for one, (height, width) in zip(small, sizes, strict=True)
    ]


@pytest.fixture
def cloud_folder(clouds, tmp_path) -> Path:
    """The same as files, one of them broken."""
    for index, image in enumerate(clouds):
        write_image(tmp_path / "clouds" / f"{index} ü.png", image)
    (tmp_path / "clouds" / "broken.jpg").write_text("no photo")
    return tmp_path / "clouds"
