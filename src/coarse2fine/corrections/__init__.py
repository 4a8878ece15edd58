"""Masks that people corrected: imported once into ``<run>/corrected``, and not changed by any stage.

label_studio.py  reads the export "JSON" of Label Studio
cvat.py          reads the export "CVAT for images 1.1" of CVAT
annotations.py   regions that a person drew, and the masks that they describe
photo_names.py   names of photos and classes in labeling tools
review.py        decisions that people made in ``coarse2fine app``
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
from pydantic import FailFast, Field

from coarse2fine.corrections.annotations import AnnotatedPhoto, combine_regions, explain_bad_annotation
from coarse2fine.corrections.cvat import read_cvat
from coarse2fine.corrections.label_studio import read_label_studio
from coarse2fine.corrections.photo_names import PhotoFinder, ignore_label, sanitize_name, sanitize_path, shorten
from coarse2fine.data.mask_files import check_mask_size, list_masks, match_masks
from coarse2fine.data.photos import read_header, read_size
from coarse2fine.errors import DataError
from coarse2fine.masks.png import mask_path, read_mask, write_mask
from coarse2fine.masks.regions import classes_in, foreground_values
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.files import read_json_as
from coarse2fine.runtime.names import path_inside
from coarse2fine.types import IGNORE, Dataset, Mask, Photo

READERS = {".json": read_label_studio, ".xml": read_cvat, ".zip": read_cvat}
MAX_NAMES_SHOWN = 5

_ClassNames = Annotated[list[str], FailFast(), Field(max_length=256)]


def check_corrections_path(path: Path) -> None:
    """Check, before a long computation starts, that a path can hold corrected masks.

    Raises:
        DataError: The path does not exist, or is a file of another type.
    """
    if not path.is_dir() and not (path.is_file() and path.suffix.lower() in READERS):
        found = "is another type of file" if path.exists() else "does not exist"
        raise DataError(
            f"Corrected masks must be a folder of masks named like the photos, or an export of Label Studio (.json) or "
            f"CVAT (.xml, .zip), but {path} {found}."
        )


def import_corrections(path: Path, dataset: Dataset, folder: Path, console: Console) -> None:
    """Write the corrected masks of a folder or of a labeling tool's export to ``folder``; after an error, none of them.

    A new mask replaces an older one of the same photo. Masks of other photos stay.

    Args:
        path: A path that :func:`check_corrections_path` accepts.
        dataset: Photos and classes of the run.
        folder: The folder of corrected masks, ``<run>/corrected``.
        console: Prints how many masks were imported, and which belong to no photo of the run.

    Raises:
        DataError: The file is damaged or belongs to other photos, a mask does not fit its photo or the classes, or
            ``folder`` contains links.
    """
    if path.resolve() == folder.resolve():
        return
    unknown: list[str] = []
    names = set()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as waiting:
        for photo, mask in _read_masks(path, dataset, unknown):
            write_mask(mask_path(Path(waiting), photo.name), mask)
            names.add(photo.name)
        if not names:
            example = f", such as {unknown[0]}" if unknown else ""
            raise DataError(
                f"{path} must hold corrected masks of photos of the run, but it holds none; {len(unknown)} masks "
                f"belong to other photos{example}."
            )
        targets = {name: path_inside(folder.parent, f"{folder.name}/{name}.png") for name in sorted(names)}
        for name, target in targets.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            mask_path(Path(waiting), name).replace(target)
    console.say(f"{len(names)} corrected masks of {path} were imported to {folder}")
    if unknown:
        more = ", ..." if len(unknown) > MAX_NAMES_SHOWN else ""
        shown = ", ".join(unknown[:MAX_NAMES_SHOWN])
        console.warn(f"{len(unknown)} corrected masks belong to no photo of the run: {shown}{more}")


def list_corrected(photos: Sequence[Photo], folder: Path) -> list[Photo]:
    """Return the photos that have a corrected mask in ``folder``."""
    return [photo for photo in photos if mask_path(folder, photo.name).exists()] if folder.is_dir() else []


def _read_masks(path: Path, dataset: Dataset, unknown: list[str]) -> Iterator[tuple[Photo, Mask]]:
    """Yield photos with their corrected masks; append names that belong to no photo to ``unknown``."""
    if path.is_dir():
        yield from _read_folder(path, dataset, unknown)
        return
    finder, found = PhotoFinder(dataset.photos), dict[str, str]()
    labels = {sanitize_name(name): label for label, name in enumerate(dataset.classes)}
    labels |= {ignore_label(dataset.classes): IGNORE}
    for annotated in READERS[path.suffix.lower()](path):
        photo = finder.find(annotated.photo)
        if photo is None:
            unknown.append(shorten(annotated.photo))
            continue
        other = found.setdefault(photo.name, annotated.photo)
        if other != annotated.photo:
            raise DataError(
                f"{path} must have one correction of {photo.path}, but '{shorten(other)}' and "
                f"'{shorten(annotated.photo)}' both mean this photo; remove one of them from the export."
            )
        yield photo, _make_mask(annotated, photo, labels, path)


def _make_mask(annotated: AnnotatedPhoto, photo: Photo, labels: dict[str, int], path: Path) -> Mask:
    size = read_size(photo.path)
    _check_size(annotated.size or size, size, photo, path)
    for region in annotated.regions:
        _check_size(region.size, size, photo, path)
    try:
        return combine_regions(annotated.regions, labels, *size)
    except (DataError, KeyError, ValueError, OverflowError) as error:
        raise explain_bad_annotation(path, annotated.photo, error) from error


def _read_folder(folder: Path, dataset: Dataset, unknown: list[str]) -> Iterator[tuple[Photo, Mask]]:
    lists = [path for path in (folder / "classes.json", folder.parent / "classes.json") if path.exists()]
    classes = read_json_as(lists[0], _ClassNames, "a list of at most 256 class names") if lists else dataset.classes
    table = _match_classes(classes, dataset.classes)
    masks = list_masks(folder)
    spellings = {name: photo for photo in dataset.photos for name in (sanitize_path(photo.name), photo.name)}
    given = match_masks(spellings, masks)
    for photo, path in {spellings[name]: path for name, path in given.items()}.items():
        yield photo, _read_mask(path, photo, table, dataset.classes)
    used = {*given.values()}
    unknown += [shorten(name) for name, path in masks.items() if path not in used]


def _match_classes(given: Sequence[str], classes: Sequence[str]) -> Mask:
    """Return a table, shape (256,), from the folder's class index to the run's; 255 if the run has no such class."""
    table: Mask = np.full(256, IGNORE, np.uint8)
    for label, name in enumerate(given):
        if name in classes:
            table[label] = classes.index(name)
    return table


def _read_mask(path: Path, photo: Photo, table: Mask, classes: Sequence[str]) -> Mask:
    header = read_header(photo.path)
    check_mask_size(read_size(path), header, path, photo.path)  # before a mask is decoded that may be much larger
    mask = read_mask(path)
    check_mask_size(mask.shape, header, path, photo.path)
    if (
        foreground_values(mask) == [IGNORE] and photo.label is not None
    ):  # drawn with a tool that stores the object as white
        return np.where(mask == IGNORE, photo.label, 0).astype(np.uint8)
    unknown = [label for label in classes_in(mask) if table[label] == IGNORE]
    if unknown:
        raise DataError(f"{path} must hold indices of the classes {', '.join(classes)}, but holds {unknown[0]}.")
    converted: Mask = table[mask]
    return converted


def _check_size(found: tuple[int, ...], size: tuple[int, int], photo: Photo, path: Path) -> None:
    if tuple(found) != size:
        raise DataError(
            f"{path}: a corrected mask must have the size of its photo. The mask of {photo.path} has {found[1]} x "
            f"{found[0]} pixels, and the photo has {size[1]} x {size[0]}."
        )
