"""Make pictures of photos and masks for a page: a photo once, and each of its masks as a transparent layer over it.

All are WebP data URIs. The page shows them small and enlarged, without a second copy.
"""

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from coarse2fine.data.photos import read_image_and_header, read_size
from coarse2fine.errors import DataError
from coarse2fine.masks.palette import draw_layer
from coarse2fine.masks.png import mask_path, read_mask
from coarse2fine.masks.resize import fit_size, resize, resize_mask
from coarse2fine.types import Mask, Photo

SIDE_PX = 480
"""Longer side of a picture, at most; a smaller photo keeps its size."""

WEBP_QUALITY = 62
ALPHA = 0.45

Size = tuple[int, int]
"""Height and width in pixels."""

DrawLayer = Callable[[Photo, Size, Size], NDArray[np.uint8]]
"""Draws the layer over a photo: RGBA, shape (h, w, 4).

It is called with the photo, the size of the photo, and the size (h, w) of the picture. If it cannot draw the layer, it
raises a `DataError` of a few words."""

PhotoColumns = Sequence[tuple[str, DrawLayer | None]]
"""Title and layer of each picture in a row; without a layer, the picture shows the photo alone."""


@dataclass(frozen=True)
class Picture:
    """One picture of a row: the photo, alone or under a mask.

    Attributes:
        title: Title of the picture.
        layer: The mask as a data URI; None: the photo alone.
        problem: Why the picture could not be made.
    """

    title: str
    layer: str | None = None
    problem: str | None = None


@dataclass(frozen=True)
class PictureRow:
    """Pictures of one photo.

    Attributes:
        key: Start of the ids of its elements in the page.
        name: Name of the photo.
        photo: The photo as a data URI; None if it cannot be read.
        width: Width of all pictures in pixels.
        height: Height in pixels.
        pictures: The pictures.
    """

    key: str
    name: str
    photo: str | None
    width: int
    height: int
    pictures: Sequence[Picture]


def draw_row(photo: Photo, columns: PhotoColumns, key: str) -> PictureRow:
    """Draw a photo once per column, with the layer of the column over it.

    Args:
        photo: The photo.
        columns: Title and layer of each picture.
        key: Start of the ids of its elements in the page; no other row has the same.

    Returns:
        One picture per column; if a file cannot be read, the picture states the problem.
    """
    try:
        image, header = read_image_and_header(photo.path, at_least_px=SIDE_PX)
    except DataError as error:
        problem = str(error).removeprefix(f"{photo.path}: ")
        pictures = [Picture(title, problem=problem) for title, _ in columns]
        return PictureRow(key, photo.name, None, SIDE_PX, SIDE_PX, pictures)
    height, width = fit_size(header.size, SIDE_PX)
    pictures = [_draw_picture(title, layer, photo, header.size, (height, width)) for title, layer in columns]
    small = _encode(resize(image, height, width), quality=WEBP_QUALITY)
    return PictureRow(key, photo.name, small, width, height, pictures)


def _draw_picture(title: str, draw: DrawLayer | None, photo: Photo, size: Size, small_size: Size) -> Picture:
    try:
        return Picture(title, _encode(draw(photo, size, small_size), lossless=True) if draw else None)
    except DataError as error:
        return Picture(title, problem=str(error))


def mask_layer(folder: Path) -> DrawLayer:
    """Return a function that draws the mask of a photo in a folder of masks."""
    return lambda photo, size, small_size: draw_layer(read_small_mask(folder, photo, size, small_size), ALPHA)


def read_small_mask(folder: Path, photo: Photo, size: Size, small_size: Size) -> Mask:
    """Read the mask of a photo at the size of its pictures.

    Args:
        folder: Folder of masks.
        photo: The photo.
        size: Height and width of the photo.
        small_size: Height and width of the pictures.

    Raises:
        DataError: There is no mask, it is damaged, or it has another size than the photo; in a few words.
    """
    path = mask_path(folder, photo.name)
    if not path.exists():
        raise DataError("no mask yet")
    try:
        is_of_photo = read_size(path) == size  # before it is decoded: it may be too large for the memory
        mask = read_mask(path) if is_of_photo else None
    except DataError as error:
        raise DataError("the mask file is damaged") from error
    if mask is None:
        raise DataError("the mask has another size than the photo")
    return resize_mask(mask, *small_size)


def _encode(pixels: NDArray[np.uint8], **options: int) -> str:
    encoded = io.BytesIO()
    PillowImage.fromarray(pixels).save(encoded, format="WEBP", method=4, **options)
    return f"data:image/webp;base64,{base64.b64encode(encoded.getvalue()).decode('ascii')}"
