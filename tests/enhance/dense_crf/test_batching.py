import pytest
import torch

from coarse2fine.enhance.dense_crf.batching import group_photos, locate_pixels


def test_locate_pixels__photo_by_photo_row_by_row():
    locations = locate_pixels([(2, 3), (1, 1), (2, 1)], torch.device("cpu"))
    assert locations.T.tolist() == [
        [0, 0, 0],
        [0, 0, 1],
        [0, 0, 2],
        [0, 1, 0],
        [0, 1, 1],
        [0, 1, 2],
        [1, 0, 0],
        [2, 0, 0],
        [2, 1, 0],
    ]


@pytest.mark.parametrize(
    "most, groups", [(99, [[3, 0, 2, 1]]), (7, [[3, 0], [2, 1]]), (5, [[3, 0], [2], [1]]), (1, [[3], [0], [2], [1]])]
)
def test_group_photos__fills_each_group_up_to_the_limit(most, groups):
    pixels = [4, 3, 4, 1]
    assert list(group_photos((3, 0, 2, 1), lambda group: sum(pixels[one] for one in group), most)) == groups
    assert list(group_photos((), len, most)) == []
