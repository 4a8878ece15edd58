"""Recognize ground truth and check that it fits the data set. Nothing that trains uses it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from coarse2fine.data.mask_files import check_mask_sizes, list_masks, match_masks
from coarse2fine.data.photo_mask_pairs import Pairs
from coarse2fine.data.photos import find_unreadable
from coarse2fine.errors import DataError
from coarse2fine.evaluation.ground_truth_reader import make_ground_truth_reader, make_mask_reader
from coarse2fine.evaluation.pairing import open_pairs
from coarse2fine.masks.png import mask_path, read_mask
from coarse2fine.masks.regions import classes_in
from coarse2fine.runtime.device import count_cores
from coarse2fine.runtime.files import hash_file, hash_of
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import FOREGROUND_CLASSES, Dataset


@dataclass(frozen=True)
class GroundTruth:
    """Ground-truth masks that a run is measured with.

    Attributes:
        masks: Folder of ground-truth masks named like the masks of the training photos; None if not given.
        pairs: Other photos with their ground-truth masks, usually not seen in training; None if not given.
        any_class: Whether objects of every class count as the photo's own object, as in the foreground task.
        content: Fingerprints of the names and the content of the files: masks, and photos of ``pairs``.
    """

    masks: Path | None = None
    pairs: Pairs | None = None
    any_class: bool = False
    content: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Fingerprint of everything that metrics depend on; the place of the files does not count."""
        return hash_of([*self.content, "foreground" if self.any_class else "classes"])


def open_ground_truth(paths: Sequence[Path], dataset: Dataset) -> GroundTruth:
    """Recognize ground truth and check that it fits the data set.

    Args:
        paths: Each is ground truth of other photos (:func:`~coarse2fine.evaluation.pairing.open_pairs`), or a folder
            of masks named like the photos of the data set.
        dataset: Photos of the run.

    Raises:
        DataError: A path is none of these, its masks do not fit the size of their photos or the classes, or two paths
            hold other photos.
    """
    opened = GroundTruth(any_class=dataset.classes == FOREGROUND_CLASSES)
    for path in paths:
        if pairs := open_pairs(path):
            if opened.pairs:
                raise DataError(
                    f"Only one ground truth of other photos can be given, but {opened.pairs.title} and {pairs.title} "
                    "are; measure with the second one after the run: coarse2fine evaluate."
                )
            _check_readable(pairs.photos)
            check_mask_sizes(pairs.masks, pairs.photos)
            _check_classes(pairs, dataset)
            content = hash_of(
                [pairs.names, _hash_files(pairs.masks), _hash_files(pairs.photos), *(pairs.classes or ())]
            )
            opened = replace(opened, pairs=pairs, content=(*opened.content, content))
        elif known := match_masks([photo.name for photo in dataset.photos], list_masks(path)):
            check_mask_sizes([*known.values()], [photo.path for photo in dataset.photos if photo.name in known])
            _check_indices([*known.values()], dataset)
            content = hash_of([[*known], _hash_files([*known.values()])])
            opened = replace(opened, masks=path, content=(*opened.content, content))
        else:
            raise DataError(
                f"A folder of ground truth must hold 'images' and 'masks', or masks named like the photos, such as "
                f"{mask_path(path, dataset.photos[0].name)}, or be VOC2012, DAVIS or a folder of MIT Object Discovery; "
                f"{path} is none of these."
            )
    return opened


def _hash_files(paths: Sequence[Path]) -> list[str]:
    return [*map_threads(hash_file, paths, count_cores())]


def _check_readable(paths: Sequence[Path]) -> None:
    if unreadable := find_unreadable(paths):
        first = unreadable[0]
        raise DataError(
            f"Every photo of the ground truth must be readable, but {first.path} is not ({first.reason}); repair it, "
            "or remove it and its mask."
        )


def _check_classes(pairs: Pairs, dataset: Dataset) -> None:
    if pairs.classes is None:
        make_mask_reader(pairs.masks, dataset.classes)  # raises an error if no class occurs in them
        _check_indices(pairs.masks, dataset)
        return
    for _ in map_threads(make_ground_truth_reader(pairs, dataset.classes), pairs.masks, count_cores()):
        pass  # the reader raises an error for a value that is no class


def _check_indices(paths: Sequence[Path], dataset: Dataset) -> None:
    if dataset.classes == FOREGROUND_CLASSES:
        return
    highest = len(dataset.classes) - 1
    found = map_threads(lambda path: classes_in(read_mask(path)), paths, count_cores())
    for path, indices in zip(paths, found, strict=True):
        if indices and indices[-1] > highest:
            raise DataError(
                f"The ground-truth mask {path} holds class index {indices[-1]}, but the data set has the classes 0 to "
                f"{highest} ({', '.join(dataset.classes)}); use 255 for pixels that do not count."
            )
