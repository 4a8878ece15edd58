"""Masks that people corrected: brought home once, kept in ``<run>/corrected``, and left as they are by every stage.

names.py         under which photos and classes travel and find home
shapes.py        what a person drew, and the mask it makes
label_studio.py  export "JSON"
cvat.py          export "CVAT for images 1.1"
"""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from coarse2fine.corrections.cvat import read_cvat
from coarse2fine.corrections.label_studio import read_label_studio
from coarse2fine.corrections.names import PhotoFinder, name_ignored, plain_path, plain_text
from coarse2fine.corrections.regions import Corrected, paint_shapes
from coarse2fine.data.photos import read_size
from coarse2fine.errors import DataError
from coarse2fine.masks.png import mask_path, read_mask, write_mask
from coarse2fine.masks.regions import classes_in, foreground_values
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.files import read_json
from coarse2fine.types import IGNORE, Dataset, Mask, Photo

READERS = {".json": read_label_studio, ".xml": read_cvat, ".zip": read_cvat}
NAMES_SHOWN = 5


def check_given(path: Path) -> None:
    """Find out before hours are spent whether a path may hold corrected masks.

    Raises:
        DataError: There is nothing, or it is of another kind.
    """
    if not path.is_dir() and not (path.is_file() and path.suffix.lower() in READERS):
        found = "it is another kind of file" if path.exists() else "there is no such file or folder"
        raise DataError(
            f"Corrected masks come from a folder of masks named like the photos, an export of Label Studio (.json) or "
            f"of CVAT (.xml, .zip), but of {path} {found}."
        )


def bring_home(path: Path, dataset: Dataset, folder: Path, console: Console) -> None:
    """Write the corrected masks of a folder or of a labeling tool's export to ``folder``, all of them or none.

    A photo's new mask replaces an older one; those of other photos stay.

    Args:
        path: What :func:`check_given` takes.
        dataset: The run's photos and classes.
        folder: Where masks are kept: ``<photo>.png``.
        console: Told how many there are, and which belong to no photo.

    Raises:
        DataError: The file is damaged, belongs to other photos, or a mask does not fit its photo or the classes.
    """
    if path.resolve() == folder.resolve():
        return
    strangers: list[str] = []
    waiting = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(waiting, ignore_errors=True)
    names = set()
    for photo, mask in _read_all(path, dataset, strangers):
        write_mask(mask_path(waiting, photo.name), mask)
        names.add(photo.name)
    if not names:
        hint = f", such as {strangers[0]}" if strangers else ""
        raise DataError(
            f"{path} must hold corrected masks of the run's photos, but {len(strangers)} are of others{hint}."
        )
    for name in names:
        mask_path(folder, name).parent.mkdir(parents=True, exist_ok=True)
        mask_path(waiting, name).replace(mask_path(folder, name))
    shutil.rmtree(waiting)
    console.say(f"{len(names)} corrected masks from {path} are kept in {folder}")
    if strangers:
        more = ", ..." if len(strangers) > NAMES_SHOWN else ""
        console.warn(f"{len(strangers)} belong to no photo of the run: {', '.join(strangers[:NAMES_SHOWN])}{more}")


def list_corrected(photos: Sequence[Photo], folder: Path) -> list[Photo]:
    """Photos whose mask a person corrected."""
    return [photo for photo in photos if mask_path(folder, photo.name).exists()] if folder.is_dir() else []


def _read_all(path: Path, dataset: Dataset, strangers: list[str]) -> Iterator[tuple[Photo, Mask]]:
    if path.is_dir():
        yield from _read_folder(path, dataset, strangers)
        return
    finder = PhotoFinder(dataset.photos)
    labels = {plain_text(name): label for label, name in enumerate(dataset.classes)} | {
        name_ignored(dataset.classes): IGNORE
    }
    for found in READERS[path.suffix.lower()](path):
        photo = finder.find(found.photo)
        if photo is None:
            strangers.append(found.photo)
        else:
            yield photo, _paint(found, photo, labels, path)


def _paint(found: Corrected, photo: Photo, labels: dict[str, int], path: Path) -> Mask:
    size = read_size(photo.path)
    _check_size(found.size or size, size, photo, path)
    for shape in found.shapes:
        _check_size(shape.binary.shape, size, photo, path)
    try:
        return paint_shapes(found.shapes, labels, *size)
    except DataError as error:
        raise DataError(f"{path}: the annotation of {found.photo} cannot be taken: {error}.") from error


def _read_folder(folder: Path, dataset: Dataset, strangers: list[str]) -> Iterator[tuple[Photo, Mask]]:
    places = [place for place in (folder / "classes.json", folder.parent / "classes.json") if place.exists()]
    table = _match_classes(tuple(read_json(places[0])) if places else dataset.classes, dataset.classes)
    masks = {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.png"))}
    for photo in dataset.photos:
        path = masks.pop(photo.name, None) or masks.pop(plain_path(photo.name), None)
        if path is not None:
            yield photo, _read_mask(path, photo, table, dataset.classes)
    strangers += sorted(masks)


def _match_classes(given: Sequence[str], classes: Sequence[str]) -> Mask:
    """The run's class index by the folder's; 255 where there is none."""
    table: Mask = np.full(256, IGNORE, np.uint8)
    for label, name in enumerate(given):
        if name in classes:
            table[label] = classes.index(name)
    return table


def _read_mask(path: Path, photo: Photo, table: Mask, classes: Sequence[str]) -> Mask:
    mask = read_mask(path)
    _check_size(mask.shape, read_size(photo.path), photo, path)
    if foreground_values(mask) == [IGNORE]:  # a tool that paints the object white
        return np.where(mask == IGNORE, photo.label, 0).astype(np.uint8)
    unknown = [label for label in classes_in(mask) if table[label] == IGNORE]
    if unknown:
        raise DataError(f"{path} must hold indices of the classes {', '.join(classes)}, but holds {unknown[0]}.")
    converted: Mask = table[mask]
    return converted


def _check_size(found: tuple[int, ...], size: tuple[int, int], photo: Photo, path: Path) -> None:
    if tuple(found) != size:
        raise DataError(
            f"{path}: a corrected mask must have the size of its photo, but that of {photo.path} has {found[1]} x "
            f"{found[0]} pixels, and the photo {size[1]} x {size[0]}."
        )
