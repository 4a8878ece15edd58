"""Photos that were replaced count as other photos; photos that were only touched or copied do not."""

import os
import shutil
from dataclasses import replace

import pytest

from coarse2fine.store import photos as module
from coarse2fine.store.fingerprints import describe_photos
from coarse2fine.store.photos import hash_in, stamp_file, stamp_photos, write_stamps
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
