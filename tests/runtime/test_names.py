import pytest

from coarse2fine.errors import DataError
from coarse2fine.masks.png import mask_path
from coarse2fine.runtime.files import read_json_as
from coarse2fine.runtime.names import SafeName, check_name, check_path, path_inside


@pytest.mark.parametrize("name", ["cat/1", "..a/b..", "žaba 蛙/1.2"])
def test_check_name__a_path_inside(name):
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../a", "a/../b", "a/./b", "/a", "a//b", "a/", "a\0b", "ä/" * 700 + "a", "a" * 256, "\ud800"],
)
def test_check_name__what_leads_outside_or_has_no_file(tmp_path, name):
    for use in (check_name, lambda name: path_inside(tmp_path, name), lambda name: mask_path(tmp_path, name)):
        with pytest.raises(DataError, match="A name must be a relative path inside its folder") as caught:
            use(name)
        assert len(str(caught.value)) < 500


def test_path_inside__a_link_on_the_way_is_refused_but_the_folder_may_be_one(tmp_path):
    (tmp_path / "real" / "a").mkdir(parents=True)
    (tmp_path / "folder").symlink_to(tmp_path / "real")
    assert path_inside(tmp_path / "folder", "a/b.png") == tmp_path / "folder" / "a" / "b.png"
    (tmp_path / "real" / "c").symlink_to(tmp_path / "real" / "a")
    with pytest.raises(DataError, match="folder/c must not be a link"):
        path_inside(tmp_path / "folder", "c/b.png")


@pytest.mark.parametrize("path", ["", "a\0b", "/a/" + "b" * 256, "a/" * 2048, "\ud800"])
def test_check_path__what_no_file_system_has(path):
    with pytest.raises(DataError, match="A path must be one that can exist"):
        check_path(path)


def test_check_path__anything_else():
    for path in ("/a/../b", "../a", "b" * 255, "\udcff", "a/" * 2047):
        assert check_path(path) == path


def test_read_json_as__a_name_that_leads_outside(tmp_path):
    (tmp_path / "a.json").write_text('{"../x": "y"}')
    with pytest.raises(DataError, match=r"a\.json: A name must be a relative path"):
        read_json_as(tmp_path / "a.json", dict[SafeName, str], "names")
