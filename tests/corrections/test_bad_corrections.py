"""Corrected masks in files of strangers: every bad one is one sentence, nothing is imported, and memory is bounded."""

import json
import os
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from coarse2fine.corrections import import_corrections
from coarse2fine.corrections.annotations import MAX_REGIONS
from coarse2fine.errors import DataError
from coarse2fine.masks.png import read_mask, write_mask
from coarse2fine.masks.run_length import encode_brush
from coarse2fine.runtime.console import Console
from coarse2fine.types import Dataset, Photo

HEIGHT, WIDTH = 12, 17
CLASSES = ("background", "cat", "dog")
MEGABYTE = 1 << 20
BRUSH = encode_brush(np.eye(HEIGHT, WIDTH, dtype=np.uint8))
DEEP = "[" * 100_000


@pytest.fixture
def dataset(tmp_path) -> Dataset:
    path = tmp_path / "data" / "cat" / "a.png"
    path.parent.mkdir(parents=True)
    Image.new("RGB", (WIDTH, HEIGHT)).save(path)
    return Dataset(CLASSES, (Photo(path, "cat/a", (1,)),))


def check_refused(file: Path, dataset: Dataset, tmp_path: Path, match: str, max_bytes: int = 8 * MEGABYTE) -> None:
    """Check that an import fails with one sentence, in little memory, and changes nothing."""
    write_mask(tmp_path / "corrected" / "cat" / "a.png", np.full((HEIGHT, WIDTH), 2, np.uint8))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=match) as caught:
            import_corrections(file, dataset, tmp_path / "corrected", Console(quiet=True))
        assert tracemalloc.get_traced_memory()[1] < max_bytes
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert "\n" not in message and len(message) < 1000 and message.isprintable()
    assert (read_mask(tmp_path / "corrected" / "cat" / "a.png") == 2).all()
    assert [path.name for path in (tmp_path / "corrected").iterdir()] == ["cat"]
    assert not list(tmp_path.glob(".corrected-*"))


def region(kind: str = "brushlabels", size: tuple[Any, Any] = (HEIGHT, WIDTH), **value: Any) -> dict[str, Any]:
    content = {"format": "rle", "rle": BRUSH, "brushlabels": ["cat"]} | value
    return {"type": kind, "original_height": size[0], "original_width": size[1], "value": content}


def polygon(points: Any, size: tuple[int, int] = (HEIGHT, WIDTH)) -> dict[str, Any]:
    return region("polygonlabels", size, rle=[], brushlabels=[], polygonlabels=["cat"], points=points)


def task(*regions: Any, **annotation: Any) -> dict[str, Any]:
    return {"data": {"photo": "cat/a"}, "annotations": [{"result": list(regions), **annotation}]}


