import pytest

from coarse2fine.export.validation_split import choose_validation

NAMES = [f"{folder}/{number}" for folder in ("cat", "dog") for number in range(10)]


def test_choose_validation__one_of_each_block_so_that_classes_are_even():
    chosen = choose_validation(NAMES, [None] * 20, 0.2)
    assert sorted(name.split("/")[0] for name in chosen) == ["cat", "cat", "dog", "dog"]
    assert sum(name in chosen for name in NAMES[:5]) == 1
    assert chosen == choose_validation(NAMES, [None] * 20, 0.2)


def test_choose_validation__never_the_lower_half_of_the_scores():
    scores = [0.1, 1.0, 0.2, 0.3, None] * 4
    for share in (0.05, 0.1, 0.2):
        chosen = choose_validation(NAMES, scores, share)
        assert {scores[NAMES.index(name)] for name in chosen} <= {1.0, 0.3, 0.2}
    corrected = [1.0 if index == 3 else 0.5 * (index > 10) for index in range(20)]
    assert "cat/3" in choose_validation(NAMES, corrected, 0.5)


@pytest.mark.parametrize("count, share, expected", [(1, 0.5, 0), (2, 0.01, 1), (3, 0.99, 2), (20, 0.1, 2), (20, 0, 0)])
def test_choose_validation__at_least_one_photo_on_each_side(count, share, expected):
    assert len(choose_validation(NAMES[:count], [None] * count, share)) == expected
