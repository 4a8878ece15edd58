"""Read ground-truth masks with the class indices of a run."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from coarse2fine.data.photo_mask_pairs import Pairs
from coarse2fine.data.voc import normalize_class_name
from coarse2fine.errors import DataError
from coarse2fine.masks.png import read_foreground, read_mask
from coarse2fine.masks.regions import classes_in, foreground_mask, foreground_values
from coarse2fine.types import FOREGROUND_CLASSES, IGNORE, Mask


def evaluated_classes(pairs: Pairs, classes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the classes that metrics are computed for.

    Args:
        pairs: Photos and ground-truth masks.
        classes: Class names of the network by index.

    Returns:
        ``classes``; background and foreground if the ground truth knows no other classes.
    """
    return FOREGROUND_CLASSES if pairs.knows_foreground_only else classes


def make_ground_truth_reader(pairs: Pairs, classes: tuple[str, ...]) -> Callable[[Path], Mask]:
    """Return a function that reads a ground-truth mask of ``pairs`` with the class indices of a run.

    Args:
        pairs: Photos and ground-truth masks.
        classes: Class names of the run by index. They are matched by name with the classes of the data set, in the
            spelling of VOC or another usual one (``tv monitor`` is ``tvmonitor``).

    Returns:
        A function from a file to a mask. Classes that the run does not know become background; 255 stays. If the
        ground truth or the run knows only foreground, every class becomes 1. The function raises DataError if a mask
        holds a value that is no class of the data set.

    Raises:
        DataError: A class of the run is not in the data set, two classes of the run are the same, or no class occurs in
            the masks (:func:`make_mask_reader`).
    """
    if pairs.knows_foreground_only:
        return read_foreground
    if classes == FOREGROUND_CLASSES:
        return make_foreground_reader(pairs.masks)
    if pairs.classes is None:
        return make_mask_reader(pairs.masks, classes)
    read_indices = make_mask_reader(pairs.masks, pairs.classes)
    table, known = _match_classes(pairs.title, pairs.classes, classes), len(pairs.classes)

    def read(path: Path) -> Mask:
        mask = read_indices(path)
        if (found := classes_in(mask)) and found[-1] >= known:
            raise DataError(
                f"The ground-truth mask {path} must hold 0 to {known - 1} or {IGNORE}, but holds {found[-1]}."
            )
        return table[mask]

    return read


def make_mask_reader(masks: Sequence[Path], classes: Sequence[str]) -> Callable[[Path], Mask]:
    """Return a function that reads a mask with class indices.

    Args:
        masks: Files from one source. If none of them holds a value except 0 and 255, and there is only one class, then
            255 (white) is this class in all of them.
        classes: Class names by index.

    Raises:
        DataError: No mask holds a value except 0 and 255, but there are several classes: all objects would be ignored.
    """
    if classes == FOREGROUND_CLASSES:
        return make_foreground_reader(masks)
    if not hold_white_objects(masks):
        return read_mask
    if len(classes) > 2:
        raise DataError(
            f"Masks must hold class indices, but no class occurs in {masks[0]} and those with it: they hold only 0 and "
            "255, and 255 marks pixels that do not count. Give each object the index of its class, 1 to "
            f"{len(classes) - 1} ({', '.join(classes[1:])})."
        )
    return read_foreground


def hold_white_objects(masks: Iterable[Path]) -> bool:
    """Return whether masks from one source hold only 0 and 255, as from a tool that paints objects white."""
    white = False
    for path in masks:
        values = foreground_values(read_mask(path))
        if values not in ([], [IGNORE]):
            return False
        white |= bool(values)
    return white


def make_foreground_reader(masks: Sequence[Path]) -> Callable[[Path], Mask]:
    """Return a function that reads a mask of any classes as foreground (1) and background (0); 255 stays.

    Args:
        masks: Files from one source. If none of them holds a value except 0 and 255, then 255 (white) is the foreground
            in all of them.
    """
    if hold_white_objects(masks):
        return read_foreground

    def read(path: Path) -> Mask:
        mask = read_mask(path)
        return np.where(mask == IGNORE, np.uint8(IGNORE), foreground_mask(mask))

    return read


def describe_limits(pairs: Pairs, classes: tuple[str, ...]) -> str | None:
    """Describe what limits the metrics on a data set, such as classes that the network does not know; None if nothing.

    Args:
        pairs: Photos and ground-truth masks.
        classes: Class names of the network by index.
    """
    if pairs.classes is None or FOREGROUND_CLASSES in (pairs.classes, classes):
        return pairs.remark
    known = {normalize_class_name(name) for name in classes}
    unknown = [name for name in pairs.classes[1:] if normalize_class_name(name) not in known]
    if not unknown:
        return pairs.remark
    return f"These classes of {pairs.title} are unknown to the network and count as background: {', '.join(unknown)}"


def _match_classes(title: str, names: tuple[str, ...], classes: tuple[str, ...]) -> Mask:
    """Return the class index of the run by the class index of the data set, shape (256,)."""
    index = {normalize_class_name(name): number for number, name in enumerate(names)}
    table = np.zeros(256, np.uint8)
    table[IGNORE] = IGNORE
    for label, name in enumerate(classes[1:], start=1):
        number = index.get(normalize_class_name(name))
        if not number:
            raise DataError(
                f"Every class must be a class of {title}, but '{name}' is not. The classes of {title} are: "
                f"{', '.join(names[1:])}."
            )
        if table[number]:
            raise DataError(
                f"'{classes[table[number]]}' and '{name}' are both the class {names[number]} of {title}; rename one."
            )
        table[number] = label
    return table
