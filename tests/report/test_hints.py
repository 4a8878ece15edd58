from pathlib import Path

from coarse2fine.report.hints import explain_small_classes, find_hints
from coarse2fine.report.run_summary import read_run_summary
from coarse2fine.runtime.files import write_json
from coarse2fine.types import Dataset, Photo


def hints_of(run, dataset) -> str:
    return "\n".join(find_hints(read_run_summary(run, dataset)))


def test_find_hints__nothing_unusual_gives_no_hints(draw_run):
    names = {"cat": [f"cat/{index:02}" for index in range(25)]}
    assert hints_of(*draw_run(names, measured=False)) == ""


def test_find_hints__weak_and_small_classes(draw_run):
    said = hints_of(*draw_run({"cat": [f"cat/{index:02}" for index in range(25)], "dog": ["dog/0"]}, rounds=1))
    assert said == ""  # next_steps.py is about small classes
    names = {"cat": [f"cat/{index:02}" for index in range(25)], "dog": [f"dog/{index:02}" for index in range(25)]}
    assert "The masks of cat have lower scores than those of the other classes" in hints_of(*draw_run(names))


def test_explain_small_classes__few_photos_and_many_fewer_than_the_largest():
    labels = [1] * 9 + [2] * 10 + [3] * 100 + [4] * 101
    photos = tuple(Photo(Path("x.jpg"), f"x/{index}", (label,)) for index, label in enumerate(labels))
    few, rare = explain_small_classes(Dataset(("background", "a", "b", "c", "d"), photos))
    assert few.startswith("Fewer than 10 photos: a (9). ")
    assert rare.startswith("Fewer than 10 % of the photos of the largest class (101): b (10). ")
    assert (
        explain_small_classes(
            Dataset(("background", "b", "c"), tuple(Photo(p.path, p.name, (p.labels[0] - 1,)) for p in photos[9:119]))
        )
        == []
    )


def test_find_hints__many_left_out(draw_run):
    run, dataset = draw_run({"cat": [f"cat/{index:02}" for index in range(25)]})
    write_json(run.round(2) / "filter.json", {photo.name: "foreground 99 % is above 80 %" for photo in dataset.photos})
    assert "25 of 25 photos were left out after round 2" in hints_of(run, dataset)


def test_find_hints__good_masks_left_out(draw_run):
    run, dataset = draw_run({"cat": [f"cat/{index:02}" for index in range(25)]}, measured=False)
    reasons = {"cat/00": "foreground 0.1 % is below 1 %", "cat/24": "x is above 80 %"}
    write_json(run.round(2) / "filter.json", reasons)
    assert "left out" not in hints_of(run, dataset), "a single photo is not enough"
    write_json(run.round(2) / "filter.json", reasons | dict.fromkeys(("cat/22", "cat/23"), "x is above 80 %"))
    said = hints_of(run, dataset)
    assert "3 of the 4 photos left out after round 2 have masks with scores above the mean" in said
