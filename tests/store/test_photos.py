"""Photos that were replaced count as other photos; photos that were touched, copied or moved do not."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from coarse2fine.data import open_dataset
from coarse2fine.errors import DataError
from coarse2fine.runtime.files import read_json, size_and_time, write_json
from coarse2fine.store import photos as module
from coarse2fine.store.fingerprints import describe_photos
from coarse2fine.store.photos import (
    hash_in,
    read_photos,
    read_record,
    stamp_file,
    stamp_photos,
    write_record,
    write_stamps,
)
from coarse2fine.store.run import Run
from coarse2fine.types import Photo


@pytest.fixture
def photo(tmp_path) -> Photo:
    path = tmp_path / "photos" / "a.bmp"
    path.parent.mkdir()
    path.write_bytes(b"old pixels")
    return Photo(path, "x/a", (1,))


def replace_content(photo: Photo) -> None:
    """Write other bytes of the same number, and set the time back, as ``cp --preserve`` and archives do."""
    before = photo.path.stat()
    photo.path.write_bytes(b"new pixels")
    os.utime(photo.path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_stamp_file__a_replaced_file_of_the_same_size_and_time(photo):
    before = stamp_file(photo.path)
    replace_content(photo)
    after = stamp_file(photo.path, before)
    assert before.split()[:2] == after.split()[:2] and hash_in(before) != hash_in(after)


def test_stamp_file__an_unchanged_file_is_not_read(photo, monkeypatch):
    before = stamp_file(photo.path)
    monkeypatch.setattr(module, "hash_file", None)
    assert stamp_file(photo.path, before) == before


def test_stamp_file__of_an_earlier_version_stays_until_the_file_changes(photo):
    status = photo.path.stat()
    old = f"{status.st_size} {status.st_mtime_ns}"
    assert stamp_file(photo.path, old) == old and hash_in(old) is None
    os.utime(photo.path)
    assert hash_in(stamp_file(photo.path, old))
    assert stamp_file(photo.path.with_name("gone.bmp"), old) == "missing"


def test_describe_photos__content_counts_and_times_and_places_do_not(photo, tmp_path):
    def describe(one: Photo) -> str:
        return describe_photos([replace(one, stamp=stamp_file(one.path))])

    before = describe(photo)
    os.utime(photo.path)
    shutil.copytree(photo.path.parent, tmp_path / "copy")
    assert describe(photo) == before == describe(replace(photo, path=tmp_path / "copy" / "a.bmp"))
    replace_content(photo)
    assert describe(photo) != before


def test_stamp_photos__reads_changed_files_only(photo, tmp_path, monkeypatch):
    write_stamps(stamp_photos([photo], tmp_path / "out"), tmp_path / "out")
    other, read = replace(photo, path=photo.path.with_name("b.bmp"), name="x/b"), []
    other.path.write_bytes(b"others")
    monkeypatch.setattr(module, "hash_file", lambda path: read.append(path) or "0" * 16)
    assert [hash_in(one.stamp) != "0" * 16 for one in stamp_photos([photo, other], tmp_path / "out")] == [True, False]
    assert read == [other.path]


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


@pytest.mark.fault("moved-photos")
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


@pytest.mark.fault("moved-photos")
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
