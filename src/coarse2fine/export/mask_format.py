"""What a mask format works with: the export, its photos with their masks, and the objects in a mask."""

import io
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image as PillowImage

from coarse2fine.config import MaskExportConfig
from coarse2fine.corrections.photo_names import ignore_label, sanitize_name, sanitize_path
from coarse2fine.data.class_folders import hash_text
from coarse2fine.data.photo_files import PHOTO_ENDINGS
from coarse2fine.data.photos import Header, read_header, read_image, read_size
from coarse2fine.errors import DataError
from coarse2fine.export.mask_sources import MaskSource, PhotoMask
from coarse2fine.masks.objects import ObjectMask, crop_to_object, split_into_parts
from coarse2fine.masks.regions import classes_in
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import BACKGROUND, IGNORE, LABEL_SEPARATOR, Mask

Result = TypeVar("Result")

JPEG_QUALITY = 95

MAX_NAME_BYTES = 240
"""Longest file name of :func:`flatten_names`: file systems allow 255 bytes, and a suffix is added."""

TRAIN, VALIDATION = "train", "val"

_SUFFIXES = {"GIF": (".gif",), "TIFF": (".tif", ".tiff")}


@dataclass(frozen=True)
class MaskFormat:
    """A file format that masks can be exported to.

    Attributes:
        write: Writes all files of an export into its folder.
        packages: Packages of the extra ``export`` that it imports.
        for_correction: People correct masks in the tool that reads it, so photos that were left out of training
            are exported by default, and negatives, whose masks are empty, are not exported.
        keeps_ignored: It can store pixels to ignore (255); otherwise they become background.
        has_instances: ``--instances part`` is possible.
        has_polygons: ``--polygons`` is possible.
        has_image_addresses: ``--image-prefix`` is possible.
        has_links: ``--images link`` is possible.
        has_validation: It has a part for validation, so ``--val-share`` is possible.
        is_flat: The photos lie in one folder, without sub-folders, in which readers of the format do not look.
        not_shown: Formats of photos, as Pillow calls them, that the tool cannot show. They are written as PNG.
    """

    write: "Callable[[MaskExport], None]"
    packages: tuple[str, ...] = ()
    for_correction: bool = False
    keeps_ignored: bool = True
    has_instances: bool = True
    has_polygons: bool = False
    has_image_addresses: bool = False
    has_links: bool = True
    has_validation: bool = True
    is_flat: bool = False
    not_shown: tuple[str, ...] = ()


