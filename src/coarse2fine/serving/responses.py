"""Masks as PNG or JSON, whichever the client likes better."""

from typing import Literal

import numpy as np
from pycocotools import mask as coco
from pydantic import BaseModel, Field

from coarse2fine.masks.regions import classes_in
from coarse2fine.serving.request_error import RefusalError
from coarse2fine.types import Mask

Form = Literal["png", "json"]

_ACCEPTED: dict[Form, tuple[str, ...]] = {
    "png": ("image/png", "image/*", "*/*"),
    "json": ("application/json", "application/*", "*/*"),
}


class Rle(BaseModel):
    """A region as COCO writes it: compressed run lengths; ``pycocotools.mask.decode`` reads it."""

    size: tuple[int, int] = Field(description="height and width")
    counts: str = Field(description="compressed run lengths, column by column")


class Region(BaseModel):
    """All pixels of one class."""

    index: int = Field(description="class index, as in the PNG")
    name: str
    area_px: int
    share: float = Field(description="of the photo's pixels, 0 to 1")
    rle: Rle


class Answer(BaseModel):
    """What was found in a photo."""

    height: int
    width: int
    classes: list[Region] = Field(description="those that occur, without background, by index")


EXAMPLE = {
    "height": 4,
    "width": 3,
    "classes": [{"index": 1, "name": "cat", "area_px": 2, "share": 0.1667, "rle": {"size": [4, 3], "counts": "525"}}],
}


def describe_mask(mask: Mask, names: tuple[str, ...]) -> Answer:
    """The regions of a mask, class by class."""
    regions = []
    for index in classes_in(mask):
        own = np.asfortranarray(mask == index, dtype=np.uint8)
        rle = coco.encode(own)
        area = int(own.sum())
        regions.append(
            Region(
                index=index,
                name=names[index],
                area_px=area,
                share=round(area / mask.size, 4),
                rle=Rle(size=(mask.shape[0], mask.shape[1]), counts=rle["counts"].decode("ascii")),
            )
        )
    return Answer(height=mask.shape[0], width=mask.shape[1], classes=regions)


def choose_form(asked: Form | None, accept: str) -> Form:
    """The form that the query names, else the one that the header ``Accept`` likes best; PNG where both are equal.

    Raises:
        RefusalError: The header accepts neither.
    """
    if asked:
        return asked
    weights = dict(_weigh(part) for part in accept.split(",")) if accept.strip() else {"*/*": 1.0}
    likings = {form: _like(weights, kinds) for form, kinds in _ACCEPTED.items()}
    best: Form = "png" if likings["png"] >= likings["json"] else "json"
    if likings[best] <= 0:
        raise RefusalError(406, f"A mask comes as image/png or application/json, but only {accept} is accepted.")
    return best


def _like(weights: dict[str, float], kinds: tuple[str, ...]) -> float:
    """The weight of the most specific range that holds the form."""
    return next((weights[kind] for kind in kinds if kind in weights), 0.0)


def _weigh(part: str) -> tuple[str, float]:
    kind, *options = (piece.strip().lower() for piece in part.split(";"))
    weight = next((option[2:] for option in options if option.startswith("q=")), "1")
    try:
        return kind, float(weight)
    except ValueError:
        return kind, 0.0
