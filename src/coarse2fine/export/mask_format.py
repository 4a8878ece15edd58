"""What every format needs: where to write, the photos that go along, masks that fit them, objects in masks."""

import io
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from PIL import Image as PillowImage

from coarse2fine.config import MaskExportConfig
from coarse2fine.corrections.names import name_ignored, plain_path, plain_text
from coarse2fine.data.photos import PHOTO_ENDINGS, Header, read_header, read_image
from coarse2fine.errors import DataError
from coarse2fine.export.mask_sources import Sample
from coarse2fine.masks.palette import color_table
from coarse2fine.masks.regions import Box, bounding_box, classes_in
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import BACKGROUND, IGNORE, Mask

Made = TypeVar("Made")

JPEG_QUALITY = 95


@dataclass(frozen=True)
class Job:
    """One export.

    Attributes:
        folder: Where everything is written.
        samples: The photos; to be taken once, by :meth:`each`.
        classes: Names by index, as they are written.
        config: Which masks, and how.
        title: Where the masks come from.
        prefix: What stands before a photo's path where it is served.
        threads: Photos worked on at the same time.
        has_quality: Whether any mask has a score.
        losses: How many photos lost something that the format has no place for, by what it is.
    """

    folder: Path
    samples: Iterator[Sample]
    classes: tuple[str, ...]
    config: MaskExportConfig
    title: str
    prefix: str
    threads: int
    has_quality: bool
    losses: dict[str, int] = field(default_factory=dict)

    def each(self, make: "Callable[[Opened], Made]") -> Iterator[Made]:
        """What ``make`` makes of each photo, in order, many at a time."""
        return map_threads(lambda sample: make(self._open(sample)), self.samples, self.threads)

    def lose(self, what: str, times: int) -> None:
        """Count what the format has no place for."""
        if times:
            self.losses[what] = self.losses.get(what, 0) + times

    def color(self, label: int) -> str:
        """A class's palette color as ``#rrggbb``."""
        red, green, blue = color_table()[label].tolist()
        return f"#{red:02x}{green:02x}{blue:02x}"

    @property
    def labels(self) -> list[tuple[int, str]]:
        """Labels for tools in which people draw: classes without background, and one for pixels to ignore."""
        named = [(label, plain_text(name)) for label, name in enumerate(self.classes) if label != BACKGROUND]
        return [*named, (IGNORE, name_ignored(self.classes))]

    def _open(self, sample: Sample) -> "Opened":
        header, mask = read_header(sample.photo), sample.read()
        if mask.shape != (header.height, header.width):
            raise DataError(
                f"The mask of {sample.photo} must have the size of its photo, {header.width} x {header.height} pixels, "
                f"but has {mask.shape[1]} x {mask.shape[0]}; the photo was changed since: run fit or predict again."
            )
        unknown = [label for label in classes_in(mask) if label >= len(self.classes)]
        if unknown:
            raise DataError(
                f"The mask of {sample.photo} must hold classes 0 to {len(self.classes) - 1}, but holds {unknown[0]}."
            )
        return Opened(self, sample, header, mask)


@dataclass(frozen=True)
class Opened:
    """A photo and its mask, of one size.

    Attributes:
        job: The export it belongs to.
        sample: Which photo.
        header: What its file says of itself.
        mask: Class indices, shape (H, W).
    """

    job: Job
    sample: Sample
    header: Header
    mask: Mask

    @property
    def name(self) -> str:
        """The photo's name in the export, without ending."""
        return plain_path(self.sample.name)

    @property
    def file(self) -> str:
        """The photo's file in the export."""
        return self.name + ending_of(self.sample.photo, self.header)

    @property
    def score(self) -> float | None:
        """Quality, to four digits."""
        return None if self.sample.quality is None else round(self.sample.quality, 4)

    @property
    def has_ignored(self) -> bool:
        """Whether there are pixels to ignore."""
        return bool((self.mask == IGNORE).any())

    def carry(self, folder: Path) -> None:
        """Bring the photo along as the settings say, below ``folder``.

        One that its EXIF turns is written anew, upright, since many readers do not look and would see the mask beside
        its object.
        """
        anew = self.header.kind if self.header.turned else None
        carry_file(self.sample.photo, folder / self.file, self.job.config.images, anew)

    def objects(self, ignored: bool = False) -> "Iterator[Object]":
        """One object for every class, or for every connected part of it, as the settings say.

        Args:
            ignored: Also pixels to ignore.
        """
        for label in classes_in(self.mask) + [IGNORE] * (ignored and self.has_ignored):
            binary = (self.mask == label).astype(np.uint8)
            yield from split_parts(label, binary) if self.job.config.instances == "part" else [cut_out(label, binary)]


class Object(NamedTuple):
    """Pixels of one class that are one annotation.

    Attributes:
        label: Class index.
        box: Around its pixels.
        crop: 1 on its pixels, within the box, shape (y1 - y0, x1 - x0).
    """

    label: int
    box: Box
    crop: Mask

    def on(self, height: int, width: int) -> Mask:
        """The binary mask in the size of the photo."""
        whole = np.zeros((height, width), np.uint8)
        whole[self.box.y0 : self.box.y1, self.box.x0 : self.box.x1] = self.crop
        return whole


def split_parts(label: int, binary: Mask) -> Iterator[Object]:
    """The 8-connected parts of a binary mask, in raster order of their first pixels."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(binary, connectivity=8)
    for part in range(1, count):
        x0, y0, width, height = stats[part, :4].tolist()
        box = Box(y0, x0, y0 + height, x0 + width)
        yield Object(label, box, (parts[box.y0 : box.y1, box.x0 : box.x1] == part).astype(np.uint8))


def cut_out(label: int, binary: Mask) -> Object:
    """All foreground of a binary mask, which must have some."""
    box = bounding_box(binary)
    assert box is not None
    return Object(label, box, binary[box.y0 : box.y1, box.x0 : box.x1])


def ending_of(photo: Path, header: Header) -> str:
    """The photo's ending; that of its format where it has none of a photo."""
    if photo.suffix.lower() in PHOTO_ENDINGS:
        return photo.suffix
    return "." + header.kind.lower().replace("jpeg", "jpg")


def encode_upright(photo: Path, kind: str) -> bytes:
    """Decode a photo and encode it as it is seen."""
    encoded = io.BytesIO()
    PillowImage.fromarray(read_image(photo)).save(encoded, format=kind, quality=JPEG_QUALITY, lossless=True)
    return encoded.getvalue()


def carry_file(photo: Path, path: Path, images: str, anew: str | None) -> None:
    """Bring a photo along.

    Args:
        photo: Where it lies.
        path: Where it goes.
        images: ``copy``, ``link`` or ``none``.
        anew: The format in which it is written anew; none: its file goes along as it is.
    """
    if images == "none":
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if anew:
        path.write_bytes(encode_upright(photo, anew))
    elif images == "link":
        path.symlink_to(photo.absolute())
    else:
        shutil.copyfile(photo, path)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file of an export, which is renamed as a whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def write_lines(path: Path, lines: list[str]) -> None:
    """Write UTF-8 text with Unix line ends on every system."""
    write_bytes(path, "".join(f"{line}\n" for line in lines).encode())
