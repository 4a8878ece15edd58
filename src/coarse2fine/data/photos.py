"""Read photo files as upright RGB arrays, read their headers, and check which photos can be used."""

import io
import math
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from coarse2fine.data.photo_errors import explain_error
from coarse2fine.errors import DataError
from coarse2fine.runtime.decoding_limits import FORMATS, check_header, check_pixels, open_file
from coarse2fine.runtime.device import count_cores
from coarse2fine.runtime.pixel_limit import lift_pixel_limit
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import Image, Photo, Skipped

MIN_SIDE_PX = 8
"""Shortest side of a usable photo."""

MAX_ASPECT = 40
"""Largest ratio of the longer to the shorter side of a usable photo; a thinner one vanishes at the working size."""

_JPEG_REDUCTIONS = (8, 4, 2)
_EXIF_ORIENTATION = 0x0112
# ImageOps.exif_transpose would do the same, but it also writes the other EXIF tags anew and raises on malformed ones
# (a test shows one). Only the orientation matters here.
_TRANSPOSES = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}
_GRAY_TOPS = (1, 255, 65535)


class Header(NamedTuple):
    """Properties of a photo in the header of its file.

    Attributes:
        kind: Pillow's name of the file format, such as ``JPEG``.
        height: Height of the upright photo, in pixels.
        width: Width of the upright photo, in pixels.
        turned: Whether EXIF turns or mirrors the stored pixels.
    """

    kind: str
    height: int
    width: int
    turned: bool

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the upright photo, in pixels."""
        return self.height, self.width

    def reduction(self, at_least_px: int) -> int:
        """Return the factor, 1, 2, 4 or 8, by which :func:`read_image` reduces this photo with ``at_least_px``."""
        if self.kind != "JPEG":
            return 1
        needed = _needed_size(self.size, at_least_px)
        factor = min(have // need for have, need in zip(self.size, needed, strict=True))
        return next((reduction for reduction in _JPEG_REDUCTIONS if factor >= reduction), 1)


def read_image(path: Path | str | bytes, max_megapixels: float = math.inf, at_least_px: int | None = None) -> Image:
    """Read a photo as an upright RGB array.

    Transparent pixels are blended with white; of an animation the first frame is read. 16-bit gray is scaled from
    0..65535; 32-bit and floating-point gray from the first of 0..1, 0..255, 0..65535 that contains all values,
    otherwise from the lowest to the highest value of the photo.

    Args:
        path: A JPEG, PNG, WebP, BMP, TIFF or GIF file with any ending, or the content of one.
        max_megapixels: Larger photos are refused before decoding; decoding 200 takes about 1 GB of memory.
        at_least_px: Length that the longer side needs. A larger JPEG may be decoded at a half, a quarter or an eighth
            of its size, which is several times faster.

    Returns:
        RGB, shape (H, W, 3), 0 to 255, EXIF orientation applied.

    Raises:
        DataError: ``<path>: <reason>``, or only the reason for the content of a file: missing, not readable, empty, no
            image, truncated, damaged, too large, or built to take very long to decode.
    """
    return read_image_and_header(path, max_megapixels, at_least_px)[0]


def read_image_and_header(
    path: Path | str | bytes, max_megapixels: float = math.inf, at_least_px: int | None = None
) -> tuple[Image, Header]:
    """Read a photo and its header, opening the file once; see :func:`read_image`."""
    with _open(path if isinstance(path, bytes) else Path(path)) as image:
        _check_megapixels(image, max_megapixels)
        check_pixels(image)
        header = _header_of(image)
        if at_least_px is not None:
            image.draft(None, _needed_size(image.size, at_least_px))
        # Pillow applies the orientation of a TIFF itself while it loads the pixels.
        transpose = None if image.format == "TIFF" else _TRANSPOSES.get(_read_orientation(image))
        image.load()
        return _convert_to_rgb(image if transpose is None else image.transpose(transpose)), header


def read_header(path: Path | str | bytes) -> Header:
    """Read the header of a photo file, or of its content, without decoding the pixels.

    Raises:
        DataError: As :func:`read_image`, for errors that the header shows.
    """
    with _open(path if isinstance(path, bytes) else Path(path)) as image:
        return _header_of(image)


def read_size(path: Path | str | bytes) -> tuple[int, int]:
    """Read height and width of the upright photo, in pixels, from the header of a file, or of its content.

    Raises:
        DataError: As :func:`read_image`, for errors that the header shows.
    """
    return read_header(path).size


def check_mask_header(mask: Path, photo: Path) -> None:
    """Check that a mask has the size of its photo before it is decoded: its pixels may not fit into the memory.

    Raises:
        DataError: The sizes in the headers of both files differ, or a file cannot be read.
    """
    (height, width), found = read_size(photo), read_size(mask)
    if found != (height, width):
        raise DataError(
            f"The mask {mask} must have the size of its photo, {width} x {height} pixels, but has {found[1]} x "
            f"{found[0]}. Restore the mask, or run fit again."
        )


def sample_sizes(paths: Sequence[Path], most: int = 200) -> list[tuple[int, int]]:
    """Read height and width of at most ``most`` photos, spread evenly over the list, from their headers."""
    return [read_size(path) for path in paths[:: -(-len(paths) // most)]] if paths else []


def reason_of(error: DataError, path: Path) -> str:
    """Return the reason of an error of :func:`read_image`, without the path in front of it."""
    return str(error).removeprefix(f"{path}: ")


def check_photos(
    photos: Sequence[Photo], max_megapixels: float, is_known: Callable[[Photo], bool] = lambda _photo: False
) -> Iterator[Skipped | Photo]:
    """Decode every photo once, on all cores, to find out which ones can be used.

    Args:
        photos: The photos.
        max_megapixels: Larger photos are skipped.
        is_known: Whether a photo was checked before and is yielded without a check; called in a thread.

    Yields:
        For each photo, in order: the photo, or the reason why it is skipped.
    """

    def check(photo: Photo) -> Skipped | Photo:
        return photo if is_known(photo) else _check_photo(photo, max_megapixels)

    yield from map_threads(check, photos, count_cores())


def find_unreadable(paths: Sequence[Path]) -> list[Skipped]:
    """Decode every photo once, on all cores, and return those that cannot be read, with the reason."""

    def read(path: Path) -> Skipped | None:
        try:
            read_image(path)
        except DataError as error:
            return Skipped(path, reason_of(error, path))
        return None

    return [item for item in map_threads(read, paths, count_cores()) if item]


def _check_photo(photo: Photo, max_megapixels: float) -> Skipped | Photo:
    try:
        height, width, _ = read_image(photo.path, max_megapixels).shape
    except DataError as error:
        return Skipped(photo.path, reason_of(error, photo.path))
    if min(height, width) < MIN_SIDE_PX:
        return Skipped(photo.path, f"{width} x {height} pixels, at least {MIN_SIDE_PX} x {MIN_SIDE_PX} are needed")
    if max(height, width) > MAX_ASPECT * min(height, width):
        return Skipped(photo.path, f"{width} x {height} pixels, one side may be at most {MAX_ASPECT} times the other")
    return photo


@contextmanager
def _open(source: Path | bytes) -> Iterator[Any]:
    """Open a Pillow image and read its header; every error becomes a DataError ``<path>: <reason>``."""
    try:
        _check_file(source)
        with lift_pixel_limit(), io.BytesIO(source) if isinstance(source, bytes) else open_file(source) as file:
            check_header(file)
            with PIL.Image.open(file, formats=FORMATS) as image:
                yield image
    except Exception as error:  # on damaged files Pillow raises nearly any exception
        reason = explain_error(error, source)
        raise DataError(reason if isinstance(source, bytes) else f"{source}: {reason}") from error


def _check_file(source: Path | bytes) -> None:
    if isinstance(source, bytes):
        if not source:
            raise DataError("empty file (0 bytes)")
        return
    status = source.stat()
    if stat.S_ISDIR(status.st_mode):
        raise DataError("a folder, not a photo")
    if not stat.S_ISREG(status.st_mode):
        raise DataError("not a regular file")
    if status.st_size == 0:
        raise DataError("empty file (0 bytes)")


def _check_megapixels(image: PIL.Image.Image, max_megapixels: float) -> None:
    megapixels = image.width * image.height / 1e6
    if megapixels > max_megapixels:
        raise DataError(
            f"{image.width} x {image.height} pixels are {megapixels:g} megapixels, "
            f"at most {max_megapixels:g} are allowed"
        )


def _header_of(image: Any) -> Header:
    # The size of a TIFF is swapped by some versions of Pillow and not by others; its tags are as stored.
    width, height = (image.tag_v2[256], image.tag_v2[257]) if image.format == "TIFF" else image.size
    orientation = _read_orientation(image)
    if orientation in (5, 6, 7, 8):
        height, width = width, height
    kind = "JPEG" if image.format == "MPO" else str(image.format)  # MPO: several JPEGs, of which the first is read
    return Header(kind, height, width, orientation in _TRANSPOSES)


def _needed_size(size: tuple[int, int], at_least_px: int) -> tuple[int, int]:
    factor = min(1.0, at_least_px / max(size))
    return math.ceil(size[0] * factor), math.ceil(size[1] * factor)


def _read_orientation(image: PIL.Image.Image) -> int:
    try:
        # The method of the base class: the method of PNG decodes all pixels to look for EXIF data after them.
        return int(PIL.Image.Image.getexif(image).get(_EXIF_ORIENTATION, 1))
    except Exception:  # EXIF data that cannot be parsed is ignored, as image viewers do
        return 1


def _convert_to_rgb(image: PIL.Image.Image) -> Image:
    if image.mode == "F" or image.mode.startswith("I"):
        gray = _scale_gray(np.asarray(image), is_16_bit=";16" in image.mode)
        return np.repeat(gray[..., np.newaxis], 3, axis=2)
    if image.has_transparency_data:
        white = PIL.Image.new("RGBA", image.size, "white")
        image = PIL.Image.alpha_composite(white, image.convert("RGBA"))
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _scale_gray(values: NDArray[Any], is_16_bit: bool) -> NDArray[np.uint8]:
    """Scale gray of more than 8 bits, shape (H, W), to 0..255; not-a-number becomes the lowest value."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if is_16_bit:
        low, high = 0.0, 65535.0
    elif low >= 0 and high <= _GRAY_TOPS[-1]:
        low, high = 0.0, float(next(top for top in _GRAY_TOPS if high <= top))
    clean = np.nan_to_num(values.astype(np.float32), nan=low, posinf=high, neginf=low)
    scaled: NDArray[np.uint8] = np.rint((clean - low) * (255 / ((high - low) or 1))).astype(np.uint8)
    return scaled
