"""True masks: recognize how they are given, pair them with photos, and read them with the classes of the run.

Only evaluation asks for them; nothing that trains does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from coarse2fine.data.photo_files import list_photos
from coarse2fine.data.photo_mask_pairs import Pairs, read_foreground
from coarse2fine.data.photos import find_unreadable
from coarse2fine.data.public_datasets import open_public_dataset
from coarse2fine.data.voc import normalize_class_name
from coarse2fine.errors import DataError
from coarse2fine.masks.png import mask_path, read_mask
from coarse2fine.masks.regions import classes_in, foreground_mask
from coarse2fine.runtime.device import count_cores
from coarse2fine.runtime.files import hash_of
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import FOREGROUND_CLASSES, IGNORE, Dataset, Mask


@dataclass(frozen=True)
class Truth:
    """True masks to measure a run with.

    Attributes:
        masks: Folder of true masks named like the training photos' masks; none if not given.
        pairs: Photos that the run need not have seen, with their true masks; none if not given.
        foreground: Whether objects of any class are the photo's own, as in the foreground task.
    """

    masks: Path | None = None
    pairs: Pairs | None = None
    foreground: bool = False

    @property
    def key(self) -> str:
        """Fingerprint of where the truth lies."""
        places = [str(self.masks), self.pairs and [self.pairs.title, *map(str, self.pairs.masks[:1])]]
        return hash_of(places + ["foreground"] * self.foreground)


def open_truth(paths: Sequence[Path], dataset: Dataset) -> Truth:
    """Recognize truth and check that it fits the data set, before anything is computed.

    Args:
        paths: A part of a public data set (:func:`open_public_dataset`); or a folder that holds ``images`` and
            ``masks`` of other photos; or one of true masks named like the data set's photos.
        dataset: The run's photos.

    Raises:
        DataError: A path is none of these, its masks and photos do not fit together, or there are other photos twice.
    """
    truth = Truth(foreground=dataset.classes == FOREGROUND_CLASSES)
    for path in paths:
        if pairs := open_public_dataset(path) or _open_images_and_masks(path):
            if truth.pairs:
                raise DataError(
                    f"Only one set of other photos can be measured with, but {truth.pairs.title} and {pairs.title} are "
                    "given; measure with the second afterwards: coarse2fine evaluate."
                )
            _check_readable(pairs.photos)
            _check_classes(pairs, dataset)
            truth = replace(truth, pairs=pairs)
        elif known := [mask for photo in dataset.photos if (mask := mask_path(path, photo.name)).exists()]:
            _check_indices(known, dataset)
            truth = replace(truth, masks=path)
        else:
            raise DataError(
                f"A folder of truth must hold 'images' and 'masks', or true masks named like the photos, such as "
                f"{mask_path(path, dataset.photos[0].name)}, or be VOC2012, DAVIS or a folder of MIT Object Discovery; "
                f"{path} is none of these."
            )
    return truth


def pair_folders(photos: Path, masks: Path) -> Pairs:
    """Photos of one folder and their true masks of the same names in another, with the run's own class indices.

    Raises:
        DataError: There are no photos or masks, or a mask has no photo.
    """
    pairs = pair_by_name(list_photos([photos]), photos, masks)
    names = tuple(mask.relative_to(masks).with_suffix("").as_posix() for _, mask in pairs)
    return Pairs(str(masks), names, tuple(photo for photo, _ in pairs), tuple(mask for _, mask in pairs))


def pair_by_name(paths: Sequence[Path], root: Path, masks: Path) -> list[tuple[Path, Path]]:
    """Find for every mask the photo or prediction of the same relative name, with its ending or without.

    Args:
        paths: Photos or predicted masks below ``root``.
        root: Their folder.
        masks: Folder of masks, PNG.

    Returns:
        Pairs (photo or prediction, mask), sorted.

    Raises:
        DataError: There are no masks, or one has no partner: leaving it out would flatter figures.
    """
    relative = {path: path.relative_to(root) for path in paths}
    by_name = {name.with_suffix("").as_posix(): path for path, name in relative.items()}
    by_name |= {name.as_posix(): path for path, name in relative.items()}  # masks of a.jpg beside a.png
    named = {path.relative_to(masks).with_suffix("").as_posix(): path for path in sorted(masks.rglob("*.png"))}
    if not named:
        raise DataError(f"{masks} must hold masks as PNG, but has none.")
    missing = [name for name in named if name not in by_name]
    if missing:
        raise DataError(
            f"Every mask needs a partner of the same name, but {len(missing)} of {len(named)} in {masks} have "
            f"none in {root}; the first is {missing[0]}.png."
        )
    return [(by_name[name], path) for name, path in named.items()]


def measured_classes(pairs: Pairs, classes: tuple[str, ...]) -> tuple[str, ...]:
    """The classes that figures are told for: background and foreground where the true masks know no others."""
    return FOREGROUND_CLASSES if pairs.knows_foreground_only else classes


def truth_reader(pairs: Pairs, classes: tuple[str, ...]) -> Callable[[Path], Mask]:
    """What reads the true masks of ``pairs`` with the class indices of a run.

    Args:
        pairs: Photos and masks.
        classes: Names of the run by index. Classes are the same where their names are, in VOC's spelling or a usual one
            (``tv monitor`` is ``tvmonitor``).

    Returns:
        A function from a file to a mask. Classes of the truth that the run does not know are background in it; 255
        stays. Where the masks know only foreground, or the run does, it is 1.

    Raises:
        DataError: A class of the run is none of the data set's, or two are the same; of the function: a mask has a
            value that is no class of the data set.
    """
    if pairs.knows_foreground_only:
        return read_foreground
    if classes == FOREGROUND_CLASSES:
        return object_reader(pairs.masks)
    if pairs.classes is None:
        return read_mask
    table, own = _translate(pairs.title, pairs.classes, classes), pairs.classes

    def read(path: Path) -> Mask:
        mask = read_mask(path)
        if (found := classes_in(mask)) and found[-1] >= len(own):
            raise DataError(f"The true mask {path} must hold 0 to {len(own) - 1} or {IGNORE}, but holds {found[-1]}.")
        return table[mask]

    return read


def object_reader(masks: Sequence[Path]) -> Callable[[Path], Mask]:
    """What reads true masks of any classes as object, 1, and background, 0; 255 stays.

    Args:
        masks: Files of one origin. Where none of them holds a class, only 0 and 255, white is the object in all.
    """
    if masks and not any(classes_in(read_mask(path)) for path in masks):
        return read_foreground

    def read(path: Path) -> Mask:
        mask = read_mask(path)
        return np.where(mask == IGNORE, np.uint8(IGNORE), foreground_mask(mask))

    return read


def explain_unknown(pairs: Pairs, classes: tuple[str, ...]) -> str | None:
    """A sentence about what the reader should know of the figures; None where there is nothing."""
    if pairs.classes is None or FOREGROUND_CLASSES in (pairs.classes, classes):
        return pairs.remark
    known = {normalize_class_name(name) for name in classes}
    unknown = [name for name in pairs.classes[1:] if normalize_class_name(name) not in known]
    if not unknown:
        return pairs.remark
    return (
        f"{pairs.title} has classes that the network does not know and counts them as background: {', '.join(unknown)}"
    )


def _translate(title: str, true: tuple[str, ...], classes: tuple[str, ...]) -> Mask:
    """Class index of the run by that of the true masks, shape (256,)."""
    index = {normalize_class_name(name): number for number, name in enumerate(true)}
    table = np.zeros(256, np.uint8)
    table[IGNORE] = IGNORE
    for label, name in enumerate(classes[1:], start=1):
        number = index.get(normalize_class_name(name))
        if not number:
            raise DataError(
                f"Every class must be one of those of {title}, but '{name}' is not; its classes are: "
                f"{', '.join(true[1:])}."
            )
        if table[number]:
            raise DataError(f"'{classes[table[number]]}' and '{name}' are both the class {true[number]} of {title}.")
        table[number] = label
    return table


def _open_images_and_masks(path: Path) -> Pairs | None:
    there = (path / "images").is_dir() and (path / "masks").is_dir()
    return pair_folders(path / "images", path / "masks") if there else None


def _check_readable(paths: Sequence[Path]) -> None:
    if unreadable := find_unreadable(paths):
        first = unreadable[0]
        raise DataError(
            f"Every photo to measure with must be readable, but {first.path} is not ({first.reason}); mend it, or "
            "remove it and its mask."
        )


def _check_classes(pairs: Pairs, dataset: Dataset) -> None:
    if pairs.classes is None:
        _check_indices(pairs.masks, dataset)
        return
    for _ in map_threads(truth_reader(pairs, dataset.classes), pairs.masks, count_cores()):
        pass


def _check_indices(paths: Sequence[Path], dataset: Dataset) -> None:
    if dataset.classes == FOREGROUND_CLASSES:
        return
    highest = len(dataset.classes) - 1
    for path, found in zip(
        paths, map_threads(lambda path: classes_in(read_mask(path)), paths, count_cores()), strict=True
    ):
        if found and found[-1] > highest:
            raise DataError(
                f"The true mask {path} holds class index {found[-1]}, but the data set has the classes 0 to {highest} "
                f"({', '.join(dataset.classes)}); use 255 for what does not count."
            )
