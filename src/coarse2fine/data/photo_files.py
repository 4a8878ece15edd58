"""Find photo files in folders and glob patterns, and sort them in natural order."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from coarse2fine.errors import DataError

PHOTO_ENDINGS = (".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
"""File name endings of photos, in lower case; compared without case."""

_MAX_ENDINGS_SHOWN = 8


def list_photos(
    paths: Path | str | Sequence[Path | str],
    apart_from: Path | None = None,
    on_ignored: Callable[[str], None] = lambda _text: None,
) -> list[Path]:
    """List photo files in natural order: ``2.jpg`` before ``10.jpg``.

    Args:
        paths: One or several of: a file, with any ending; a folder, searched to any depth; a glob pattern such as
            ``in/**/*.jpg``. Hidden entries and ``__MACOSX`` are ignored unless they are named.
        apart_from: A folder to ignore: the folder of the results may lie among the photos.
        on_ignored: Called once with the number and the endings of files that have no ending of photos, if there are
            any.

    Returns:
        Each photo once.

    Raises:
        DataError: A path does not exist, or contains no photo.
    """
    given = [paths] if isinstance(paths, Path | str) else paths
    others: list[Path] = []
    photos = {photo for path in given for photo in _list_one(Path(path), others)}
    if apart_from is not None:
        results = apart_from.resolve()
        photos = {photo for photo in photos if not photo.parent.resolve().is_relative_to(results)}
        others = [other for other in others if not other.parent.resolve().is_relative_to(results)]
    if others:
        on_ignored(describe_ignored(others))
    if not photos:
        raise DataError("At least one photo, folder or pattern must be given, outside the folder of the results.")
    return sorted(photos, key=lambda photo: ([natural_key(part) for part in photo.parts], str(photo)))


def find_photos(
    folder: Path, endings: tuple[str, ...] = PHOTO_ENDINGS, others: list[Path] | None = None
) -> Iterator[Path]:
    """Find photo files at any depth below a folder, in no particular order.

    Links are followed; a link to a folder above itself is not followed again.

    Args:
        folder: The folder.
        endings: File name endings to look for, in lower case.
        others: Files with other endings that are not hidden are appended.

    Raises:
        DataError: A folder cannot be listed.
    """
    return _walk(folder, endings, [] if others is None else others, above=())


def describe_ignored(others: Sequence[Path]) -> str:
    """Describe files that were ignored because of their endings, such as ``2 files ignored ...: 1 .heic, 1 .txt``."""
    counts = Counter(other.suffix.lower() or "without ending" for other in others)
    listed = [f"{count} {ending}" for ending, count in counts.most_common(_MAX_ENDINGS_SHOWN)]
    more = ["..."] if len(counts) > _MAX_ENDINGS_SHOWN else []
    files = "1 file" if len(others) == 1 else f"{len(others)} files"
    return f"{files} ignored because photos end in {' '.join(PHOTO_ENDINGS)}: {', '.join(listed + more)}"


def is_hidden(name: str) -> bool:
    """Return whether a file or folder with this name is hidden or made by macOS, so that it is ignored."""
    return name.startswith(".") or name == "__MACOSX"


def is_photo(path: Path) -> bool:
    """Return whether a file has a file name ending of photos and is not hidden."""
    return path.suffix.lower() in PHOTO_ENDINGS and not is_hidden(path.name)


def natural_key(text: str) -> list[str | int]:
    """Return a sort key that puts ``2`` before ``10``."""
    pieces = re.split(r"([0-9]+)", text.casefold())
    return [int(piece) if index % 2 else piece for index, piece in enumerate(pieces)]


def _list_one(path: Path, others: list[Path]) -> list[Path]:
    before = len(others)
    if path.is_dir():
        photos = list(find_photos(path, others=others))
    elif path.is_file() or path.is_symlink():
        return [path]
    elif any(mark in str(path) for mark in "*?["):
        photos = _expand(path, others)
    else:
        raise DataError(f"{path}: there is no such file or folder.")
    if not photos:
        found = f"; {describe_ignored(others[before:])}" if others[before:] else ""
        raise DataError(f"{path} holds no images ({' '.join(PHOTO_ENDINGS)}){found}.")
    return photos


def _expand(pattern: Path, others: list[Path]) -> list[Path]:
    start = Path(pattern.anchor)
    try:
        matches = list(start.glob(str(pattern.relative_to(start))))
    except ValueError as error:
        raise DataError(f"{pattern} must be a pattern such as in/**/*.jpg ({error}).") from error
    seen = [match for match in matches if not any(is_hidden(part) for part in set(match.parts) - set(pattern.parts))]
    folders = [photo for match in seen if match.is_dir() for photo in find_photos(match, others=others)]
    files = [match for match in seen if not match.is_dir()]
    others += [file for file in files if file.suffix.lower() not in PHOTO_ENDINGS]
    return folders + [file for file in files if file.suffix.lower() in PHOTO_ENDINGS]


def _walk(folder: Path | str, endings: tuple[str, ...], others: list[Path], above: tuple[str, ...]) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in above:
        return
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise DataError(
            f"{folder} cannot be listed ({error.strerror}); make it readable, or move it out of the data set."
        ) from error
    for entry in entries:
        if is_hidden(entry.name):
            continue
        if Path(entry.path).is_dir() if entry.is_symlink() else entry.is_dir():
            yield from _walk(entry.path, endings, others, (*above, real))
        elif entry.name.lower().endswith(endings):
            yield Path(entry.path)
        else:
            others.append(Path(entry.path))
