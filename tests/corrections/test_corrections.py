import json
import math
import zipfile

import numpy as np
import pytest
import skimage.draw
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from coarse2fine.config import MaskExportConfig
from coarse2fine.corrections import check_corrections_path, import_corrections, list_corrected
from coarse2fine.corrections.annotations import AnnotatedRegion, combine_regions, rasterize_polygon
from coarse2fine.corrections.photo_names import PhotoFinder, ignore_label, sanitize_name, sanitize_path
from coarse2fine.errors import DataError
from coarse2fine.export import export_masks
from coarse2fine.masks.png import mask_path, read_mask, write_mask
from coarse2fine.masks.run_length import encode_brush
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.files import read_json, write_json, write_text
from coarse2fine.types import Dataset, Photo

CLASSES = ("background", "cat & <b>", "ünder")
NAMES = ("cat & <b>/a 1", "cat & <b>/b\x07#%", "ünder/a 1", "ünder/c")


@pytest.fixture
def dataset(tmp_path) -> Dataset:
    photos = []
    for name in NAMES:
        path = tmp_path / "data" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((12, 17, 3), np.uint8)).save(path)
        photos.append(Photo(path, name, (1 if name.startswith("cat") else 2,)))
    return Dataset(CLASSES, tuple(photos))


def random_masks(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    values = np.array([0, 1, 2, 255], np.uint8)
    return {name: rng.choice(values, (12, 17), p=rng.dirichlet(np.ones(4))) for name in NAMES}


def export(dataset: Dataset, masks: dict[str, np.ndarray], tmp_path, kind: str, instances: str = "class"):
    folder, out = tmp_path / "found", tmp_path / f"out {kind}"
    for name, mask in masks.items():
        write_mask(mask_path(folder / "masks", name), mask)
    write_json(folder / "photos.json", {photo.name: str(photo.path) for photo in dataset.photos})
    write_json(folder / "classes.json", list(dataset.classes))
    write_text(folder / "found.csv", "")
    settings = MaskExportConfig(instances=instances, images="none")
    export_masks(folder, out, kind, settings, photos=[photo.path.parent for photo in dataset.photos])
    return out


def submit(out):
    """Return the file that Label Studio exports after a person has submitted every task unchanged."""
    tasks = json.loads((out / "tasks-1.json").read_text())
    for number, task in enumerate(tasks):
        task |= {"id": number, "annotations": [{"result": task.pop("predictions")[0]["result"]}], "predictions": []}
    write_json(out / "export.json", tasks)
    return out / "export.json"


def annotate(tmp_path, photo: str, *annotations: dict, image: str | None = None):
    data = {"image": image} if image else {"photo": photo, "image": "x"}
    write_json(tmp_path / "export.json", [{"data": data, "annotations": list(annotations)}])
    return tmp_path / "export.json"


def brush(mask: np.ndarray, label: str) -> dict:
    value = {"format": "rle", "rle": encode_brush(mask), "brushlabels": [label]}
    return {"type": "brushlabels", "original_height": mask.shape[0], "original_width": mask.shape[1], "value": value}


@given(st.integers(0, 2**32 - 1), st.sampled_from(["labelstudio", "cvat"]), st.sampled_from(["class", "part"]))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_import_corrections__exported_masks_pixel_for_pixel(dataset, tmp_path_factory, seed, kind, instances):
    tmp_path = tmp_path_factory.mktemp("given")
    masks = random_masks(seed)
    out = export(dataset, masks, tmp_path, kind, instances)
    file = submit(out) if kind == "labelstudio" else out / "annotations.xml"
    import_corrections(file, dataset, tmp_path / "corrected", Console(quiet=True))
    for name, mask in masks.items():
        if kind == "labelstudio" or mask.any():
            assert np.array_equal(read_mask(mask_path(tmp_path / "corrected", name)), mask)


def test_import_corrections__voc_folder_with_other_indices(dataset, tmp_path):
    masks = {**random_masks(0), NAMES[3]: np.full((12, 17), 2, np.uint8)}
    masks[NAMES[3]][0] = 0
    out = export(dataset, masks, tmp_path, "voc")
    other = Dataset(("background", "ant", *CLASSES[1:]), dataset.photos)
    import_corrections(out / "SegmentationClass", other, tmp_path / "corrected", Console(quiet=True))
    for name, mask in masks.items():
        moved = np.where(np.isin(mask, (1, 2)), mask + 1, mask)
        assert np.array_equal(read_mask(mask_path(tmp_path / "corrected", name)), moved)


def test_import_corrections__a_folder_of_white_masks(dataset, tmp_path):
    mask = np.zeros((12, 17), np.uint8)
    mask[3:5] = 255
    Image.fromarray(mask).save(tmp_path / "white.png")
    (tmp_path / "given" / "ünder").mkdir(parents=True)
    (tmp_path / "white.png").rename(tmp_path / "given" / "ünder" / "c.png")
    import_corrections(tmp_path / "given", dataset, tmp_path / "corrected", Console(quiet=True))
    assert np.array_equal(read_mask(tmp_path / "corrected" / "ünder" / "c.png"), mask // 255 * 2)
    assert [photo.name for photo in list_corrected(dataset.photos, tmp_path / "corrected")] == ["ünder/c"]


def test_import_corrections__only_what_a_person_submitted_and_changed_last(dataset, tmp_path):
    first, second = np.zeros((12, 17), np.uint8), np.zeros((12, 17), np.uint8)
    first[0], second[1] = 1, 1
    late = {"result": [brush(second, "ünder")], "updated_at": "2024-05-02T00:00:00Z"}
    early = {"result": [brush(first, "ünder")], "updated_at": "2024-05-01T00:00:00Z"}
    dropped = {"result": [brush(first, "ünder")], "updated_at": "2024-06-01T00:00:00Z", "was_cancelled": True}
    tasks = [
        {"data": {"photo": "ünder/c"}, "annotations": [late, early, dropped]},
        {"data": {"photo": "ünder/a 1"}, "annotations": [], "predictions": [early]},
        {"data": {"photo": sanitize_path(NAMES[1])}, "annotations": [{"result": []}]},
        {"data": {"photo": "elsewhere/z"}, "annotations": [late]},
    ]
    (tmp_path / "export.json").write_text(json.dumps(tasks, indent=3))
    import_corrections(tmp_path / "export.json", dataset, tmp_path / "corrected", Console(quiet=True))
    assert np.array_equal(read_mask(mask_path(tmp_path / "corrected", "ünder/c")), second * 2)
    assert not read_mask(mask_path(tmp_path / "corrected", NAMES[1])).any()
    assert len(list_corrected(dataset.photos, tmp_path / "corrected")) == 2


def test_import_corrections__prints_what_it_imported_and_what_is_unknown(dataset, tmp_path, capsys):
    mask = np.eye(12, 17, dtype=np.uint8)
    tasks = [
        {"data": {"photo": name}, "annotations": [{"result": [brush(mask, "ünder")]}]}
        for name in ("ünder/c", *(f"z/{number}" for number in range(7)))
    ]
    write_json(tmp_path / "export.json", tasks)
    import_corrections(tmp_path / "export.json", dataset, tmp_path / "corrected", Console())
    shown = capsys.readouterr()
    assert "1 corrected masks of" in shown.out
    assert "7 corrected masks belong to no photo of the run: z/0, z/1, z/2, z/3, z/4, ..." in shown.err


def test_import_corrections__later_masks_replace_and_others_stay(dataset, tmp_path):
    for name, label in (("ünder/c", "ünder"), ("ünder/a 1", "ünder"), ("ünder/c", "cat & <b>")):
        file = annotate(tmp_path, name, {"result": [brush(np.ones((12, 17), np.uint8), label)]})
        import_corrections(file, dataset, tmp_path / "corrected", Console(quiet=True))
    assert (read_mask(tmp_path / "corrected" / "ünder" / "c.png") == 1).all()
    assert (read_mask(tmp_path / "corrected" / "ünder" / "a 1.png") == 2).all()
    import_corrections(tmp_path / "corrected", dataset, tmp_path / "corrected", Console(quiet=True))
    assert len(list_corrected(dataset.photos, tmp_path / "corrected")) == 2


def test_import_corrections__polygons(dataset, tmp_path):
    points = [[100 * x / 17, 100 * y / 12] for x, y in ((2, 3), (9, 3), (9, 8), (2, 8))]
    region = {"type": "polygonlabels", "original_height": 12, "original_width": 17}
    region["value"] = {"points": points, "polygonlabels": ["ünder"]}
    file = annotate(tmp_path, "", {"result": [region]}, image="/data/local-files/?d=any/%C3%BCnder/a%201.png")
    import_corrections(file, dataset, tmp_path / "a", Console(quiet=True))
    expected = np.zeros((12, 17), np.uint8)
    expected[3:8, 2:9] = 2
    assert np.array_equal(read_mask(tmp_path / "a" / "ünder" / "a 1.png"), expected)
    text = '<annotations><image id="0" name="ünder/a 1.png" width="17" height="12">'
    text += '<tag label="seen"/><polygon label="ünder" points="2,3;9,3;9,8;2,8" z_order="0"/></image></annotations>'
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.writestr("annotations.xml", text)
    import_corrections(tmp_path / "export.zip", dataset, tmp_path / "b", Console(quiet=True))
    assert np.array_equal(read_mask(tmp_path / "b" / "ünder" / "a 1.png"), expected)


def test_import_corrections__cvat_topmost_wins(dataset, tmp_path):
    masks = "".join(
        f'<mask label="{label}" rle="0, 4" left="1" top="2" width="2" height="2" z_order="{order}"/>'
        for label, order in (("ünder", 1), ("ignore", 0))
    )
    text = f'<annotations><image id="0" name="c.png" width="17" height="12">{masks}</image></annotations>'
    write_text(tmp_path / "export.xml", text)
    import_corrections(tmp_path / "export.xml", dataset, tmp_path / "corrected", Console(quiet=True))
    mask = read_mask(tmp_path / "corrected" / "ünder" / "c.png")
    assert (mask[2:4, 1:3] == 2).all() and mask.sum() == 8


def cvat(inner: str, size: str = 'width="17" height="12"') -> str:
    return f'<annotations><image id="0" name="ünder/c.png" {size}>{inner}</image></annotations>'


MASK = '<mask label="ünder" rle="0, 4" left="1" top="2" width="2" height="2"/>'


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("a.xml", cvat(MASK, 'width="12" height="17"'), "has 12 x 17 pixels, and the photo has 17 x 12"),
        ("a.xml", cvat(MASK.replace("ünder", "cow")), "label 'cow' must be one of the classes background, cat & <b>"),
        ("a.xml", cvat('<box label="ünder" xtl="1" ytl="1" xbr="2" ybr="2"/>'), "one is a 'box'"),
        ("a.xml", cvat(MASK.replace('left="1"', 'left="16"')), "must lie within its 17 x 12 pixels"),
        ("a.xml", cvat(MASK.replace("0, 4", "0, 5")), "must have the sum 4"),
        ("a.xml", cvat(MASK.replace('rle="0, 4"', "")), "'rle' is missing or has an unexpected value"),
        ("a.xml", cvat(MASK)[:-9], "must be an export 'CVAT for images 1.1'"),
        ("a.xml", cvat(MASK).replace("ünder/c", "ünder/z"), "1 masks belong to other photos, such as ünder/z.png"),
        ("a.xml", cvat(""), "0 masks belong to other photos"),
        ("a.zip", "no zip", "the XML file, or the zip that holds it"),
        ("a.json", '{"a": 1}', "a list of tasks"),
        ("a.json", '[{"data": {}, "annotations": []}', "is truncated or damaged"),
        ("a.json", '[{"image": "a", "mask": []}]', r"not JSON-MIN\).*entry 1 does not"),
        ("a.json", "", "cannot be read as JSON"),
    ],
)
def test_import_corrections__imports_nothing_of_a_bad_file(dataset, tmp_path, name, text, message):
    write_text(tmp_path / name, text)
    write_mask(tmp_path / "corrected" / "ünder" / "c.png", np.full((12, 17), 1, np.uint8))
    with pytest.raises(DataError, match=message):
        import_corrections(tmp_path / name, dataset, tmp_path / "corrected", Console(quiet=True))
    assert (read_mask(tmp_path / "corrected" / "ünder" / "c.png") == 1).all()


