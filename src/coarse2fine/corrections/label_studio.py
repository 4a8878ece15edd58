"""Read corrected masks from Label Studio's export "JSON".

Source: https://labelstud.io/guide/export, /tags/brushlabels and /tags/polygonlabels.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import unquote

from pydantic import BaseModel, FailFast, Field, FiniteFloat, PositiveInt, ValidationError

from coarse2fine.corrections.annotations import (
    MAX_TEXT,
    AnnotatedPhoto,
    AnnotatedRegion,
    Drawing,
    check_number_of_regions,
    explain_bad_annotation,
    rasterize_polygon,
)
from coarse2fine.corrections.photo_names import PHOTO_KEY, shorten
from coarse2fine.errors import DataError
from coarse2fine.masks.run_length import decode_brush

_CHUNK_CHARACTERS = 1 << 20
_BETWEEN_ITEMS = re.compile(r"[ \t\r\n,]*")
_WITHOUT_PIXELS = ("choices", "rating", "textarea", "number", "taxonomy", "datetime", "pairwise", "relation")

Item = TypeVar("Item")
_List = Annotated[list[Item], FailFast()]  # without FailFast, a long list of wrong items becomes as many errors


class _Annotation(BaseModel):
    was_cancelled: bool | None = None
    updated_at: datetime | None = None
    result: _List[dict[str, Any]] = []

    @property
    def time(self) -> datetime:
        """When a person changed it last; the start of time if the export does not say so."""
        time = self.updated_at or datetime.min
        return time if time.tzinfo else time.replace(tzinfo=UTC)


class _Task(BaseModel):
    data: dict[str, Any]
    annotations: _List[_Annotation]


class _RegionValue(BaseModel):
    rle: _List[Annotated[int, Field(ge=0, le=255)]] = []
    points: _List[tuple[FiniteFloat, FiniteFloat]] = []
    brushlabels: _List[str] = []
    polygonlabels: _List[str] = []


class _Region(BaseModel):
    original_height: PositiveInt
    original_width: PositiveInt
    value: _RegionValue


def read_label_studio(path: Path) -> Iterator[AnnotatedPhoto]:
    """Yield every task with a submitted annotation; if there are several, the one that was changed last.

    Raises:
        DataError: The file is not such an export, or an annotation has a region that is not a mask or polygon.
    """
    for number, item in enumerate(_read_items(path), start=1):
        if not isinstance(item, dict) or "data" not in item or "annotations" not in item:
            raise DataError(
                f"{path} must be an export 'JSON' of Label Studio (not JSON-MIN). Each of its tasks has data and "
                f"annotations, but entry {number} does not."
            )
        name = f"entry {number}"
        try:
            task = _Task.model_validate(item)
            name = _find_photo_name(task.data)
            submitted = [annotation for annotation in task.annotations if not annotation.was_cancelled]
            if submitted:
                last = max(enumerate(submitted), key=lambda one: (one[1].time, one[0]))[1]
                yield _read_annotation(last, name)
        except (DataError, ValidationError) as error:
            raise explain_bad_annotation(path, name, error) from error


def _find_photo_name(data: dict[str, Any]) -> str:
    key = PHOTO_KEY if PHOTO_KEY in data else "image"
    name = data.get(key, "")
    if not isinstance(name, str):
        raise DataError(f"'{key}' in its data must be text.")
    return name if key == PHOTO_KEY else unquote(name.partition("?d=")[2] or name.partition("?")[0])


def _read_annotation(annotation: _Annotation, name: str) -> AnnotatedPhoto:
    items = [item for item in annotation.result if item.get("type") not in _WITHOUT_PIXELS]
    check_number_of_regions(len(items))
    regions = [_read_region(item) for item in items]
    return AnnotatedPhoto(name, regions, regions[0].size if regions else None)


def _read_region(item: dict[str, Any]) -> AnnotatedRegion:
    region = _Region.model_validate(item)
    value, size = region.value, (region.original_height, region.original_width)
    labels = value.brushlabels or value.polygonlabels
    if not labels or not (value.rle or value.points):
        raise DataError(
            f"regions must be brush regions or polygons with a label, but one has the type "
            f"'{shorten(str(item.get('type')))}'; draw it with the brush."
        )
    return AnnotatedRegion(labels[0], size, partial(_draw, value, *size))


def _draw(value: _RegionValue, height: int, width: int) -> Drawing:
    if value.rle:
        return Drawing(0, 0, decode_brush(value.rle, height, width))
    return rasterize_polygon([(x * width / 100, y * height / 100) for x, y in value.points], height, width)


def _read_items(path: Path) -> Iterator[Any]:
    """Yield the items of a JSON list one by one, because an export of many photos is too large for memory."""
    decoder, text, position = json.JSONDecoder(), "", 0
    in_list = False
    try:
        with path.open(encoding="utf-8-sig") as file:
            while True:
                between = _BETWEEN_ITEMS.match(text, position)
                position = between.end() if between else position
                if not in_list and position < len(text):
                    if text[position] != "[":
                        raise DataError(f"{path} must be an export 'JSON' of Label Studio, a list of tasks.")
                    in_list, position = True, position + 1
                    continue
                if in_list and text.startswith("]", position):
                    return
                try:
                    item, position = decoder.raw_decode(text, position)
                except json.JSONDecodeError:
                    text, position = text[position:], 0
                    if len(text) > MAX_TEXT:
                        raise DataError(
                            f"{path} must have at most {MAX_TEXT} characters of JSON per task; split the regions of "
                            "the photo, or leave it out of the export."
                        ) from None
                    # doubled, so that a long task is parsed few times
                    more = file.read(max(_CHUNK_CHARACTERS, len(text)))
                    if not more:
                        raise
                    text += more
                else:
                    yield item
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path} cannot be read as JSON: it is truncated or damaged ({shorten(str(error))})."
        ) from error
