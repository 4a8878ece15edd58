"""Labels of photos in JSON files of other tools: COCO, FiftyOne, and JSON lines as Hugging Face writes them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from coarse2fine.errors import DataError
from coarse2fine.runtime.files import MAX_CSV_BYTES, check_regular_file, read_json_as
from coarse2fine.runtime.names import is_file
from coarse2fine.types import LABEL_SEPARATOR

Label = tuple[str, str, str]
"""Where a label stands in its file, the path of the photo, and its class names separated by `LABEL_SEPARATOR`."""

_PHOTO_KEYS = ("file_name", "path", "filename")
_LABEL_KEYS = ("label", "labels")


class _CocoImage(BaseModel):
    id: int | str
    file_name: str


class _CocoAnnotation(BaseModel):
    image_id: int | str
    category_id: int


class _CocoCategory(BaseModel):
    id: int
    name: str


class _Coco(BaseModel):
    """The parts of a COCO file that give labels of whole photos."""

    images: list[_CocoImage]
    annotations: list[_CocoAnnotation] = []
    categories: list[_CocoCategory]


class _FiftyOne(BaseModel):
    """``labels.json`` of a FiftyOneImageClassificationDataset: a class, its index or none by the name of the photo."""

    classes: list[str] | None = None
    labels: dict[str, int | str | list[int | str] | None]


def read_label_json(file: Path) -> tuple[Path, list[Label]]:
    """Read the labels of photos from a JSON file.

    Args:
        file: ``.jsonl`` with the keys ``file_name`` and ``label`` in each line (text, or a list), as in the
            ``metadata.jsonl`` of a Hugging Face data set; or ``.json`` of COCO (the labels of a photo are the
            categories of its annotations) or FiftyOne (``labels.json`` beside the folder ``data``).

    Returns:
        The folder that the paths are relative to, and the labels. A photo without annotations has an empty label.

    Raises:
        DataError: The file is damaged or holds something else.
    """
    if file.suffix.lower() == ".jsonl":
        return file.parent, list(_read_lines(file))
    values = read_json_as(file, dict[str, Any], "a JSON object of COCO or FiftyOne")
    if "labels" in values:
        return file.parent / "data", _read_fiftyone(file)
    return _read_coco(file)


def _read_lines(file: Path) -> Iterator[Label]:
    try:
        check_regular_file(file)
        if file.stat().st_size > MAX_CSV_BYTES:
            raise ValueError(f"at most {MAX_CSV_BYTES} bytes are allowed")
        with file.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _parse_line(json.loads(line), f"line {number}")
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{file} must hold a JSON object with file_name and label in each line, but cannot be read ({error})."
        ) from error


def _parse_line(values: Any, where: str) -> Label:
    photo, label = (
        [key for key in keys if isinstance(values, dict) and key in values] for keys in (_PHOTO_KEYS, _LABEL_KEYS)
    )
    if not photo or not label:
        raise ValueError(f"{where} has no file_name or no label")
    return where, str(values[photo[0]]), _join(values[label[0]], None)


def _join(value: Any, names: Sequence[str] | None) -> str:
    """Return the class names of a label: text, an index of ``names``, a list of these, or None."""
    parts = value if isinstance(value, list) else [] if value is None else [value]
    return LABEL_SEPARATOR.join(names[one] if names and isinstance(one, int) else str(one) for one in parts)


def _read_fiftyone(file: Path) -> list[Label]:
    content = read_json_as(file, _FiftyOne, "the classes and labels of FiftyOne")
    names, paths = content.classes, _index_stems(file.parent / "data")
    try:
        return [(f"label {name}", paths.get(name, name), _join(label, names)) for name, label in content.labels.items()]
    except IndexError as error:
        raise DataError(f"{file} must hold indices of its {len(names or [])} classes, but one is higher.") from error


def _index_stems(folder: Path) -> Mapping[str, str]:
    """Return the relative path of each file by its path without an ending, as FiftyOne names photos."""
    found = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.with_suffix("").as_posix(): path.as_posix() for path in reversed(found)}


def _read_coco(file: Path) -> tuple[Path, list[Label]]:
    content = read_json_as(file, _Coco, "images, annotations and categories, as COCO has them")
    names = {category.id: category.name for category in content.categories}
    labels: dict[int | str, dict[str, None]] = {image.id: {} for image in content.images}
    for annotation in content.annotations:
        if annotation.image_id not in labels or annotation.category_id not in names:
            raise DataError(
                f"{file} must hold annotations of its images and categories, but one has image_id "
                f"{annotation.image_id} and category_id {annotation.category_id}."
            )
        labels[annotation.image_id][names[annotation.category_id]] = None
    rows = [(f"image {one.id}", one.file_name, LABEL_SEPARATOR.join(labels[one.id])) for one in content.images]
    return _find_photo_folder(file, [one.file_name for one in content.images]), rows


def _find_photo_folder(file: Path, photos: Sequence[str]) -> Path:
    """Return the folder of the photos of a COCO file.

    It is the folder of the file, as Roboflow writes it, or stands beside ``annotations``: ``train2017``,
    ``images/train2017`` or ``images`` for ``instances_train2017.json``.
    """
    part, parent = file.stem.rpartition("_")[2], file.parent.parent
    folders = [file.parent, file.parent / "images", parent / "images" / part, parent / part, parent / "images"]
    return next((folder for folder in folders if photos and is_file(folder / photos[0])), file.parent)
