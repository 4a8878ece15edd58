"""Photos from which nothing can be learned: a run ends without a traceback, with a mask for every photo."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import coarse2fine
from coarse2fine.masks.png import read_mask

FULL_FILTER = '[filter]\nmin_share = 0.01\nmax_share = 0.8\n[coarse]\nmethod = "{}"'


def write_image(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def draw_black(folder: Path, rng: np.random.Generator) -> None:
    for index in range(12):
        write_image(folder / "ab"[index % 2] / f"{index}.png", np.full((40, 48, 3), index, np.uint8))


def draw_one_per_class(folder: Path, rng: np.random.Generator) -> None:
    for name in "abcde":
        write_image(folder / name / "1.png", rng.integers(0, 255, (40, 48, 3), np.uint8))


def draw_equal(folder: Path, rng: np.random.Generator) -> None:
    image = rng.integers(0, 255, (40, 48, 3), np.uint8)
    for index in range(12):
        write_image(folder / "ab"[index % 2] / f"{index}.png", image)


def draw_noise_with_random_labels(folder: Path, rng: np.random.Generator) -> None:
    for index in range(12):
        write_image(folder / "ab"[rng.integers(2)] / f"{index}.png", rng.integers(0, 255, (40, 48, 3), np.uint8))


@pytest.mark.parametrize("method", ["box", "auto"])
@pytest.mark.parametrize("draw", [draw_black, draw_one_per_class, draw_equal, draw_noise_with_random_labels])
def test_fit__ends_cleanly_with_a_mask_for_every_photo(draw, method, settings, tmp_path, capsys):
    photos = tmp_path / "photos"
    draw(photos, np.random.default_rng(0))
    try:
        run = coarse2fine.fit(photos, tmp_path / "run", settings(FULL_FILTER.format(method)))
    except coarse2fine.Coarse2FineError as error:
        # The only acceptable end without a result: one sentence that says that no mask is left to train on.
        assert "Round 1 needs at least one photo to train on" in str(error) and draw is draw_black
        return
    last = run.count_rounds(2)
    names = [path.relative_to(run.coarse) for path in run.coarse.rglob("*.png")]
    assert names and all((run.enhanced(last) / name).exists() for name in names)
    assert run.report.exists() and run.model.exists() == (last > 0)
    if last < 2:
        assert f"Round {last + 1} collapsed" in " ".join(capsys.readouterr().err.split())
    assert all(read_mask(run.enhanced(last) / name).ndim == 2 for name in names)
    shutil.rmtree(run.root)
