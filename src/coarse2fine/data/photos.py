"""Photo files: find them, read them upright as RGB, and say in plain words why one cannot be used."""

import errno
import io
import math
import os
import re
import stat
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from coarse2fine.errors import DataError
from coarse2fine.runtime.device import count_cores
from coarse2fine.runtime.pixel_limit import lift_pixel_limit
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import Image, Photo, Skipped

PHOTO_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
"""Endings that make a file a photo, in any case."""

MIN_SIDE_PX = 8
"""A photo with a shorter side cannot be learned from."""

MAX_ASPECT = 40
"""Nor one whose longer side is more than this many times the shorter: nothing of it is left at training size."""

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"II*\0", b"MM\0*", b"GIF8")
_EXIF_ORIENTATION = 0x0112
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


def read_image(path: Path | str | bytes, max_megapixels: float = math.inf, at_least_px: int | None = None) -> Image:
    """Read a photo upright.

    Transparent pixels are laid over white; of an animation the first frame counts. 16-bit gray is scaled from 0..65535;
    32-bit and floating-point gray from the first of 0..1, 0..255, 0..65535 that holds all values, otherwise from the
    photo's own lowest to highest value.

    Args:
        path: A JPEG, PNG, WebP, BMP, TIFF or GIF file, whatever its ending; or the content of one.
        max_megapixels: Larger photos are refused before they are decoded; 200 take about 1 GB of memory for a while.
        at_least_px: The longer side that is needed; a larger JPEG may come back reduced to half, a quarter or an
            eighth, which is several times faster.

    Returns:
        RGB, shape (H, W, 3), 0 to 255, EXIF orientation applied.

    Raises:
        DataError: ``<path>: <reason>``, or the reason alone for a content: missing, not readable, empty, no image,
            truncated, damaged or too large.
    """
    with _open(path if isinstance(path, bytes) else Path(path)) as image:
        _check_megapixels(image, max_megapixels)
        if at_least_px is not None:
            factor = min(1.0, at_least_px / max(image.size))
            image.draft(None, tuple(math.ceil(side * factor) for side in image.size))
        # Pillow turns TIFF upright itself while it loads.
        transpose = None if image.format == "TIFF" else _TRANSPOSES.get(_read_orientation(image))
        image.load()
        return _convert_to_rgb(image if transpose is None else image.transpose(transpose))


class Header(NamedTuple):
    """What a photo's file says of itself.

    Attributes:
        kind: Pillow's name of its format, such as ``JPEG``.
        height: Of the upright photo, in pixels.
        width: Of the upright photo, in pixels.
        turned: Whether its EXIF turns or mirrors the stored pixels.
    """

    kind: str
    height: int
    width: int
    turned: bool


def read_header(path: Path | bytes) -> Header:
    """Read what a file, or its content, says of itself, without decoding it.

    Raises:
        DataError: As :func:`read_image`, for what the header shows.
    """
    with _open(path) as image:
        # The size of a TIFF is swapped by some versions of Pillow and not by others; its tags are as stored.
        width, height = (image.tag_v2[256], image.tag_v2[257]) if image.format == "TIFF" else image.size
        orientation = _read_orientation(image)
        if orientation in (5, 6, 7, 8):
            height, width = width, height
        kind = "JPEG" if image.format == "MPO" else str(image.format)  # several JPEGs, of which the first counts
        return Header(kind, height, width, orientation in _TRANSPOSES)


def read_size(path: Path | bytes) -> tuple[int, int]:
    """Height and width of the upright photo, in pixels, from the header of the file, or of its content, alone.

    Raises:
        DataError: As :func:`read_image`, for what the header shows.
    """
    header = read_header(path)
    return header.height, header.width


