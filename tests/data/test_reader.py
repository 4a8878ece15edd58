from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from coarse2fine.data import reader
from coarse2fine.data.photos import read_header, read_image
from coarse2fine.data.reader import ReadOptions, plan_batches, read_batches
from coarse2fine.errors import DataError


def draw(folder: Path, sizes: list[tuple[int, int]]) -> list[Path]:
    for index, (height, width) in enumerate(sizes):
        PIL.Image.new("RGB", (width, height), (index, 0, 0)).save(folder / f"{index}.png")
    return [folder / f"{index}.png" for index in range(len(sizes))]


def first_pixel(file) -> int:
    return int(file.decode(at_least_px=8)[0, 0, 0])


def test_plan_batches__one_shape_per_batch_every_photo_once():
    shapes = {0: (32, 64), 1: (64, 32), 2: (32, 64), 3: (32, 64), 5: (64, 32)}
    assert plan_batches(shapes, 2) == [[0, 2], [3], [1, 5]]


def test_read_batches__without_shapes_no_header_is_read(tmp_path, monkeypatch):
    paths = draw(tmp_path, [(8, 9), (9, 8), (10, 10)])
    monkeypatch.setattr(reader, "read_header", None)
    batches = list(read_batches(paths, first_pixel, ReadOptions(batch_size=2, threads=2)))
    assert [list(batch.indices) for batch in batches] == [[0, 1], [2]]
    assert [list(batch.photos) for batch in batches] == [[0, 1], [2]]


def test_read_batches__a_photo_gets_its_working_shape_and_size(tmp_path):
    paths = draw(tmp_path, [(8, 9), (9, 8), (8, 9)])
    batches = list(
        read_batches(
            paths,
            lambda file: (file.shape, file.size),
            ReadOptions(8, 1),
            working_shape=lambda size: size[::-1],
        )
    )
    assert [(batch.shape, list(batch.indices)) for batch in batches] == [((8, 9), [1]), ((9, 8), [0, 2])]
    assert batches[0].photos == [((8, 9), (9, 8))]


def test_read_batches__unreadable_photos_are_reported_and_empty_batches_left_out(tmp_path):
    paths = draw(tmp_path, [(8, 9)] * 4)
    paths[1].write_bytes(paths[1].read_bytes()[:45])  # the header is complete
    paths[2].write_text("text")
    reasons: dict[int, str] = {}
    options = ReadOptions(batch_size=1, threads=1, on_skipped=reasons.__setitem__)
    batches = list(read_batches(paths, first_pixel, options, working_shape=lambda size: size))
    assert [list(batch.indices) for batch in batches] == [[0], [3]]
    assert sorted(reasons) == [1, 2] and reasons[1].startswith("truncated after 45")
    with pytest.raises(DataError, match=r"2\.png: not an image"):
        list(read_batches(paths, first_pixel, ReadOptions(8, 1), working_shape=lambda size: size))


def test_read_batches__too_many_megapixels(tmp_path):
    paths = draw(tmp_path, [(8, 9), (80, 90)])
    reasons: dict[int, str] = {}
    options = ReadOptions(8, 1, max_megapixels=0.001, on_skipped=reasons.__setitem__)
    assert [list(batch.indices) for batch in read_batches(paths, first_pixel, options)] == [[0]]
    assert reasons == {1: "90 x 80 pixels are 0.0072 megapixels, at most 0.001 are allowed"}


def test_read_batches__large_results_limit_how_far_it_reads_ahead(tmp_path):
    paths, read = draw(tmp_path, [(8, 9)]) * 20, []
    batches = read_batches(
        paths, lambda file: read.append(file.path) or 1, ReadOptions(1, threads=2), bytes_per_photo=10**9
    )
    next(batches)
    batches.close()
    assert len(read) <= 2


@pytest.mark.parametrize("size", [(1200, 1600), (999, 1501), (640, 480), (33, 1700), (1, 1)])
@pytest.mark.parametrize("ending, orientation", [("jpg", 1), ("jpg", 6), ("png", 1)])
def test_header_reduction__is_the_reduction_of_the_decoder(tmp_path, size, ending, orientation):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{ending}"
    PIL.Image.new("RGB", size[::-1]).save(path, exif=exif)
    header = read_header(path)
    for at_least_px in (1, 64, 199, 200, 201, 320, 500, 800, 801, 1600, 4000):
        reduced = -(-np.array(header.size) // header.reduction(at_least_px))
        assert read_image(path, at_least_px=at_least_px).shape[:2] == tuple(reduced)