@pytest.mark.parametrize(
    "tasks, match",
    [
        ([{"data": [], "annotations": []}], "entry 1 .*'data'"),
        ([{"data": {"photo": {"a": 1}}, "annotations": []}], "'photo' in its data must be text"),
        ([{"data": {"image": 7}, "annotations": []}], "'image' in its data must be text"),
        ([{"data": {"photo": "cat/a"}, "annotations": {}}], "'annotations'"),
        ([{"data": {"photo": "cat/a"}, "annotations": [3]}], "'annotations.0'"),
        ([{"data": {"photo": "cat/a"}, "annotations": [{"result": "none"}]}], "'annotations.0.result'"),
        ([{"data": {"photo": "cat/a"}, "annotations": [{"result": [5] * 100_000}]}], "'annotations.0.result.0'"),
        ([task(region(), updated_at={"a": 1})], "'annotations.0.updated_at'"),
        ([task(region(), updated_at="yesterday")], "'annotations.0.updated_at'"),
        ([task(region(size=("high", WIDTH)))], "'original_height'"),
        ([task(region(size=(HEIGHT, None)))], "'original_width'"),
        ([task(region(size=(HEIGHT, -WIDTH)))], "'original_width'"),
        ([task(region(size=(float("inf"), WIDTH)))], "'original_height'"),
        ([task(region(size=(float("nan"), WIDTH)))], "'original_height'"),
        ([task(region(size=(10**400, WIDTH)))], "'original_height'|must have the size of its photo"),
        ([task(region(size=(32_760, 32_760)))], "has 32760 x 32760 pixels, and the photo has 17 x 12"),
        ([task(region(), region(size=(32_760, 32_760)))], "has 32760 x 32760 pixels, and the photo has 17 x 12"),
        ([task(polygon([[0, 0], [100, 0], [0, 100]], (40_000, 40_000)))], "has 40000 x 40000 pixels"),
        ([task(region(rle=10**10))], "'value.rle'"),
        ([task(region(rle="AAAA"))], "'value.rle'"),
        ([task(region(rle=[300] * 100_000))], "'value.rle.0'"),
        ([task(region(rle=[255] * 1000))], "four channels"),
        ([task(region(rle=BRUSH[:9]))], "four channels"),
        ([task(region(brushlabels=[3]))], "'value.brushlabels.0'"),
        ([task(region(brushlabels=["x\x1b[2J" * 10_000]))], "its label 'x_"),
        ([task(region(brushlabels=["\ud800"]))], "its label '_'"),
        ([task({"type": "\x07" * 9, "original_height": 12, "original_width": 17, "value": {}})], "one has the type"),
        ([task(polygon([[0, 0], [float("nan"), 0], [0, 9]]))], "'value.points.1.0'"),
        ([task(polygon([[0, 0], [float("inf"), 0], [0, 9]]))], "'value.points.1.0'"),
        ([task(polygon([[0, 0], [1e308, 0], [0, 9]]))], "must be finite numbers"),
        ([task(polygon([[0, 0, 0]] * 3))], "'value.points.0'"),
        ([task(polygon([7]))], "'value.points.0'"),
        ([task(*[region()] * (MAX_REGIONS + 1))], "at most 10000 regions"),
    ],
)
def test_import_corrections__a_bad_task_of_label_studio(dataset, tmp_path, tasks, match):
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    check_refused(tmp_path / "export.json", dataset, tmp_path, match, max_bytes=32 * MEGABYTE)


@pytest.mark.parametrize(
    "content",
    [
        b"[" + DEEP.encode(),
        b'[{"data": {"a": ' + DEEP.encode(),
        b'[{"data": \xff\xfe',
        b"[" + b"9" * 10_000 + b"]",
        "[1]".encode("utf-16"),
        b"[1, 2",
        b"\x00" * 1000,
    ],
)
def test_import_corrections__json_that_is_damaged(dataset, tmp_path, content):
    (tmp_path / "export.json").write_bytes(content)
    check_refused(tmp_path / "export.json", dataset, tmp_path, "export.json (cannot be read as|must be)")