@pytest.mark.parametrize(
    "region, message",
    [
        (brush(np.ones((12, 16), np.uint8), "ünder"), "has 16 x 12 pixels, and the photo has 17 x 12"),
        (brush(np.ones((12, 17), np.uint8), "cow"), "label 'cow' must be one of the classes"),
        (
            {**brush(np.ones((12, 17), np.uint8), "ünder"), "original_width": 16},
            "has 16 x 12 pixels, and the photo has 17",
        ),
        (
            {**brush(np.ones((12, 16), np.uint8), "ünder"), "original_width": 17},
            "must encode 17 x 12 pixels in four channels",
        ),
        ({"type": "rectanglelabels", "original_height": 12, "original_width": 17, "value": {}}, "'rectanglelabels'"),
        ({"type": "brushlabels", "value": {}}, "'original_height' is missing or has an unexpected value"),
    ],
)
def test_import_corrections__refuses_a_region_that_is_not_a_mask_of_the_photo(dataset, tmp_path, region, message):
    with pytest.raises(DataError, match=message):
        file = annotate(tmp_path, "ünder/c", {"result": [region]})
        import_corrections(file, dataset, tmp_path / "c", Console(quiet=True))
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    "mask, message",
    [
        (np.ones((17, 12), np.uint8), "has 12 x 17 pixels, and the photo has 17 x 12"),
        (np.full((12, 17), 3, np.uint8), "must hold indices of the classes background, cat & <b>, ünder, but holds 3"),
    ],
)
def test_import_corrections__refuses_a_mask_of_a_folder(dataset, tmp_path, mask, message):
    write_mask(tmp_path / "given" / "ünder" / "c.png", mask)
    with pytest.raises(DataError, match=message):
        import_corrections(tmp_path / "given", dataset, tmp_path / "c", Console(quiet=True))


