"""Data sets as class folders: one sub-folder of photos per class."""

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from coarse2fine.data.photo_files import PHOTO_ENDINGS, describe_ignored, find_photos, is_hidden
from coarse2fine.errors import DataError
from coarse2fine.types import (
    BACKGROUND,
    FOREGROUND_CLASSES,
    LABEL_SEPARATOR,
    MAX_CLASSES,
    Dataset,
    Photo,
    Skipped,
)

_MAX_LAST_BYTES = 251
"""Longest last part of a name: file systems allow 255 bytes, and ``.png`` is added."""

_CUT_BYTES = 200
"""Length to which a longer last part is cut, before a hash and an ending are added."""

_MAX_FOLDER_BYTES = 1500
"""Longest folder of a name: operating systems allow 4096 bytes, and the path of the run folder comes before it."""

_ENDINGS = " ".join(PHOTO_ENDINGS)
_UNLABELED = "_unlabeled"
_JOINERS = "\u200c\u200d"


def read_class_folders(root: Path) -> Dataset:
    """List ``root/<class>/**/<photo>`` without decoding a photo.

    Args:
        root: Folder with one sub-folder per class; hidden sub-folders are ignored.

    Returns:
        The data set, classes sorted by name; folders whose names look alike are one class (:func:`clean_label`).
        Photos outside the class folders and in ``_unlabeled`` (of FiftyOne), empty class folders and names that are
        not UTF-8 are skipped.

    Raises:
        DataError: ``root`` is no folder, has no class folder with photos, a class called background, or too many
            classes.
    """
    folders = _list_class_folders(root)
    _refuse_reserved([clean_label(folder) for folder in folders], root)
    others: list[Path] = []
    files, skipped = _split_usable(root, others)
    used = [file.relative_to(root).parts[0] for file in files]
    empty = sorted(set(folders) - set(used))
    labels = [clean_label(folder) for folder in used]
    if not folders:
        photos = "1 photo" if len(skipped) == 1 else f"{len(skipped) or 'no'} photos"
        loose = f"{photos} outside of sub-folders" if skipped else photos
        raise DataError(
            f"{root} must contain one sub-folder of photos per class, such as {root / 'cat' / '1.jpg'}; found {loose}."
        )
    if not files:
        raise DataError(
            f"{root} holds no images ({_ENDINGS}) in {', '.join(empty)}; each class needs at least one"
            f"{_describe_others(others)}."
        )
    skipped += _skip_others(root, others)
    skipped += [Skipped(root / name, f"holds no images ({_ENDINGS})") for name in empty if is_text(name)]
    classes = index_classes(labels, root)
    names = unique_names([file.relative_to(root).as_posix() for file in files])
    return make_dataset(
        classes, [(file, name, [label]) for file, name, label in zip(files, names, labels, strict=True)], skipped
    )


def read_unlabeled_folder(root: Path) -> Dataset:
    """List the photos at any depth below a folder, without decoding a photo; their only class is foreground.

    Args:
        root: Folder of photos, with or without sub-folders; hidden files and folders are ignored.

    Returns:
        The data set; photos with names that are not UTF-8 are skipped.

    Raises:
        DataError: ``root`` is no folder, or has no photos.
    """
    _list_class_folders(root)
    others: list[Path] = []
    files, skipped = _split_readable(root, others)
    skipped += _skip_others(root, others)
    if not files:
        found = _describe_others(others)
        raise DataError(f"{root} must contain photos ({_ENDINGS}), at any depth, but has none{found}.")
    names = unique_names([file.relative_to(root).as_posix() for file in files])
    photos = [(file, name, FOREGROUND_CLASSES[1:]) for file, name in zip(files, names, strict=True)]
    return make_dataset(FOREGROUND_CLASSES, photos, skipped)


def make_dataset(
    classes: tuple[str, ...], photos: Iterable[tuple[Path, str, Sequence[str]]], skipped: Iterable[Skipped]
) -> Dataset:
    """Make a data set with sorted photos.

    Args:
        classes: Class names by index.
        photos: Path, name and class names of each photo.
        skipped: Files that cannot be used.
    """
    index = {name: label for label, name in enumerate(classes)}
    found = [Photo(path, name, tuple(sorted({index[label] for label in labels}))) for path, name, labels in photos]
    return Dataset(
        classes=classes,
        photos=tuple(sorted(found, key=lambda photo: photo.name)),
        skipped=tuple(sorted(skipped, key=lambda one: str(one.path))),
    )


