"""Masks as PNG or JSON, and the choice between the two."""

from typing import Literal

import numpy as np
from pycocotools import mask as coco
from pydantic import BaseModel, Field

from coarse2fine.masks.png import encode_mask
from coarse2fine.masks.regions import classes_in
from coarse2fine.serving.errors import RequestError
from coarse2fine.types import Mask

MaskFormat = Literal["png", "json"]

MEDIA_TYPES: dict[MaskFormat, str] = {"png": "image/png", "json": "application/json"}

_MEDIA_RANGES: dict[MaskFormat, tuple[str, ...]] = {
    "png": ("image/png", "image/*", "*/*"),
    "json": ("application/json", "application/*", "*/*"),
}
"""Media ranges that include a format, from the most specific to the least."""


class CocoRle(BaseModel):
    """Pixels of a class as COCO run-length encoding; ``pycocotools.mask.decode`` reads it."""

    size: tuple[int, int] = Field(description="height and width in pixels")
    counts: str = Field(description="compressed run lengths, column by column")


class ClassRegion(BaseModel):
    """All pixels of one class."""

    index: int = Field(description="class index, the pixel value in the PNG")
    name: str = Field(description="class name")
    area_px: int = Field(description="number of pixels")
    share: float = Field(description="share of the pixels of the photo, 0 to 1")
    rle: CocoRle


class MaskResponse(BaseModel):
    """The mask of a photo as JSON."""

    height: int = Field(description="height of the photo in pixels")
    width: int = Field(description="width of the photo in pixels")
    classes: list[ClassRegion] = Field(description="classes in the photo without background, ordered by index")


EXAMPLE = {
    "height": 4,
    "width": 3,
    "classes": [{"index": 1, "name": "cat", "area_px": 2, "share": 0.1667, "rle": {"size": [4, 3], "counts": "525"}}],
}


def encode_response(mask: Mask, mask_format: MaskFormat, classes: tuple[str, ...]) -> bytes:
    """Encode a mask as the body of a response.

    Args:
        mask: Class indices, shape (H, W).
        mask_format: ``png``: palette PNG of class indices; ``json``: a `MaskResponse`.
        classes: Class names by index.
    """
    return encode_mask(mask) if mask_format == "png" else describe_mask(mask, classes).model_dump_json().encode()


def describe_mask(mask: Mask, classes: tuple[str, ...]) -> MaskResponse:
    """List the classes in a mask with their names, areas and pixels.

    Args:
        mask: Class indices, shape (H, W).
        classes: Class names by index.
    """
    regions = []
    for index in classes_in(mask):
        region = np.asfortranarray(mask == index, dtype=np.uint8)  # pycocotools encodes column by column
        rle = coco.encode(region)
        area = int(region.sum())
        regions.append(
            ClassRegion(
                index=index,
                name=classes[index],
                area_px=area,
                share=round(area / mask.size, 4),
                rle=CocoRle(size=(mask.shape[0], mask.shape[1]), counts=rle["counts"].decode("ascii")),
            )
        )
    return MaskResponse(height=mask.shape[0], width=mask.shape[1], classes=regions)


def choose_format(query: MaskFormat | None, accept: str) -> MaskFormat:
    """Choose the format of a mask.

    Args:
        query: Format in the query; it takes precedence over the header.
        accept: Header ``Accept``; empty: any format.

    Returns:
        The accepted format with the higher weight; PNG if both weights are equal.

    Raises:
        RequestError: The header accepts neither format (406).
    """
    if query:
        return query
    accepted = dict(_parse_media_range(part) for part in accept.split(",")) if accept.strip() else {"*/*": 1.0}
    weights = {name: _find_weight(accepted, ranges) for name, ranges in _MEDIA_RANGES.items()}
    best: MaskFormat = "png" if weights["png"] >= weights["json"] else "json"
    if weights[best] <= 0:
        raise RequestError(
            406, f"The response is image/png or application/json, but the header Accept allows only {accept}."
        )
    return best


def _parse_media_range(part: str) -> tuple[str, float]:
    """Split ``image/png;q=0.5`` into media range and weight; a weight that is no number becomes 0."""
    media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
    weight = next((parameter[2:] for parameter in parameters if parameter.startswith("q=")), "1")
    try:
        return media_range, float(weight)
    except ValueError:
        return media_range, 0.0


def _find_weight(accepted: dict[str, float], ranges: tuple[str, ...]) -> float:
    """Return the weight of the most specific accepted range, 0 if none is accepted."""
    return next((accepted[media_range] for media_range in ranges if media_range in accepted), 0.0)