def list_photos(paths: Sequence[Path | str], apart_from: Path | None = None) -> list[Path]:
    """Find photos in natural order: ``2.jpg`` before ``10.jpg``.

    Args:
        paths: Files, taken whatever their ending; folders, searched to any depth; glob patterns like ``in/**/*.jpg``.
            Hidden entries and ``__MACOSX`` are passed over unless named.
        apart_from: A folder whose files do not count: that of the results, should it lie among the photos.

    Returns:
        Each photo once.

    Raises:
        DataError: A path does not exist, or holds no photo.
    """
    photos = {photo for path in paths for photo in _list_one(Path(path))}
    if apart_from is not None:
        results = apart_from.resolve()
        photos = {photo for photo in photos if not photo.parent.resolve().is_relative_to(results)}
    if not photos:
        raise DataError("At least one photo, folder or pattern must be given, outside the folder of the results.")
    return sorted(photos, key=lambda photo: ([natural_key(part) for part in photo.parts], str(photo)))


def find_photos(folder: Path, endings: tuple[str, ...] = PHOTO_ENDINGS) -> Iterator[Path]:
    """Photos at any depth below ``folder``, in no order; links are followed, circles of links are cut.

    Args:
        folder: Where to look.
        endings: Of the files that are wanted, in lower case.

    Raises:
        DataError: A folder cannot be listed.
    """
    return _walk(folder, endings, above=())


def check_photos(
    photos: Sequence[Photo], max_megapixels: float, known: AbstractSet[str] = frozenset()
) -> Iterator[Skipped | Photo]:
    """Decode every photo once, on all cores, to learn which can be used.

    Args:
        photos: What to check.
        max_megapixels: Larger photos are left out.
        known: Paths, as text, that are yielded unchecked.

    Yields:
        For each photo, in order: itself, or why it cannot be used.
    """
    yield from map_threads(lambda photo: _check_photo(photo, max_megapixels, known), photos, count_cores())


def find_unreadable(paths: Sequence[Path]) -> list[Skipped]:
    """Decode every photo once, on all cores, to find those that cannot be read, and why."""

    def read(path: Path) -> Skipped | None:
        try:
            read_image(path)
        except DataError as error:
            return _skipped(path, error)
        return None

    return [item for item in map_threads(read, paths, count_cores()) if item]


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is none of the user's photos."""
    return name.startswith(".") or name == "__MACOSX"


def natural_key(text: str) -> list[str | int]:
    """What names are sorted by so that ``2`` comes before ``10``."""
    pieces = re.split(r"([0-9]+)", text.casefold())
    return [int(piece) if index % 2 else piece for index, piece in enumerate(pieces)]


def _check_photo(photo: Photo, max_megapixels: float, known: AbstractSet[str]) -> Skipped | Photo:
    if str(photo.path) in known:
        return photo
    try:
        height, width, _ = read_image(photo.path, max_megapixels).shape
    except DataError as error:
        return _skipped(photo.path, error)
    if min(height, width) < MIN_SIDE_PX:
        return Skipped(photo.path, f"{width} x {height} pixels, at least {MIN_SIDE_PX} x {MIN_SIDE_PX} are needed")
    if max(height, width) > MAX_ASPECT * min(height, width):
        return Skipped(photo.path, f"{width} x {height} pixels, one side may be at most {MAX_ASPECT} times the other")
    return photo


def _skipped(path: Path, error: DataError) -> Skipped:
    return Skipped(path, str(error).removeprefix(f"{path}: "))


@contextmanager
def _open(source: Path | bytes) -> Iterator[Any]:
    """A Pillow image of which only the header is read; whatever goes wrong becomes ``<path>: <reason>``."""
    try:
        _check_file(source)
        with (
            lift_pixel_limit(),
            io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file,
            PIL.Image.open(file, formats=_FORMATS) as image,
        ):
            yield image
    except Exception as error:  # on damaged files Pillow raises nearly anything
        reason = _explain(error, source)
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


