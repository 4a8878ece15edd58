"""Small pictures of photos and masks that fit into a page: WebP as data URIs."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as PillowImage

from coarse2fine.data.photos import read_image
from coarse2fine.errors import DataError
from coarse2fine.masks.palette import overlay
from coarse2fine.masks.png import mask_path, read_mask
from coarse2fine.masks.resize import resize, resize_mask
from coarse2fine.types import Image, Photo

SIDE_PX = 192
"""Longer side of a picture."""

WEBP_QUALITY = 62
ALPHA = 0.45


@dataclass(frozen=True)
class Picture:
    """A photo, with a mask laid over it or without.

    Attributes:
        title: What it shows.
        uri: The picture, as a data URI; None where there is none.
        width: In pixels.
        height: In pixels.
        problem: Why there is none.
    """

    title: str
    uri: str | None = None
    width: int = SIDE_PX
    height: int = SIDE_PX
    problem: str | None = None


def draw_row(photo: Photo, columns: Sequence[tuple[str, Path | None]]) -> list[Picture]:
    """Draw a photo once for each column, with the mask of the column laid over it.

    Args:
        photo: What to draw.
        columns: Title and mask folder of each picture; no folder: the photo alone.

    Returns:
        One picture for each column; what cannot be read has a problem instead.
    """
    try:
        image = shrink_to(read_image(photo.path, at_least_px=SIDE_PX), SIDE_PX)
    except DataError as error:
        problem = str(error).removeprefix(f"{photo.path}: ")
        return [Picture(title, problem=problem) for title, _ in columns]
    return [_draw(image, photo, title, folder) for title, folder in columns]


def _draw(image: Image, photo: Photo, title: str, folder: Path | None) -> Picture:
    if folder is not None:
        path = mask_path(folder, photo.name)
        if not path.exists():
            return Picture(title, problem="not made yet")
        try:
            mask = resize_mask(read_mask(path), *image.shape[:2])
        except DataError:
            return Picture(title, problem="cannot be read")
        image = overlay(image, mask, ALPHA)
    return Picture(title, encode(image), image.shape[1], image.shape[0])


def encode(image: Image) -> str:
    """An RGB picture as a data URI."""
    encoded = io.BytesIO()
    PillowImage.fromarray(image).save(encoded, format="WEBP", quality=WEBP_QUALITY, method=4)
    return f"data:image/webp;base64,{base64.b64encode(encoded.getvalue()).decode('ascii')}"


def shrink_to(image: Image, side_px: int) -> Image:
    """A photo whose longer side is ``side_px``; smaller ones grow."""
    factor = side_px / max(image.shape[:2])
    return resize(image, *(max(1, round(side * factor)) for side in image.shape[:2]))
