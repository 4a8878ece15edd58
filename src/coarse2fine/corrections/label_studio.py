"""Corrected masks from Label Studio: its export "JSON".

Source: https://labelstud.io/guide/export, /tags/brushlabels and /tags/polygonlabels.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from coarse2fine.corrections.names import PHOTO_KEY
from coarse2fine.corrections.regions import Corrected, Shape, fill_polygon
from coarse2fine.errors import DataError
from coarse2fine.masks.run_length import decode_brush

_CHUNK = 1 << 20
_WITHOUT_PIXELS = ("choices", "rating", "textarea", "number", "taxonomy", "datetime", "pairwise")


def read_label_studio(path: Path) -> Iterator[Corrected]:
    """Every task that a person submitted; of several annotations the one that was changed last.

    Raises:
        DataError: The file is no such export, or an annotation holds what is no mask.
    """
    for number, task in enumerate(_read_items(path), start=1):
        if not isinstance(task, dict) or "data" not in task or "annotations" not in task:
            raise DataError(
                f"{path} must be an export 'JSON' of Label Studio (not JSON-MIN), whose tasks have data and "
                f"annotations, but entry {number} has not."
            )
        done = [one for one in task["annotations"] if not one.get("was_cancelled")]
        if done:
            last = max(enumerate(done), key=lambda item: (str(item[1].get("updated_at") or ""), item[0]))[1]
            name = _name_photo(task["data"])
            try:
                shapes = [_read_shape(one) for one in last.get("result", []) if one.get("type") not in _WITHOUT_PIXELS]
            except (DataError, KeyError, TypeError, ValueError, IndexError) as error:
                what = error if isinstance(error, DataError) else f"it lacks or misspells {error}"
                raise DataError(f"{path}: the annotation of {name} cannot be taken: {what}") from error
            yield Corrected(name, shapes, shapes[0].binary.shape if shapes else None)


def _name_photo(data: dict[str, Any]) -> str:
    if PHOTO_KEY in data:
        return str(data[PHOTO_KEY])
    address = str(data.get("image", ""))
    return unquote(address.partition("?d=")[2] or address.partition("?")[0])


def _read_shape(region: dict[str, Any]) -> Shape:
    value, height, width = region["value"], int(region["original_height"]), int(region["original_width"])
    labels = value.get("brushlabels") or value.get("polygonlabels")
    if not labels:
        raise DataError(
            f"masks come as brush regions and polygons with a label, but a region is of the type "
            f"'{region.get('type')}'; draw it with a brush."
        )
    if "rle" in value:
        return Shape(str(labels[0]), decode_brush(value["rle"], height, width))
    corners = [(x * width / 100, y * height / 100) for x, y in value["points"]]
    return Shape(str(labels[0]), fill_polygon(corners, height, width))


def _read_items(path: Path) -> Iterator[Any]:
    """Items of a list in JSON, one after the other."""
    decoder, text, at = json.JSONDecoder(), "", 0
    with path.open(encoding="utf-8-sig") as file:
        began = ended = False
        while not ended:
            text, at = text[at:].lstrip(" \t\r\n,"), 0
            if not began and text:
                if text[0] != "[":
                    raise DataError(f"{path} must be an export 'JSON' of Label Studio, a list of tasks.")
                began, at = True, 1
                continue
            if began and text.startswith("]"):
                return
            try:
                if not text:
                    raise ValueError
                item, at = decoder.raw_decode(text)
            except ValueError as error:
                more = file.read(max(_CHUNK, len(text)))  # doubled, so that a long task is not parsed over and over
                if not more:
                    raise DataError(f"{path} cannot be read as JSON: it ends too early, or is damaged.") from error
                text += more
            else:
                yield item