def test_import_corrections__a_task_that_never_ends_is_not_read_to_its_end(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("coarse2fine.corrections.label_studio.MAX_TEXT", 2 * MEGABYTE)
    with (tmp_path / "export.json").open("w") as file:
        file.write('[{"data": "')
        for _ in range(64):
            file.write("a" * MEGABYTE)
    check_refused(tmp_path / "export.json", dataset, tmp_path, "at most 2097152 characters", 32 * MEGABYTE)


def test_import_corrections__times_as_text_and_numbers_are_compared_as_times(dataset, tmp_path):
    masks = [np.zeros((HEIGHT, WIDTH), np.uint8) for _ in range(4)]
    times = ["2024-05-01T00:00:00Z", 1_714_694_400, "2024-05-02T03:00:00+05:00", None]  # the second is 2024-05-03
    annotations = []
    for row, (mask, time) in enumerate(zip(masks, times, strict=True)):
        mask[row] = 1
        annotations.append({"result": [region(rle=encode_brush(mask))], "updated_at": time})
    (tmp_path / "export.json").write_text(json.dumps([{"data": {"photo": "cat/a"}, "annotations": annotations}]))
    import_corrections(tmp_path / "export.json", dataset, tmp_path / "corrected", Console(quiet=True))
    assert np.array_equal(read_mask(tmp_path / "corrected" / "cat" / "a.png"), masks[1])


def cvat(inner: str, size: str = f'width="{WIDTH}" height="{HEIGHT}"', name: str = "cat/a.png") -> str:
    return f'<?xml version="1.0"?><annotations><image name="{name}" {size}>{inner}</image></annotations>'


def cvat_mask(**changed: str) -> str:
    attributes = {"label": "cat", "rle": "0, 4", "left": "1", "top": "2", "width": "2", "height": "2"} | changed
    return f"<mask {' '.join(f'{key}={json.dumps(value)}' for key, value in attributes.items())}/>"


ENTITIES = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    "text, match",
    [
        (cvat(cvat_mask(), 'width="32760" height="32760"'), "has 32760 x 32760 pixels, and the photo has 17 x 12"),
        (cvat('<polygon label="cat" points="0,0;9,9;0,9"/>', 'width="40000" height="40000"'), "has 40000 x 40000"),
        (cvat(cvat_mask(), 'width="inf" height="12"'), "unexpected value"),
        (cvat(cvat_mask(), f'width="{"9" * 5000}" height="12"'), "unexpected value"),
        (cvat(cvat_mask(width="-2", height="-2")), "must lie within"),
        (cvat(cvat_mask(left="inf")), "unexpected value"),
        (cvat(cvat_mask(left="nan")), "unexpected value"),
        (cvat(cvat_mask(rle="0, 99999999999999999999")), "must have the sum 4"),
        (cvat(cvat_mask(rle="0, 4, -4, 4")), "must have the sum 4"),
        (cvat(cvat_mask(rle="x" * 5000)), "unexpected value"),
        (cvat(cvat_mask(z_order="top")), "unexpected value"),
        (cvat('<polygon label="cat" points="0,0;nan,9;0,9"/>'), "must be finite numbers"),
        (cvat('<polygon label="cat" points="0,0;inf,9;0,9"/>'), "must be finite numbers"),
        (cvat('<polygon label="cat" points="1,2,3"/>'), "unexpected value"),
        (cvat('<polygon label="cat"/>'), "'points' is missing"),
        (cvat('<polygon points="0,0;1,1;0,1"/>'), "'label' is missing"),
        (cvat(cvat_mask() * (MAX_REGIONS + 1)), "at most 10000 regions"),
        (ENTITIES + "<annotations/>", "it has a DOCTYPE"),
        ("<a>" * 100_000, "nested more than 100 deep"),
        ('<?xml version="1.0" encoding="no-such"?><annotations/>', "must be an export"),
        ("", "must be an export"),
        (cvat(cvat_mask(), name="cat/\x07a.png"), "must be an export"),
        (cvat(cvat_mask(), name="dog/a.png"), "belong to other photos, such as dog/a.png"),
    ],
)
def test_import_corrections__a_bad_export_of_cvat(dataset, tmp_path, text, match):
    (tmp_path / "export.xml").write_text(text)
    check_refused(tmp_path / "export.xml", dataset, tmp_path, match)


