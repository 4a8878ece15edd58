import numpy as np
import pytest

from coarse2fine.errors import DataError
from coarse2fine.masks.png import mask_path, write_mask
from coarse2fine.report import comparison_page
from coarse2fine.report.comparison import (
    compare_classes,
    compare_runs,
    list_different_settings,
    list_figures,
    match_classes,
    measure_iou,
)
from coarse2fine.report.comparison_page import DIFFERENCE_COLORS, draw_difference, write_comparison
from coarse2fine.report.run_summary import read_run_summary
from coarse2fine.runtime.files import write_text

NAMES = {"cat": [f"cat/{index}" for index in range(3)], "dog": ["dog/0"]}


@pytest.fixture
def two_runs(draw_run):
    """Two runs on the same photos; the second one has one round only and wrong masks of two photos."""
    first = draw_run(NAMES)
    second = draw_run({"dog": NAMES["dog"], "cat": NAMES["cat"]}, rounds=1, folder="other")  # other class indices
    for name, label in (("cat/1", 2), ("cat/2", 1)):
        mask = np.zeros((16, 24), np.uint8)
        mask[4:12, 12:18] = label  # the right half of the mask; 1 is dog in the second run
        write_mask(mask_path(second[0].enhanced(1), name), mask)
    return first, second


def summaries_of(two_runs):
    return [read_run_summary(*one) for one in two_runs]


def test_compare_runs__most_different_masks_first(two_runs):
    compared = compare_runs(*summaries_of(two_runs), threads=1)
    assert [(one.photo.name, one.iou) for one in compared.photos] == [
        ("cat/2", 0.0),  # of another class
        ("cat/1", 0.5),
        ("cat/0", 1.0),
        ("dog/0", 1.0),
    ]
    assert compared.mean_iou == 0.625 and (compared.only_first, compared.only_second) == (0, 0)
    rows = [(one.name, one.photos, one.agreement) for one in compare_classes(compared)]
    assert rows == [("cat", 3, 0.5), ("dog", 1, 1.0)]


def test_compare_runs__masks_that_cannot_be_compared_come_last(two_runs, claim_huge):
    second = two_runs[1][0]
    mask_path(second.enhanced(1), "cat/2").unlink()
    claim_huge(mask_path(second.enhanced(1), "cat/1"))
    photos = compare_runs(*summaries_of(two_runs), threads=1).photos
    assert [one.photo.name for one in photos] == ["cat/0", "dog/0", "cat/1", "cat/2"]
    assert [one.iou for one in photos] == [1.0, 1.0, None, None]
    assert photos[2].problem == "the masks differ in size: the photos of this name are not the same"


def test_compare_runs__what_cannot_be_compared(two_runs, draw_run):
    first, second = summaries_of(two_runs)
    with pytest.raises(DataError, match=r"must be compared with another one, but .*run was given twice"):
        compare_runs(first, first, 1)
    strange = read_run_summary(*draw_run({"cat": ["cow/7"]}, folder="strange"))
    with pytest.raises(DataError, match=r"run has 'cat/0', \.\.\. and .*strange has 'cow/7'"):
        compare_runs(first, strange, 1)
    for number in (0, 1):
        (second.run.enhanced(number) / "done.json").unlink()
    with pytest.raises(DataError, match="other must have masks to be compared, but has none yet"):
        compare_runs(first, read_run_summary(*two_runs[1]), 1)


def test_match_classes__by_name_else_foreground():
    own, other = match_classes(("background", "cat", "dog"), ("background", "dog", "cow", "cat"))
    assert own[[0, 1, 2, 255]].tolist() == [0, 1, 2, 0]
    assert other[[0, 1, 2, 3, 255]].tolist() == [0, 2, 254, 1, 0]
    own, other = match_classes(("background", "cat", "dog"), ("background", "foreground"))
    assert own[[0, 1, 2, 255]].tolist() == [0, 1, 1, 0] and other[[0, 1, 255]].tolist() == [0, 1, 0]


def test_measure_iou__of_classes():
    empty, one = np.zeros((2, 2), np.uint8), np.array([[1, 1], [2, 0]], np.uint8)
    assert measure_iou(one, one) == measure_iou(empty, empty) == 1
    assert measure_iou(one, np.array([[1, 2], [0, 2]], np.uint8)) == 0.25
    assert measure_iou(one, empty) == 0


def test_list_figures__values_of_both_runs(two_runs):
    figures = {name: values for name, *values in list_figures(*summaries_of(two_runs))}
    assert figures["rounds"] == [2, 1] and figures["masks compared"] == ["round 2", "round 1"]
    assert figures["metric on other photos"] == ["mIoU 0.630", "mIoU 0.620"]


def test_list_different_settings__by_full_name(two_runs):
    run = two_runs[1][0]
    write_text(run.config, run.config.read_text().replace('"box"', '"saliency"') + "crop_px = 64\n")
    assert list_different_settings(*summaries_of(two_runs)) == [
        ("rounds", 2, 1),
        ("coarse.method", "box", "saliency"),
        ("network.crop_px", None, 64),
    ]


def test_draw_difference__colors():
    layer = draw_difference(np.array([[1, 0, 1, 1, 0]], np.uint8), np.array([[0, 1, 2, 1, 0]], np.uint8))[0]
    assert [tuple(color) for color in layer[:3, :3]] == [
        DIFFERENCE_COLORS[name] for name in ("first", "second", "class")
    ]
    assert (layer[:, 3] > 0).tolist() == [True, True, True, False, False]


def test_write_comparison__is_self_contained_and_shows_both_runs(two_runs, tmp_path, read_page, monkeypatch):
    monkeypatch.setattr(comparison_page, "MAX_ROWS", 2)
    write_comparison(*summaries_of(two_runs), tmp_path / "c.html", threads=1)
    page = read_page(tmp_path / "c.html")
    text = " ".join(page.text.split())
    assert "A: run, " in text and "B: other, " in text and "0.625mean IoU of the masks of A with those of B" in text
    assert "2 of 4 are shown" in text and "cat/2 IoU 0.000, score of A 0.600" in text and "The next 2 photos" in text
    assert page.count("article") == 2 and page.count("image") == 2 * 4
    links = [value for _, attrs in page.seen for name, value in attrs.items() if name in ("src", "href")]
    assert all(link.startswith(("data:image/webp;base64,", "#")) for link in links)
    assert page.count("script") == page.count("link") == 0 and "://" not in page.text


def test_write_comparison__html_in_names_stays_text(draw_run, tmp_path, read_page):
    nasty = "<script>alert(1)</script> \"' & <b>"
    name = nasty.replace("/", "_")
    runs = [draw_run({nasty: [f"{name}/a"]}, folder=folder) for folder in ("run", "other")]
    write_comparison(*summaries_of(runs), tmp_path / "c.html", threads=1)
    page = read_page(tmp_path / "c.html")
    assert page.count("script") == page.count("b") == 0 and f"{name}/a" in page.text and nasty in page.text
