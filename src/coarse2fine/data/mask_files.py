"""Find the mask files in a folder that a user gives, and check that they fit their photos."""

import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

from coarse2fine.data.photo_files import find_photos
from coarse2fine.data.photos import Header
from coarse2fine.errors import DataError

MASK_ENDING = ".png"
"""File name ending of masks, compared without case."""


def list_masks(folder: Path) -> dict[str, Path]:
    """List the masks at any depth below a folder, without decoding one.

    Hidden files and those of macOS (``._a.png``) are ignored, as beside photos.

    Returns:
        The files by name, sorted: the path below the folder without its ending, with composed accents (NFC). An empty
        dictionary if ``folder`` is no folder.

    Raises:
        DataError: Two files have the same name, such as ``a.png`` and ``a.PNG``, or a folder cannot be listed.
    """
    masks: dict[str, Path] = {}
    for path in sorted(find_photos(folder, (MASK_ENDING,))) if folder.is_dir() else []:
        name = _compose(path.relative_to(folder).with_suffix("").as_posix())
        if name in masks:
            raise DataError(f"A photo can have only one mask, but {masks[name]} and {path} are two; remove one.")
        masks[name] = path
    return masks


def match_masks(names: Iterable[str], masks: Mapping[str, Path]) -> dict[str, Path]:
    """Find the masks of photos.

    Args:
        names: Names of the photos, with composed or decomposed accents.
        masks: From :func:`list_masks`.

    Returns:
        The mask of each photo that has one, by the photo's name, in the order of ``names``.
    """
    return {name: masks[_compose(name)] for name in names if _compose(name) in masks}


def match_files(paths: Iterable[Path], root: Path, masks: Iterable[str]) -> dict[str, Path]:
    """Find for every name of a mask the photo or prediction of the same name, with or without its ending.

    Args:
        paths: Photos or predicted masks below ``root``.
        root: Their folder.
        masks: Names from :func:`list_masks`.

    Returns:
        The file of each name that has one. If ``a.jpg`` and ``a.png`` both exist, their masks are ``a.jpg.png`` and
        ``a.png.png``.
    """
    relative = {path: path.relative_to(root) for path in paths}
    by_name = {_compose(name.with_suffix("").as_posix()): path for path, name in relative.items()}
    by_name |= {_compose(name.as_posix()): path for path, name in relative.items()}
    return {name: by_name[name] for name in masks if name in by_name}


def check_mask_size(found: tuple[int, ...], header: Header, mask: Path, photo: Path) -> None:
    """Check that a mask has the height and width of its upright photo.

    Args:
        found: Height and width of the mask.
        header: Header of the photo.
        mask: The mask file, for the message.
        photo: The photo file, for the message.

    Raises:
        DataError: The size differs. The message says so if EXIF turns the photo, but the mask was not turned.
    """
    height, width = header.size
    if tuple(found) == (height, width):
        return
    turned = header.turned and tuple(found) == (width, height)
    raise DataError(
        f"{mask} must have the size of its photo {photo}, but has {found[1]} x {found[0]} pixels, and the photo has "
        f"{width} x {height}"
        + (
            " after the EXIF flag of the photo turned it; turn the mask in the same way."
            if turned
            else "; make the mask anew from this photo, or remove it."
        )
    )


def _compose(name: str) -> str:
    return unicodedata.normalize("NFC", name)