def _explain(error: Exception, source: Path | bytes) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, DataError):
        return text
    if isinstance(error, OSError) and error.errno and isinstance(source, Path):
        return _explain_system(error, source)
    size, start = _measure(source)
    if isinstance(error, PIL.UnidentifiedImageError):
        return _explain_unidentified(size, start)
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    if isinstance(error, EOFError) or "truncated" in text.lower() or _is_short_webp(size, start):
        return f"truncated after {size} bytes"
    return f"truncated or damaged ({text or type(error).__name__})"


def _explain_system(error: OSError, path: Path) -> str:
    if error.errno == errno.ENOENT:
        return "a link to a file that is not there" if path.is_symlink() else "no such file"
    if error.errno == errno.ELOOP:
        return "a link that leads back to itself"
    return f"not readable ({(error.strerror or str(error)).lower()})"


def _measure(source: Path | bytes) -> tuple[int, bytes]:
    """Size in bytes, and the first eight of them."""
    if isinstance(source, bytes):
        return len(source), source[:8]
    with source.open("rb") as file:
        return source.stat().st_size, file.read(8)


def _explain_unidentified(size: int, start: bytes) -> str:
    if start.startswith(_SIGNATURES):
        return f"truncated after {size} bytes or damaged at its start"
    return "not an image (JPEG, PNG, WebP, BMP, TIFF and GIF can be read)"


def _is_short_webp(size: int, start: bytes) -> bool:
    return start[:4] == b"RIFF" and size < 8 + int.from_bytes(start[4:], "little")


def _read_orientation(image: PIL.Image.Image) -> int:
    try:
        # The method of the base class: that of PNG decodes all pixels to look for EXIF behind them, where none belongs.
        return int(PIL.Image.Image.getexif(image).get(_EXIF_ORIENTATION, 1))
    except Exception:  # EXIF that cannot be parsed turns nothing, as in any viewer
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
    """Gray of more than 8 bit, shape (H, W), to 0..255; not-a-number becomes the lowest value."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if is_16_bit:
        low, high = 0.0, 65535.0
    elif low >= 0 and high <= _GRAY_TOPS[-1]:
        low, high = 0.0, float(next(top for top in _GRAY_TOPS if high <= top))
    clean = np.nan_to_num(values.astype(np.float32), nan=low, posinf=high, neginf=low)
    scaled: NDArray[np.uint8] = np.rint((clean - low) * (255 / ((high - low) or 1))).astype(np.uint8)
    return scaled


def _list_one(path: Path) -> list[Path]:
    if path.is_dir():
        photos = list(find_photos(path))
    elif path.is_file() or path.is_symlink():
        return [path]
    elif any(mark in str(path) for mark in "*?["):
        photos = _expand(path)
    else:
        raise DataError(f"{path}: there is no such file or folder.")
    if not photos:
        raise DataError(f"{path} holds no images ({' '.join(PHOTO_ENDINGS)}).")
    return photos


def _expand(pattern: Path) -> list[Path]:
    start = Path(pattern.anchor)
    try:
        matches = list(start.glob(str(pattern.relative_to(start))))
    except ValueError as error:
        raise DataError(f"{pattern} must be a pattern such as in/**/*.jpg ({error}).") from error
    seen = [match for match in matches if not any(is_hidden(part) for part in set(match.parts) - set(pattern.parts))]
    folders = [photo for match in seen if match.is_dir() for photo in find_photos(match)]
    return folders + [match for match in seen if match.suffix.lower() in PHOTO_ENDINGS and not match.is_dir()]


def _walk(folder: Path | str, endings: tuple[str, ...], above: tuple[str, ...]) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in above:
        return
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise DataError(f"{folder} cannot be listed ({error.strerror}); allow reading it, or move it away.") from error
    for entry in entries:
        if is_hidden(entry.name):
            continue
        if Path(entry.path).is_dir() if entry.is_symlink() else entry.is_dir():
            yield from _walk(entry.path, endings, (*above, real))
        elif entry.name.lower().endswith(endings):
            yield Path(entry.path)
