"""Draw a run folder without any computation, and parse pages."""

import io
from collections.abc import Callable
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coarse2fine.evaluation.mask_quality import Quality
from coarse2fine.evaluation.quality_table import write_quality
from coarse2fine.masks.png import encode_mask, mask_path
from coarse2fine.runtime.files import write_json, write_text
from coarse2fine.store.run import Run
from coarse2fine.types import Dataset, Photo, Skipped

SETTINGS = """rounds = {rounds}
[coarse]
method = "box"
[enhance]
method = "grabcut"
[network]
name = "deeplabv3plus"
encoder = "resnet10t"
"""
VOID = {"meta", "line", "path", "circle", "br"}
DrawRun = Callable[..., tuple[Run, Dataset]]


class Page(HTMLParser):
    """Parse strictly: every element must be closed in its order. Keep elements, attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.seen)


@pytest.fixture
def read_page() -> Callable[[Path], Page]:
    return lambda path: Page(path.read_text(encoding="utf-8"))


@pytest.fixture
def draw_run(tmp_path) -> DrawRun:
    """Return a function that draws a run: ``draw_run(names by class, rounds, done, measured, skipped, folder)``."""

    def draw(
        names: dict[str, list[str]],
        rounds: int = 2,
        done: int | None = None,
        measured: bool = True,
        skipped: tuple[Skipped, ...] = (),
        folder: str = "run",
    ) -> tuple[Run, Dataset]:
        run, classes = Run(tmp_path / folder), ("background", *names)
        photos = tuple(
            Photo(tmp_path / "photos" / f"{label}-{index}.png", name, (label,))
            for label, group in enumerate(names.values(), start=1)
            for index, name in enumerate(group)
        )
        for photo in photos:
            photo.path.parent.mkdir(exist_ok=True)
            photo.path.write_bytes(PHOTO)
        write_text(run.config, SETTINGS.format(rounds=rounds))
        write_json(run.classes, list(classes))
        usable = {photo.name: "1" for photo in photos}
        write_json(run.photos, {"data": str(tmp_path / "photos"), "classes": classes, "usable": usable, "skipped": {}})
        draw_stage(run.coarse, photos, 1.0)
        draw_stage(run.enhanced(0), photos, 2.0)
        for number in range(1, (rounds if done is None else done) + 1):
            draw_round(run, number, photos, classes, measured)
        if done is None:
            write_text(run.model / "model.toml", "")
        return run, Dataset(classes, photos, skipped)

    return draw


@cache
def draw_mask(label: int) -> bytes:
    mask = np.zeros((16, 24), np.uint8)
    mask[4:12, 6:18] = label
    return encode_mask(mask)


def draw_photo() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (24, 16), (200, 180, 40)).save(file, format="PNG")
    return file.getvalue()


PHOTO = draw_photo()


def draw_stage(folder: Path, drawn: tuple[Photo, ...], seconds: float, **counts: object) -> None:
    for photo in drawn:
        path = mask_path(folder, photo.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(draw_mask(photo.label))
    write_json(folder / "done.json", {"key": "k", "settings": {}, "seconds": seconds, "versions": {}} | counts)


def draw_round(run: Run, number: int, photos: tuple[Photo, ...], classes: tuple[str, ...], measured: bool) -> None:
    draw_stage(run.training(number), (), 60.0, loss=1 / number, photos=len(photos))
    draw_stage(run.refined(number), photos, 3.0)
    draw_stage(run.enhanced(number), photos, 4.0)
    write_json(run.enhanced(number) / "notes.json", {photos[0].name: "unchanged: GrabCut found no foreground"})
    scores = [(index + 1) / (len(photos) + 1) for index in range(len(photos))]
    qualities = [
        Quality(photo.name, classes[photo.label], score, score, None, 1.0, None, 0.25, 1, 0.0)
        for photo, score in zip(photos, scores, strict=True)
    ]
    draw_stage(run.quality(number), (), 1.0, quality=sum(scores) / len(scores))
    write_quality(run.quality(number) / "quality.csv", qualities)
    reasons = {photo.name: None for photo in photos} | {photos[0].name: "foreground 0.4 % is below 1 %"}
    write_json(run.round(number) / "filter.json", reasons)
    figures = {"round": number, "left_out": 1}
    if measured:
        matrix = np.eye(len(classes), dtype=int) * 90 + 5
        figures |= {
            "evaluation": {
                "photos": 7,
                "mean_iou": 0.61 + number / 100,
                "pixel_accuracy": 0.9,
                "iou": {name: 0.5 + index / 1000 for index, name in enumerate(classes)},
                "confusion_matrix": matrix.tolist(),
            },
            "training_masks_iou": {"refined": 0.41, "enhanced": 0.42},
            "training_masks_measured": 5,
        }
    write_json(run.metrics(number), figures)