def test_import_corrections__an_attribute_that_never_ends_is_not_read_to_its_end(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("coarse2fine.corrections.cvat.MAX_TEXT", MEGABYTE)
    (tmp_path / "export.xml").write_text(cvat(cvat_mask(label="a" * 32 * MEGABYTE)))
    check_refused(
        tmp_path / "export.xml", dataset, tmp_path, "export.(xml|zip) must be .* more than 1048576 bytes for one"
    )


def zipped(tmp_path: Path, *texts: str, compression: int = zipfile.ZIP_DEFLATED, name: str = "annotations.xml") -> Path:
    path = tmp_path / "export.zip"
    with (
        zipfile.ZipFile(path, "w", compression) as archive,
        archive.open(name, "w", force_zip64=True) as file,
    ):
        for text in texts:
            file.write(text.encode())
    return path


def test_import_corrections__a_zip_bomb_is_not_inflated_to_its_end(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("coarse2fine.corrections.cvat.MAX_TEXT", MEGABYTE)
    one_attribute = zipped(tmp_path, '<annotations><image name="', *["a" * MEGABYTE] * 64)
    check_refused(one_attribute, dataset, tmp_path, "export.(xml|zip) must be .* more than 1048576 bytes for one")
    images = '<image name="b" width="1" height="1"/>' * 10_000
    check_refused(zipped(tmp_path, "<annotations>", *[images] * 10), dataset, tmp_path, "or [0-9]+ bytes in all")


def set_flag(path: Path, flag: int) -> None:
    """Set a flag bit of the only file of a zip, in both of its headers."""
    content = bytearray(path.read_bytes())
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + at] |= flag
    path.write_bytes(content)


def test_import_corrections__a_zip_that_cannot_be_read(dataset, tmp_path):
    path = zipped(tmp_path, cvat(cvat_mask()))
    set_flag(path, 1)
    check_refused(path, dataset, tmp_path, "the zip that holds it .*encrypted")
    path = zipped(tmp_path, cvat(cvat_mask()), name="other.xml")
    check_refused(path, dataset, tmp_path, "There is no item named 'annotations.xml'")
    content = bytearray(zipped(tmp_path, cvat(cvat_mask())).read_bytes())
    start = content.index(b"annotations.xml") + len("annotations.xml") + 20
    content[start : start + 40] = bytes(40)
    path.write_bytes(content)
    check_refused(path, dataset, tmp_path, "the zip that holds it")
    content = bytearray(zipped(tmp_path, cvat(cvat_mask())).read_bytes())
    for signature, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        struct.pack_into("<H", content, content.index(signature) + at, 97)
    path.write_bytes(content)
    check_refused(path, dataset, tmp_path, "the zip that holds it .*compression")


def png(width: int, height: int) -> bytes:
    """Return a gray PNG of zeros; its rows are compressed as a stream, so that a huge one is small."""
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(width + 1)) for _ in range(height)) + packer.flush()
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", rows), (b"IEND", b""))
    packed = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def test_import_corrections__a_huge_mask_is_not_decoded(dataset, tmp_path):
    (tmp_path / "given" / "cat").mkdir(parents=True)
    (tmp_path / "given" / "cat" / "a.png").write_bytes(png(6000, 6000))
    check_refused(tmp_path / "given", dataset, tmp_path, "has 6000 x 6000 pixels, and the photo has 17 x 12", MEGABYTE)


@pytest.mark.parametrize(
    "content", ['{"a": 1}', '"cat"', "[1, 2]", "7", "null", DEEP, json.dumps(["a"] * 257), "\ud800"]
)
def test_import_corrections__class_names_of_the_wrong_kind(dataset, tmp_path, content):
    write_mask(tmp_path / "given" / "cat" / "a.png", np.ones((HEIGHT, WIDTH), np.uint8))
    (tmp_path / "given" / "classes.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    check_refused(tmp_path / "given", dataset, tmp_path, r"classes.json (must hold a list|cannot be read)")


def test_import_corrections__pipes_and_devices_are_not_opened(dataset, tmp_path):
    (tmp_path / "given" / "cat").mkdir(parents=True)
    os.mkfifo(tmp_path / "given" / "cat" / "a.png")
    check_refused(tmp_path / "given", dataset, tmp_path, "not a regular file")
    (tmp_path / "given" / "cat" / "a.png").unlink()
    (tmp_path / "given" / "cat" / "a.png").symlink_to("/dev/zero")
    check_refused(tmp_path / "given", dataset, tmp_path, "not a regular file")


def test_import_corrections__masks_are_found_as_photos_are(dataset, tmp_path):
    write_mask(tmp_path / "given" / "cat" / "a.PNG", np.ones((HEIGHT, WIDTH), np.uint8))
    (tmp_path / "given" / "cat" / "._a.png").write_bytes(b"\x00\x05\x16\x07")
    import_corrections(tmp_path / "given", dataset, tmp_path / "corrected", Console(quiet=True))
    assert (read_mask(tmp_path / "corrected" / "cat" / "a.png") == 1).all()


def test_import_corrections__a_link_among_the_corrected_masks_is_not_followed(dataset, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "corrected").mkdir()
    (tmp_path / "corrected" / "cat").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "export.json").write_text(json.dumps([task(region())]))
    with pytest.raises(DataError, match="must not be a link"):
        import_corrections(tmp_path / "export.json", dataset, tmp_path / "corrected", Console(quiet=True))
    assert not list((tmp_path / "elsewhere").iterdir())
