"""Sources of exports, with unusual masks and names: a folder as predict writes it, and a finished run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coarse2fine.config import FitConfig, dump_config
from coarse2fine.evaluation.quality_table import COLUMNS
from coarse2fine.masks.png import mask_path, write_mask
from coarse2fine.runtime.files import size_and_time, write_json, write_text
from coarse2fine.store.run import Run

CLASSES = ("background", "cat & <b>dog</b>", "žaba 蛙", *(f"class {index}" for index in range(3, 255)))
COLOR = (200, 30, 60)


def awkward_masks() -> dict[str, np.ndarray]:
    """Masks by photo name: one pixel, one row, one column, empty, full, holes, islands in holes, parts, noise."""
    rng = np.random.default_rng(0)
    ring = np.zeros((40, 60), np.uint8)
    ring[5:35, 5:55] = 1
    ring[10:30, 10:30], ring[12:28, 35:50] = 0, 0
    ring[15:20, 15:20], ring[16:18, 16:18] = 1, 254
    ring[0], ring[39, ::2] = 255, 2
    noise = rng.choice(np.array([0, 1, 2, 254, 255], np.uint8), (33, 47))
    diagonal = np.eye(19, 23, dtype=np.uint8) * np.uint8(2)
    return {
        "x/one pixel": np.full((1, 1), 1, np.uint8),
        "x/row": np.array([[0, 1, 1, 0, 2, 255, 254]], np.uint8),
        "x/column": np.array([[2], [0], [1]], np.uint8),
        "y/nothing": np.zeros((9, 8), np.uint8),
        "y/everything": np.full((8, 9), 254, np.uint8),
        "y/ring <i>&amp; \"q\" 'ü' 100%": ring,
        "x/noise #1?": noise,
        "y/diagonal": diagonal,
    }


@pytest.fixture
def masks() -> dict[str, np.ndarray]:
    return awkward_masks()


@pytest.fixture
def predicted(tmp_path, masks) -> Path:
    """A folder as ``predict`` writes it; its photos are in ``in``."""
    folder, photos, stamps = tmp_path / "found", {}, {}
    for name, mask in masks.items():
        path = tmp_path / "in" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((*mask.shape, 3), COLOR, np.uint8)).save(path)
        photos[name], stamps[name] = str(path), size_and_time(path)
        write_mask(mask_path(folder / "masks", name), mask)
    write_json(folder / "photos.json", photos)
    write_json(folder / "origin.json", {"folder": str(folder), "photos": stamps})
    write_json(folder / "classes.json", list(CLASSES))
    write_text(folder / "found.csv", "photo,class,share_of_pixels\n")
    return folder


@pytest.fixture
def finished(tmp_path) -> Run:
    """A run of one round over four photos: cat/a and cat/b, dog/a and dog/c; the filter left dog/c out."""
    run, data = Run(tmp_path / "run"), tmp_path / "data"
    usable, kept = {}, {}
    for index, name in enumerate(("cat/a", "cat/b", "dog/a", "dog/c")):
        path = data / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((10, 12, 3), 40 * index, np.uint8)).save(path)
        usable[name] = size_and_time(path)
        label = 1 if name.startswith("cat") else 2
        for number, folder in enumerate((run.coarse, run.enhanced(0), run.refined(1), run.enhanced(1))):
            mask = np.zeros((10, 12), np.uint8)
            mask[: 1 + number + index] = label
            write_mask(mask_path(folder, name), mask)
            write_json(folder / "done.json", {})
        kept[name] = "foreground 0.4 % is below 1 %" if name == "dog/c" else None
    write_json(run.round(1) / "filter.json", kept)
    write_json(run.classes, ["background", "cat", "dog"])
    write_json(
        run.photos, {"data": str(data), "classes": ["background", "cat", "dog"], "usable": usable, "skipped": {}}
    )
    write_text(run.config, dump_config(FitConfig(rounds=1)))
    return run


@pytest.fixture
def write_scores() -> Callable[[Path, list[tuple[str, float]]], None]:
    """Return a function that writes ``quality.csv`` as fit does; all values but names and scores are placeholders."""

    def write(folder: Path, scores: list[tuple[str, float]]) -> None:
        rows = [["photo", "class", "score", *COLUMNS[3:]]]
        rows += [[name, "", str(score), "", "", "1", "", "0", "1", "0"] for name, score in scores]
        write_text(folder / "quality.csv", "".join(",".join(row) + "\n" for row in rows))

    return write


@pytest.fixture
def converted_before(small_onnx, monkeypatch) -> None:
    """Replace the conversion to ONNX (20 s) by the model of `small_onnx`; all other steps of an export are done."""
    import onnx

    from coarse2fine.export import onnx_export

    monkeypatch.setattr(onnx_export, "_convert", lambda *_: onnx.load(small_onnx))