def test_check_corrections_path__kinds(tmp_path):
    check_corrections_path(tmp_path)
    write_text(tmp_path / "a.XML", "")
    check_corrections_path(tmp_path / "a.XML")
    write_text(tmp_path / "a.csv", "")
    for name, found in (("a.csv", "is another type of file"), ("b.json", "does not exist")):
        with pytest.raises(DataError, match=found):
            check_corrections_path(tmp_path / name)


def test_photo_finder__names_paths_and_addresses(dataset):
    finder = PhotoFinder(dataset.photos)
    by_name = {photo.name: photo for photo in dataset.photos}
    assert finder.find("ünder/a 1") is by_name["ünder/a 1"]
    assert finder.find("/root/any/ünder/a 1.png") is by_name["ünder/a 1"]
    assert finder.find("c.png") is by_name["ünder/c"]
    assert finder.find("a 1.png") is None  # two of them
    assert finder.find("z/q.png") is None
    assert finder.find(sanitize_path(NAMES[1])) is by_name[NAMES[1]]


@pytest.mark.fault("cvat-wrong-photo")
def test_photo_finder__a_folder_that_contradicts_is_another_photo(dataset):
    finder = PhotoFinder(dataset.photos)
    assert finder.find("cat & <b>/c.png") is None and finder.find("c") is None
    assert finder.find("/any/where/c.png") is None and finder.find("er/c.png") is None
    assert finder.find("data/ünder/c.png") is dataset.photos[3]  # as the folders on disk
    assert finder.find("other/ünder/c.png") is dataset.photos[3]  # another root