@dataclass
class MaskExport:
    """One export, while it is written.

    Attributes:
        folder: Empty folder for the files.
        source: The photos and masks to write.
        config: Settings of the export.
        image_prefix: Text before the path of a photo in formats that store addresses.
        threads: Number of photos that are processed at the same time.
        not_shown: As in :class:`MaskFormat`.
        flat_names: Name in the export by name of the photo, if the format is flat; else empty.
        photos_written: Number of photos that :meth:`map_photos` has yielded.
        validation_written: Those among them that are for validation.
        photos_with_ignored: Those among them that have pixels to ignore.
        photos_not_shown: Those among them that the tool cannot show, because ``images`` is ``none``.
    """

    folder: Path
    source: MaskSource
    config: MaskExportConfig
    image_prefix: str
    threads: int
    not_shown: tuple[str, ...] = ()
    flat_names: Mapping[str, str] = field(default_factory=dict)
    photos_written: int = 0
    validation_written: int = 0
    photos_with_ignored: int = 0
    photos_not_shown: int = 0

    def map_photos(self, function: "Callable[[LoadedPhoto], Result]") -> Iterator[Result]:
        """Load each photo's mask and call ``function`` with it, in a thread pool; yield the results in order.

        It can be called once, because it consumes the photos of the source.
        """

        def load_and_call(photo_mask: PhotoMask) -> "tuple[LoadedPhoto, Result]":
            photo = self._load(photo_mask)
            return photo, function(photo)

        for photo, result in map_threads(load_and_call, self.source.photos, self.threads):
            self.photos_written += 1
            self.validation_written += photo.split == VALIDATION
            self.photos_with_ignored += photo.has_ignored
            self.photos_not_shown += self.config.images == "none" and photo.header.kind in self.not_shown
            yield result

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the parts: `TRAIN`, and `VALIDATION` if photos were chosen for it."""
        return (TRAIN, VALIDATION) if self.source.validation else (TRAIN,)

    @property
    def validation_folder(self) -> str:
        """The part that trainers measure on: `VALIDATION`, or `TRAIN` if no photo for validation was written."""
        return VALIDATION if self.validation_written else TRAIN

    @property
    def annotation_labels(self) -> list[tuple[int, str]]:
        """Index and name of each label of a labeling tool: all classes but background, and one for ignored pixels."""
        classes = self.source.classes
        named = [(label, sanitize_name(name)) for label, name in enumerate(classes) if label != BACKGROUND]
        return [*named, (IGNORE, ignore_label(classes))]

    def _load(self, photo_mask: PhotoMask) -> "LoadedPhoto":
        path, classes = photo_mask.path, self.source.classes
        header = read_header(path)
        if photo_mask.mask_file:  # before the mask is decoded: it may be too large for the memory
            _check_size(path, header, read_size(photo_mask.mask_file))
        mask = photo_mask.read_mask()
        _check_size(path, header, mask.shape)
        unknown = [label for label in classes_in(mask) if label >= len(classes)]
        if unknown:
            raise DataError(
                f"The mask of {path} must hold class indices from 0 to {len(classes) - 1}, but holds {unknown[0]}."
            )
        return LoadedPhoto(self, photo_mask, header, mask)


def _check_size(photo: Path, header: Header, size: tuple[int, ...]) -> None:
    if size != header.size:
        raise DataError(
            f"The mask of {photo} must have the size of its photo, {header.width} x {header.height} pixels, but has "
            f"{size[1]} x {size[0]}. The photo has changed since: run fit or predict again."
        )


@dataclass(frozen=True)
class LoadedPhoto:
    """A photo with its mask in memory.

    Attributes:
        export: The export that it belongs to.
        source: The photo, and where its mask came from.
        header: Format, size and orientation of the photo file.
        mask: Class indices, shape (H, W) of the upright photo.
    """

    export: MaskExport
    source: PhotoMask
    header: Header
    mask: Mask

    @property
    def name(self) -> str:
        """Relative path of the photo in the export, without a suffix."""
        return self.export.flat_names.get(self.source.name) or sanitize_path(self.source.name)

    @property
    def split(self) -> str:
        """The part of the export that the photo belongs to, `TRAIN` or `VALIDATION`."""
        return VALIDATION if self.source.name in self.export.source.validation else TRAIN

    @property
    def file_name(self) -> str:
        """Relative path of the photo in the export."""
        return self.name + _find_suffix(self.source.path, self.header, self._not_shown)

    @property
    def class_names(self) -> str | None:
        """Class names of a training photo, separated by `LABEL_SEPARATOR`; None for a photo without a label."""
        return LABEL_SEPARATOR.join(self.export.source.classes[label] for label in self.source.labels or ()) or None

    @property
    def score(self) -> float | None:
        """Quality score, rounded to four digits."""
        return None if self.source.score is None else round(self.source.score, 4)

    @property
    def has_ignored(self) -> bool:
        """Whether the mask has pixels to ignore."""
        return bool((self.mask == IGNORE).any())

    def save(self, folder: Path) -> None:
        """Copy or link the photo file to ``folder / file_name``, as the setting ``images`` says.

        A photo with an EXIF orientation is encoded again, upright. Many readers ignore EXIF, and the mask would not lie
        on its object. A photo that the tool cannot show is encoded as PNG.
        """
        encode_as = self.header.kind if self.header.turned else None
        if self.header.kind in self._not_shown:
            encode_as = "PNG"
        save_photo(self.source.path, folder / self.file_name, self.export.config.images, encode_as)

    @property
    def _not_shown(self) -> tuple[str, ...]:
        """Formats that are written as PNG; none without copies of the photos, because their addresses must stay."""
        return () if self.export.config.images == "none" else self.export.not_shown

    def objects(self, include_ignored: bool = False) -> "Iterator[ObjectMask]":
        """Yield one object per class, or per connected part of a class, as the setting ``instances`` says.

        Args:
            include_ignored: Yield the pixels to ignore, too.
        """
        for label in classes_in(self.mask) + [IGNORE] * (include_ignored and self.has_ignored):
            binary = (self.mask == label).astype(np.uint8)
            if self.export.config.instances == "part":
                yield from split_into_parts(label, binary)
            else:
                yield crop_to_object(label, binary)


def flatten_names(names: Sequence[str]) -> dict[str, str]:
    """Make a file name without folders for each photo, such as ``cat_1`` for ``cat/1``.

    Names that would be equal, also on a file system that ignores case, and names that are too long get a hash.

    Args:
        names: Names of all photos of an export, distinct.

    Returns:
        The file name, without a suffix, by name.
    """
    flat = {name: sanitize_path(name).replace("/", "_") for name in names}
    uses = Counter(one.casefold() for one in flat.values())
    return {
        name: one if uses[one.casefold()] == 1 and len(one.encode()) <= MAX_NAME_BYTES else _add_hash(one, name)
        for name, one in flat.items()
    }


def _add_hash(flat: str, name: str) -> str:
    return f"{flat.encode()[: MAX_NAME_BYTES - 9].decode('utf-8', 'ignore')}-{hash_text(name)}"


def encode_upright(photo: Path, image_format: str) -> bytes:
    """Decode a photo, turn it as its EXIF says, and encode it in a format that Pillow knows, such as ``JPEG``."""
    encoded = io.BytesIO()
    PillowImage.fromarray(read_image(photo)).save(encoded, format=image_format, quality=JPEG_QUALITY, lossless=True)
    return encoded.getvalue()


def save_photo(photo: Path, path: Path, images: str, encode_as: str | None) -> None:
    """Copy, link or encode a photo.

    Args:
        photo: The file of the photo.
        path: The file to create.
        images: ``copy``, ``link`` or ``none``.
        encode_as: Format in which the photo is encoded again. None copies or links the file unchanged.
    """
    if images == "none":
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if encode_as:
        path.write_bytes(encode_upright(photo, encode_as))
    elif images == "link":
        path.symlink_to(photo.absolute())
    else:
        shutil.copyfile(photo, path)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file and create its folder; not atomically, because the whole export folder is renamed at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def write_lines(path: Path, lines: list[str]) -> None:
    r"""Write UTF-8 text; every line ends in ``\n`` on every operating system."""
    write_bytes(path, "".join(f"{line}\n" for line in lines).encode())


def write_yaml(path: Path, values: Mapping[str, Any]) -> None:
    """Write YAML in UTF-8; the keys keep their order."""
    import yaml  # of the extra "export"

    write_lines(path, [yaml.safe_dump(dict(values), allow_unicode=True, sort_keys=False).rstrip()])


def _find_suffix(photo: Path, header: Header, not_shown: tuple[str, ...]) -> str:
    """Return the suffix of a photo file; if the tool does not show such files, the usual suffix of the format."""
    if header.kind in not_shown:
        return ".png"
    hidden = [".jfif", ".jpe", *(suffix for kind in not_shown for suffix in _SUFFIXES[kind])]
    if photo.suffix.lower() in PHOTO_ENDINGS and photo.suffix.lower() not in hidden:
        return photo.suffix
    return "." + header.kind.lower().replace("jpeg", "jpg")
