import pytest

from coarse2fine.data import open_dataset
from coarse2fine.data.dataset_writer import write_dataset
from coarse2fine.errors import DataError


@pytest.fixture
def photos(tmp_path):
    files = [tmp_path / "in" / name for name in ("a/1.JPEG", "a/2.JPEG", "b/ü, 3.JPEG")]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return list(zip(("cat", "dog", "cat"), files, strict=True))


def test_write_dataset__links_are_class_folders(photos, tmp_path):
    write_dataset(photos, tmp_path / "out")
    data = open_dataset(tmp_path / "out")
    assert data.classes == ("background", "cat", "dog")
    assert [(photo.path.resolve(), photo.label) for photo in data.photos] == [
        (photos[0][1], 1),
        (photos[2][1], 1),
        (photos[1][1], 2),
    ]
    assert (tmp_path / "out/cat/1.JPEG").readlink().is_absolute()
    with pytest.raises(DataError, match="must be a new or empty folder"):
        write_dataset(photos, tmp_path / "out")


def test_write_dataset__a_table_above_the_photos(photos, tmp_path):
    write_dataset(photos, tmp_path / "in" / "table.csv")
    data = open_dataset(tmp_path / "in" / "table.csv")
    assert [(photo.path, photo.label) for photo in data.photos] == [
        (photos[0][1], 1),
        (photos[2][1], 1),
        (photos[1][1], 2),
    ]


def test_write_dataset__a_table_elsewhere_names_a_place_that_works(photos, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match=r"is not below .*out; use --out .*in/table\.csv"):
        write_dataset(photos, tmp_path / "out" / "table.csv")


def test_write_dataset__no_links_leaves_nothing_behind(photos, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(1314, "A required privilege is not held by the client")

    monkeypatch.setattr("pathlib.Path.symlink_to", refuse)
    with pytest.raises(
        DataError,
        match=r"privilege is not held.*write a manifest .* instead: --out FILE\.csv",
    ):
        write_dataset(photos, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]
