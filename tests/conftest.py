"""Settings and photos for all tests."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from coarse2fine.store import mask_path, write_soft
from coarse2fine.types import Photo


@pytest.fixture(autouse=True, scope="session")
def one_torch_thread():
    """Tiny arrays: threads would only wait for each other, most of all on busy machines."""
    torch.set_num_threads(1)


@pytest.fixture
def cpu_as_gpu():
    """What finds the CPU where settings ask for a GPU: the same tensors, another place."""
    return lambda config: torch.device("cpu") if config.works_in_batches else None


@pytest.fixture
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


def write_image(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