def test_import_corrections__a_correction_of_another_photo_is_not_imported(dataset, tmp_path, capsys):
    mask = np.ones((12, 17), np.uint8)
    tasks = [{"data": {"photo": name}, "annotations": [{"result": [brush(mask, "ünder")]}]} for name in NAMES[3:]]
    stranger = {**tasks[0], "data": {"image": "/data/local-files/?d=cat/c.png"}}
    write_json(tmp_path / "export.json", [*tasks, stranger])
    import_corrections(tmp_path / "export.json", dataset, tmp_path / "corrected", Console())
    assert "1 corrected masks belong to no photo of the run: cat/c.png" in capsys.readouterr().err
    write_json(tmp_path / "export.json", [stranger])
    with pytest.raises(DataError, match="belong to other photos, such as cat/c.png"):
        import_corrections(tmp_path / "export.json", dataset, tmp_path / "corrected", Console(quiet=True))
    write_json(tmp_path / "export.json", [{**tasks[0], "data": {"image": name}} for name in ("x/ünder/c.png", "c.png")])
    with pytest.raises(DataError, match="'x/ünder/c.png' and 'c.png' both mean this photo"):
        import_corrections(tmp_path / "export.json", dataset, tmp_path / "corrected", Console(quiet=True))


def test_sanitize_name__unchanged_or_distinct():
    assert sanitize_name("žaba & <b>\"'") == "žaba & <b>\"'"
    assert sanitize_name("a\nb").startswith("a_b-") and sanitize_name("a\nb") != sanitize_name("a\tb")
    assert sanitize_path("a\n/b") == f"{sanitize_name(chr(97) + chr(10))}/b"