def add_negatives(dataset: Dataset, folder: Path) -> Dataset:
    """Add the photos at any depth below a folder as photos without a label, without decoding a photo.

    Their names are ``background/<photo>``, so that their masks have a folder of their own.

    Args:
        dataset: The photos with labels.
        folder: Folder of photos that show none of the classes.

    Returns:
        The data set with these photos.

    Raises:
        DataError: The folder does not exist, or has no photos.
    """
    what = f"--negatives must be a folder of photos ({_ENDINGS}) that show none of the classes, but"
    if not folder.is_dir():
        raise DataError(f"{what} {folder} {'is a file' if folder.exists() else 'does not exist'}.")
    others: list[Path] = []
    files, skipped = _split_readable(folder, others)
    skipped += _skip_others(folder, others)
    if not files:
        raise DataError(f"{what} {folder} has none{_describe_others(others)}. Add photos, or leave out the option.")
    prefix = dataset.classes[BACKGROUND]
    paths = [f"{prefix}/{file.relative_to(folder).as_posix()}" for file in files]
    taken = {_fold(photo.name) for photo in dataset.photos}
    names = [
        _add_hash(path) if _fold(name) in taken else name for path, name in zip(paths, unique_names(paths), strict=True)
    ]
    photos = [*dataset.photos, *(Photo(file, name, ()) for file, name in zip(files, names, strict=True))]
    return replace(
        dataset,
        photos=tuple(sorted(photos, key=lambda photo: photo.name)),
        skipped=tuple(sorted([*dataset.skipped, *skipped], key=lambda one: str(one.path))),
    )


def index_classes(labels: Iterable[str], where: Path) -> tuple[str, ...]:
    """Return the class names by index: background, then each label once, sorted.

    Args:
        labels: Class names of the photos.
        where: Path of the data set, for error messages.

    Raises:
        DataError: A class is called background, its name contains `LABEL_SEPARATOR`, or there are more than
            ``MAX_CLASSES``.
    """
    names = sorted(set(labels))
    _refuse_reserved(names, where)
    if len(names) > MAX_CLASSES:
        raise DataError(
            f"{where} has {len(names)} classes, but an 8-bit mask allows at most {MAX_CLASSES}; merge or remove some."
        )
    return ("background", *names)


def clean_label(text: str) -> str:
    """Return a label without differences that nobody sees, so that labels that look alike are one class.

    Accents are composed (NFC), words are separated by one ordinary space, and invisible characters are removed: control
    and format characters (such as a zero-width space), but not the joiners of Indic and Persian script inside a word.
    """
    composed = unicodedata.normalize("NFC", " ".join(text.split()))
    visible = (letter for letter in composed if letter in _JOINERS or unicodedata.category(letter) not in ("Cc", "Cf"))
    return " ".join(word.strip(_JOINERS) for word in "".join(visible).split()).strip()


def unique_names(files: Sequence[str]) -> list[str]:
    """Make names that stay distinct if the file system ignores case or composes accents.

    A name is the path without its ending. Names that would be equal keep their ending, and names that would still be
    equal get a hash of the path. So do names of which no file ``<name>.png`` can be written, and those that end in
    ``.`` or ``..``, such as of a file ``...jpg``: they are cut, and bytes that are not UTF-8 are replaced.

    Args:
        files: Paths such as ``<class folder>/<photo with ending>``, distinct.

    Returns:
        Names in the order of ``files``; they depend only on the set of files, not on their order.
    """
    names = [_drop_ending(file) for file in files]
    for rename in (str, _add_hash):
        uses = Counter(_fold(name) for name in names)
        names = [rename(file) if uses[_fold(name)] > 1 else name for file, name in zip(files, names, strict=True)]
    return [name if _is_writable(name) else _add_hash(file) for file, name in zip(files, names, strict=True)]


