"""A run finds its photos again after a move, by another path and from an earlier version; it refuses other photos."""

from pathlib import Path

import pytest

from coarse2fine.data import open_dataset
from coarse2fine.errors import DataError
from coarse2fine.runtime.files import read_json, size_and_time, write_json
from coarse2fine.store.photos import read_photos, read_record, write_record
from coarse2fine.store.run import Run


@pytest.fixture
def run(tmp_path) -> Run:
    """A run of three photos, one of them a negative."""
    work = tmp_path / "work"
    for name in ("photos/cat/1.jpg", "photos/dog/1.jpg", "none/x.jpg"):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(name)
    run, listed = Run(work / "run"), open_dataset(work / "photos", negatives=work / "none")
    usable = {photo.name: size_and_time(photo.path) for photo in listed.photos}
    write_record(run, work / "photos", work / "none", listed.classes, 200.0, usable, {})
    return run


def names_of(run: Run) -> list[str]:
    return [photo.name for photo in read_photos(run).photos]


def test_read_photos__run_and_photos_moved_together_or_reached_by_a_link(run, tmp_path):
    assert names_of(run) == ["background/x", "cat/1", "dog/1"]
    (tmp_path / "work").rename(tmp_path / "moved")
    (tmp_path / "link").symlink_to(tmp_path / "moved")
    (tmp_path / "linked-run").symlink_to(tmp_path / "moved" / "run")
    for place in ("moved/run", "link/run", "linked-run"):
        assert names_of(Run(tmp_path / place)) == ["background/x", "cat/1", "dog/1"]


def test_read_photos__only_the_photos_moved_says_what_to_do(run, tmp_path):
    (tmp_path / "work" / "photos").rename(tmp_path / "photos")
    with pytest.raises(DataError, match="that path does not exist. Restore it, or run fit with the new place"):
        read_photos(run)


def test_read_photos__a_photo_of_another_size_is_another_photo(run, tmp_path):
    (tmp_path / "work" / "photos" / "cat" / "1.jpg").write_text("changed")
    with pytest.raises(DataError, match="only 2 of 3 are unchanged"):
        read_photos(run)


def test_read_photos__of_a_run_of_an_earlier_version(run):
    usable = {str(photo.path): size_and_time(photo.path) for photo in read_photos(run).photos}
    record = {key: value for key, value in read_json(run.photos).items() if not key.endswith("_from_run")}
    write_json(run.photos, record | {"usable": usable})
    assert names_of(run) == ["background/x", "cat/1", "dog/1"]


def test_record__lies_at_its_folder_by_any_path_and_any_table_in_it(run, tmp_path):
    record = read_record(run)
    (tmp_path / "link").symlink_to(tmp_path / "work")
    assert record.lies_at(tmp_path / "link" / "photos") and record.lies_at(tmp_path / "work/photos/table.csv")
    assert not record.lies_at(tmp_path / "work")


@pytest.mark.parametrize("text", ["[]", "{}", "3", '{"data": 1}', '{"data": "x", "classes": 3, "usable": []}'])
def test_read_record__json_of_the_wrong_kind(run, text):
    Path(run.photos).write_text(text)
    with pytest.raises(DataError, match=r"photos\.json must hold the photos of a run"):
        read_photos(run)