def test_ignore_label__is_no_class():
    assert ignore_label(CLASSES) == "ignore"
    assert ignore_label(("background", "ignore")) == "ignore (255)"


def polygon_mask(corners: list, height: int, width: int) -> list[list[int]]:
    region = AnnotatedRegion("a", (height, width), lambda: rasterize_polygon(corners, height, width))
    return combine_regions([region], {"a": 1}, height, width).tolist()


def test_rasterize_polygon__pixels_whose_center_is_inside():
    assert polygon_mask([(0, 0), (2, 0), (2, 1), (0, 1)], 3, 3) == [[1, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert np.all(polygon_mask([(-5, -5), (9, -5), (9, 9), (-5, 9)], 3, 3))
    assert not np.any(polygon_mask([(0.6, 0), (1.4, 0), (1.4, 3), (0.6, 3)], 3, 1))
    assert polygon_mask([(0, 0), (4, 4), (0, 4)], 4, 4) == [[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]]
    assert not np.any(polygon_mask([], 2, 2)) and not np.any(polygon_mask([(0, 0), (2, 2)], 2, 2))


def test_rasterize_polygon__adjacent_polygons_share_no_pixel():
    left = polygon_mask([(0, 0), (1.5, 0), (3.5, 4), (0, 4)], 4, 5)
    right = polygon_mask([(1.5, 0), (5, 0), (5, 4), (3.5, 4)], 4, 5)
    assert (np.add(left, right) == 1).all()


def test_rasterize_polygon__every_pixel_as_skimage_has_it():
    rng = np.random.default_rng(0)
    for _ in range(20):
        corners, expected = rng.uniform(-3, 15, (7, 2)), np.zeros((11, 13), np.uint8)
        expected[skimage.draw.polygon(corners[:, 1] - 0.5, corners[:, 0] - 0.5, expected.shape)] = 1
        assert np.array_equal(polygon_mask(corners.tolist(), 11, 13), expected)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e7, 1e308])
def test_rasterize_polygon__a_corner_far_outside_is_one_sentence(bad):
    with pytest.raises(DataError, match="must be finite numbers"):
        rasterize_polygon([(0, 0), (bad, 0), (2, 2)], 3, 3)


def test_rasterize_polygon__a_zigzag_of_more_rows_than_pixels_is_refused():
    zigzag = [(0.1 * (index % 2), 3e2 * (index % 2)) for index in range(1000)]
    with pytest.raises(DataError, match="must cross at most 3000 rows .* but they cross 300000"):
        rasterize_polygon(zigzag, 300, 10)


def test_import_corrections__tasks_longer_than_a_chunk(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("coarse2fine.corrections.label_studio._CHUNK_CHARACTERS", 7)
    out = export(dataset, random_masks(1), tmp_path, "labelstudio")
    import_corrections(submit(out), dataset, tmp_path / "corrected", Console(quiet=True))
    assert len(list_corrected(dataset.photos, tmp_path / "corrected")) == 4
    assert read_json(out / "export.json")[0]["data"]["photo"]
