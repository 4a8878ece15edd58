"""Make small pictures of photos and masks for the page: WebP as data URIs."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as PillowImage

from coarse2fine.data.photos import read_image_and_header, read_size
from coarse2fine.errors import DataError
from coarse2fine.masks.palette import overlay
from coarse2fine.masks.png import mask_path, read_mask
from coarse2fine.masks.resize import resize, resize_mask
from coarse2fine.types import Image, Photo

SIDE_PX = 192
"""Longer side of a picture."""

WEBP_QUALITY = 62
ALPHA = 0.45

PhotoColumns = Sequence[tuple[str, Path | None]]
"""Title and mask folder of each picture in a row; without a folder, the picture shows the photo alone."""


@dataclass(frozen=True)
class Picture:
    """A photo, with or without a mask drawn over it.

    Attributes:
        title: Title of the picture.
        uri: The picture as a data URI; None if it could not be made.
        width: Width in pixels.
        height: Height in pixels.
        problem: Why the picture could not be made.
    """

    title: str
    uri: str | None = None
    width: int = SIDE_PX
    height: int = SIDE_PX
    problem: str | None = None


def draw_row(photo: Photo, columns: PhotoColumns) -> list[Picture]:
    """Draw a photo once per column, with the mask of the column over it.

    Args:
        photo: The photo.
        columns: Title and mask folder of each picture.

    Returns:
        One picture per column; if a file cannot be read, the picture states the problem.
    """
    try:
        image, header = read_image_and_header(photo.path, at_least_px=SIDE_PX)
    except DataError as error:
        problem = str(error).removeprefix(f"{photo.path}: ")
        return [Picture(title, problem=problem) for title, _ in columns]
    small = resize_longer_side(image, SIDE_PX)
    return [_draw(small, header.size, photo, title, folder) for title, folder in columns]


def _draw(image: Image, size: tuple[int, int], photo: Photo, title: str, folder: Path | None) -> Picture:
    if folder is not None:
        path = mask_path(folder, photo.name)
        if not path.exists():
            return Picture(title, problem="no mask yet")
        try:
            if read_size(path) != size:  # before it is decoded: it may be too large for the memory
                return Picture(title, problem="the mask has another size than the photo")
            mask = resize_mask(read_mask(path), *image.shape[:2])
        except DataError:
            return Picture(title, problem="the mask file is damaged")
        image = overlay(image, mask, ALPHA)
    return Picture(title, encode(image), image.shape[1], image.shape[0])


def encode(image: Image) -> str:
    """Encode an RGB picture as a data URI."""
    encoded = io.BytesIO()
    PillowImage.fromarray(image).save(encoded, format="WEBP", quality=WEBP_QUALITY, method=4)
    return f"data:image/webp;base64,{base64.b64encode(encoded.getvalue()).decode('ascii')}"


def resize_longer_side(image: Image, side_px: int) -> Image:
    """Resize a photo, up or down, so that its longer side is ``side_px``."""
    factor = side_px / max(image.shape[:2])
    height, width = (max(1, round(side * factor)) for side in image.shape[:2])
    return resize(image, height, width)
