import unicodedata

import numpy as np
import pytest

from coarse2fine.data.mask_files import check_mask_size, list_masks, match_files, match_masks
from coarse2fine.data.photos import Header
from coarse2fine.errors import DataError
from coarse2fine.masks.png import write_mask

MASK = np.ones((2, 3), np.uint8)


def spell(form: str) -> str:
    return unicodedata.normalize(form, "caf\u00e9")


@pytest.mark.fault("mask-appledouble")
def test_list_masks__any_case_and_no_hidden_files(tmp_path):
    for name in ("x/a.png", "b.PNG", "._b.png", ".hidden/c.png", "__MACOSX/x/._a.png"):
        write_mask(tmp_path / name, MASK)
    (tmp_path / "notes.json").touch()
    assert list_masks(tmp_path) == {"b": tmp_path / "b.PNG", "x/a": tmp_path / "x/a.png"}
    assert list_masks(tmp_path / "missing") == {}


def test_list_masks__two_masks_of_one_photo(tmp_path):
    for name in ("a.png", "a.PNG"):
        write_mask(tmp_path / name, MASK)
    if len(list(tmp_path.iterdir())) == 2:  # not on a file system that ignores case
        with pytest.raises(DataError, match=r"only one mask, but .*a\.PNG and .*a\.png are two"):
            list_masks(tmp_path)


@pytest.mark.parametrize("of_photo, of_mask", [("NFC", "NFD"), ("NFD", "NFC")])
def test_match_masks__accents_composed_or_not(tmp_path, of_photo, of_mask):
    path = tmp_path / f"{spell(of_mask)}.png"
    write_mask(path, MASK)
    assert match_masks([spell(of_photo), "other"], list_masks(tmp_path)) == {spell(of_photo): path}
    photo = tmp_path / f"{spell(of_photo)}.jpg"
    assert [*match_files([photo], tmp_path, list_masks(tmp_path)).values()] == [photo]


@pytest.mark.parametrize(
    "found, turned, hint",
    [((40, 60), True, "EXIF flag"), ((40, 60), False, "make the mask anew"), ((60, 41), True, "make the mask anew")],
)
def test_check_mask_size__names_both_and_the_likely_reason(tmp_path, found, turned, hint):
    header = Header("JPEG", 60, 40, turned)
    check_mask_size((60, 40), header, tmp_path / "m.png", tmp_path / "p.jpg")
    message = rf"m\.png must have the size of its photo .*p\.jpg, but has {found[1]} x {found[0]} .* 40 x 60.*{hint}"
    with pytest.raises(DataError, match=message):
        check_mask_size(found, header, tmp_path / "m.png", tmp_path / "p.jpg")
