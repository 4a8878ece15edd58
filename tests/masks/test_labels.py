import numpy as np
import pytest

from coarse2fine.errors import DataError
from coarse2fine.masks.constraint import constrain_soft
from coarse2fine.masks.labels import (
    assign_most_probable,
    assign_nearest,
    constrain_to_labels,
    foreground_of,
    paint_foreground,
)


def test_foreground_of__ignored_pixels_of_several_labels_are_of_unknown_class():
    mask = np.array([[0, 1, 255, 3]], np.uint8)
    assert foreground_of(mask, (1,)).tolist() == [[0, 1, 0, 1]]
    assert foreground_of(mask, (1, 3)).tolist() == [[0, 1, 1, 1]]


@pytest.mark.parametrize("labels, value", [((), 0), ((2,), 2), ((1, 3), 255)])
def test_paint_foreground__class_ignore_or_background(labels, value):
    assert paint_foreground(np.array([[0, 1]], np.uint8), labels).tolist() == [[0, value]]


# Four pixels; rows are background and the classes 1, 2, 3.
PROBABILITIES = np.array([[0.3, 0.3, 0.6, 0.1], [0.25, 0.1, 0.2, 0.1], [0.2, 0.4, 0.1, 0.7], [0.25, 0.2, 0.1, 0.1]])[
    :, np.newaxis
].astype(np.float32)


@pytest.mark.parametrize(
    "rule, foreground",
    [("label", [0, 0, 0, 0]), ("pair", [1, 0, 0, 1]), ("foreground", [1, 1, 0, 1])],
)
def test_constrain_to_labels__several_labels_count_as_one_class(rule, foreground):
    soft = constrain_to_labels(PROBABILITIES, (1, 3), rule, 0.5)
    assert (soft > 0.5).astype(int).tolist() == [foreground]


def test_constrain_to_labels__the_most_probable_class_may_be_any_of_them():
    soft = constrain_to_labels(PROBABILITIES, (1, 2), "label", 0.5)
    assert (soft > 0.5).astype(int).tolist() == [[0, 1, 0, 1]]


@pytest.mark.parametrize("rule", ["label", "pair", "foreground"])
def test_constrain_to_labels__one_label_is_the_plain_rule(rule):
    assert (constrain_to_labels(PROBABILITIES, (2,), rule, 0.6) == constrain_soft(PROBABILITIES, 2, rule, 0.6)).all()


def test_constrain_to_labels__an_unknown_class_is_an_error():
    with pytest.raises(DataError, match="1 to 3, found 4"):
        constrain_to_labels(PROBABILITIES, (1, 4), "label", 0.5)


def test_assign_most_probable__only_classes_of_the_photo():
    binary = np.array([[1, 1, 0, 1]], np.uint8)
    assert assign_most_probable(binary, PROBABILITIES, (1, 3)).tolist() == [[1, 3, 0, 1]]
    assert assign_most_probable(binary, PROBABILITIES, (3,)).tolist() == [[3, 3, 0, 3]]
    assert assign_most_probable(np.ones((2, 8), np.uint8), PROBABILITIES, (1, 3)).shape == (2, 8)


def test_assign_nearest__new_foreground_takes_the_class_beside_it():
    mask = np.array([[1, 0, 0, 0, 0, 3], [1, 1, 0, 0, 0, 3]], np.uint8)
    binary = np.array([[1, 1, 1, 1, 1, 1], [0, 1, 1, 0, 1, 1]], np.uint8)
    assert assign_nearest(binary, mask, (1, 3)).tolist() == [[1, 1, 1, 3, 3, 3], [0, 1, 1, 0, 3, 3]]
    unknown = np.where(mask > 0, 255, 0).astype(np.uint8)
    assert (assign_nearest(binary, unknown, (1, 3)) == 255 * binary).all()
    assert (assign_nearest(binary, mask, (2,)) == 2 * binary).all()
    assert not assign_nearest(0 * binary, 0 * mask, (1, 3)).any()
