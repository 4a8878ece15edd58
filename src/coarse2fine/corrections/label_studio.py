"""Read corrected masks from Label Studio's export "JSON".

Source: https://labelstud.io/guide/export, /tags/brushlabels and /tags/polygonlabels.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from coarse2fine.corrections.annotations import (
    AnnotatedPhoto,
    AnnotatedRegion,
    explain_bad_annotation,
    rasterize_polygon,
)
from coarse2fine.corrections.photo_names import PHOTO_KEY
from coarse2fine.errors import DataError
from coarse2fine.masks.run_length import decode_brush

_CHUNK_CHARACTERS = 1 << 20
_WITHOUT_PIXELS = ("choices", "rating", "textarea", "number", "taxonomy", "datetime", "pairwise")


def read_label_studio(path: Path) -> Iterator[AnnotatedPhoto]:
    """Yield every task with a submitted annotation; if there are several, the one that was changed last.

    Raises:
        DataError: The file is not such an export, or an annotation has a region that is not a mask or polygon.
    """
    for number, task in enumerate(_read_items(path), start=1):
        if not isinstance(task, dict) or "data" not in task or "annotations" not in task:
            raise DataError(
                f"{path} must be an export 'JSON' of Label Studio (not JSON-MIN). Each of its tasks has data and "
                f"annotations, but entry {number} does not."
            )
        submitted = [annotation for annotation in task["annotations"] if not annotation.get("was_cancelled")]
        if submitted:
            last = max(enumerate(submitted), key=lambda item: (str(item[1].get("updated_at") or ""), item[0]))[1]
            name = _find_photo_name(task["data"])
            try:
                results = [item for item in last.get("result", []) if item.get("type") not in _WITHOUT_PIXELS]
                regions = [_read_region(item) for item in results]
            except (DataError, KeyError, TypeError, ValueError, IndexError) as error:
                raise explain_bad_annotation(path, name, error) from error
            yield AnnotatedPhoto(name, regions, regions[0].binary.shape if regions else None)


def _find_photo_name(data: dict[str, Any]) -> str:
    if PHOTO_KEY in data:
        return str(data[PHOTO_KEY])
    address = str(data.get("image", ""))
    return unquote(address.partition("?d=")[2] or address.partition("?")[0])


def _read_region(region: dict[str, Any]) -> AnnotatedRegion:
    value, height, width = region["value"], int(region["original_height"]), int(region["original_width"])
    labels = value.get("brushlabels") or value.get("polygonlabels")
    if not labels:
        raise DataError(
            f"regions must be brush regions or polygons with a label, but one has the type '{region.get('type')}'; "
            "draw it with the brush."
        )
    if "rle" in value:
        return AnnotatedRegion(str(labels[0]), decode_brush(value["rle"], height, width))
    corners = [(x * width / 100, y * height / 100) for x, y in value["points"]]
    return AnnotatedRegion(str(labels[0]), rasterize_polygon(corners, height, width))


def _read_items(path: Path) -> Iterator[Any]:
    """Yield the items of a JSON list one by one, because an export of many photos is too large for memory."""
    decoder, text, position = json.JSONDecoder(), "", 0
    in_list = False
    with path.open(encoding="utf-8-sig") as file:
        while True:
            text, position = text[position:].lstrip(" \t\r\n,"), 0
            if not in_list and text:
                if text[0] != "[":
                    raise DataError(f"{path} must be an export 'JSON' of Label Studio, a list of tasks.")
                in_list, position = True, 1
                continue
            if in_list and text.startswith("]"):
                return
            try:
                if not text:
                    raise ValueError
                item, position = decoder.raw_decode(text)
            except ValueError as error:
                more = file.read(max(_CHUNK_CHARACTERS, len(text)))  # doubled, so that a long task is parsed few times
                if not more:
                    raise DataError(f"{path} cannot be read as JSON: it is truncated or damaged.") from error
                text += more
            else:
                yield item
