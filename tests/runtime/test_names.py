import pytest

from coarse2fine.errors import DataError
from coarse2fine.masks.png import mask_path
from coarse2fine.runtime.files import read_json_as
from coarse2fine.runtime.names import SafeName, check_name, path_inside


@pytest.mark.parametrize("name", ["cat/1", "..a/b..", "žaba 蛙/1.2"])
def test_check_name__a_path_inside(name):
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "../a", "a/../b", "a/./b", "/a", "a//b", "a/", "a\0b", "ä" * 1025])
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


def test_path_inside__a_part_that_no_file_system_allows(tmp_path):
    with pytest.raises(DataError, match="cannot be opened"):
        path_inside(tmp_path, f"{'a' * 300}/b")


def test_read_json_as__a_name_that_leads_outside(tmp_path):
    (tmp_path / "a.json").write_text('{"../x": "y"}')
    with pytest.raises(DataError, match=r"a\.json: A name must be a relative path"):
        read_json_as(tmp_path / "a.json", dict[SafeName, str], "names")
