"""What a repeated fit reads again, and what it takes for another photo."""

import os
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from coarse2fine.data import open_dataset, photos
from coarse2fine.pipeline.checks import prepare_run_folder
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.files import read_json, size_and_time, write_json
from coarse2fine.store.fingerprints import describe_photos
from coarse2fine.store.run import Run


@pytest.fixture
def prepare(tmp_path, settings, monkeypatch):
    """Return a function that prepares the run folder, and returns the fingerprint and the photos that were decoded."""
    decoded: list[str] = []
    read_image = photos.read_image
    monkeypatch.setattr(photos, "read_image", lambda path, *rest: decoded.append(path.name) or read_image(path, *rest))

    def prepare() -> tuple[str, list[str]]:
        decoded.clear()
        folder, run = tmp_path / "photos", Run(tmp_path / "run")
        dataset = prepare_run_folder(
            folder, open_dataset(folder), run, settings(), Context(console=Console(quiet=True))
        )
        return describe_photos(dataset.photos), sorted(decoded)

    return prepare


def draw(path: Path, color: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 16), color).save(path)


@pytest.mark.fault("stale-photo")
def test_prepare_run_folder__replaced_photos_of_the_same_size(tmp_path, prepare):
    first, second = (tmp_path / "photos" / "cat" / f"{index}.bmp" for index in range(2))
    for path in (first, second):
        draw(path, "red")
    before, decoded = prepare()
    assert decoded == ["0.bmp", "1.bmp"]
    assert prepare() == (before, [])
    os.utime(first)
    assert prepare() == (before, [])  # read for its hash, but not decoded
    status = first.stat()
    draw(first, "blue")
    os.utime(first, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert first.stat().st_size == status.st_size
    after, decoded = prepare()
    assert after != before and decoded == ["0.bmp"]


def test_prepare_run_folder__of_an_earlier_version_goes_on_after_its_photos_were_touched(tmp_path, prepare):
    """Such a run counts photos by size, and may have a class name with decomposed accents."""
    for name in ("Ka\u0308fer", "dog"):
        draw(tmp_path / "photos" / name / "1.bmp", "red")
    prepare()
    record = read_json(Run(tmp_path / "run").photos)
    usable = {name: size_and_time(tmp_path / "photos" / f"{name}.bmp") for name in record["usable"]}
    classes = [unicodedata.normalize("NFD", name) for name in record["classes"]]
    write_json(Run(tmp_path / "run").photos, record | {"usable": usable, "classes": classes})
    before, decoded = prepare()
    assert decoded == []
    for path in (tmp_path / "photos").rglob("*.bmp"):
        os.utime(path, ns=(1, 1))
    assert prepare()[0] == before