def hash_text(text: str) -> str:
    """Return a hash of a text: eight hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def is_text(name: str) -> bool:
    """Return whether a file name is valid UTF-8, so that it can be printed and written into files."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def replace_bad_bytes(file: Path) -> Path:
    """Replace the bytes of a path that are not UTF-8, so that it can be printed."""
    return Path(os.fsencode(file).decode("utf-8", "replace"))


def _refuse_reserved(names: Sequence[str], where: Path) -> None:
    for name in names:
        if not name:
            raise DataError(f"{where}: a class name must have a visible character, but one has none; rename it.")
        if LABEL_SEPARATOR in name:
            raise DataError(
                f"{where}: a class name must not contain '{LABEL_SEPARATOR}', which separates several labels, but one "
                f"is '{name}'; rename it. A photo of several classes belongs in the folder of each of them."
            )
        if name.casefold() == "background":
            raise DataError(f"{where}: no class may be called '{name}', the name of pixels without a class; rename it.")


def _list_class_folders(root: Path) -> list[str]:
    try:
        return [path.name for path in root.iterdir() if path.is_dir() and not _is_ignored(path.name)]
    except OSError as error:
        raise DataError(
            f"{root} must be a folder with one sub-folder of photos per class ({error.strerror})."
        ) from error


def _is_ignored(name: str) -> bool:
    return is_hidden(name) or name == _UNLABELED


def _describe_others(others: Sequence[Path]) -> str:
    return f"; {describe_ignored(others)}" if others else ""


def _skip_others(root: Path, others: Sequence[Path]) -> list[Skipped]:
    """Return one entry for all files that are no photos by their endings; there may be one beside each photo."""
    return [Skipped(root, describe_ignored(others))] if others else []


def _split_usable(root: Path, others: list[Path]) -> tuple[list[Path], list[Skipped]]:
    readable, skipped = _split_readable(root, others)
    loose = [file for file in readable if file.parent == root]
    skipped += [Skipped(file, "is outside the class folders; move it into one") for file in loose]
    unlabeled = [file for file in readable if file.relative_to(root).parts[0] == _UNLABELED]
    skipped += [Skipped(file, "has no label, because it lies in the folder _unlabeled") for file in unlabeled]
    return [file for file in readable if file.parent != root and file.relative_to(root).parts[0] != _UNLABELED], skipped


def _split_readable(root: Path, others: list[Path]) -> tuple[list[Path], list[Skipped]]:
    usable, skipped = [], []
    for file in find_photos(root, others=others):
        if is_text(str(file.relative_to(root))):
            usable.append(file)
        else:
            skipped.append(Skipped(replace_bad_bytes(file), "its name is not UTF-8 text; rename it"))
    return usable, skipped


def _drop_ending(file: str) -> str:
    return PurePosixPath(file).with_suffix("").as_posix()


def _add_hash(file: str) -> str:
    folder, slash, last = replace_bad_bytes(Path(_drop_ending(file))).as_posix().rpartition("/")
    if len(folder.encode()) > _MAX_FOLDER_BYTES:
        folder = folder.partition("/")[0]
    return f"{folder}{slash}{_cut(last)}-{hash_text(file)}"


def _cut(text: str) -> str:
    return text.encode()[:_CUT_BYTES].decode("utf-8", "ignore")


def _is_writable(name: str) -> bool:
    folder, _, last = name.rpartition("/")
    if not is_text(name) or last in (".", ".."):
        return False
    return len(last.encode()) <= _MAX_LAST_BYTES and len(folder.encode()) <= _MAX_FOLDER_BYTES


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def names_below_common_folder(paths: Sequence[Path], given: Sequence[Path | str]) -> list[str]:
    """Return distinct names without endings: the paths below the deepest folder that contains all that was given.

    Args:
        paths: The files.
        given: What the user named to find them: of a single folder, the names are the paths below it.
    """
    absolute = [path.absolute() for path in paths]
    folders = [Path(one).absolute() for one in given if Path(one).is_dir()]
    common = Path(os.path.commonpath([path.parent for path in absolute] + folders))
    return unique_names([path.relative_to(common).as_posix() for path in absolute])
