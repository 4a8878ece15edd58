"""Class names of a folder of masks."""

from pathlib import Path

from coarse2fine.data.class_folders import clean_label
from coarse2fine.data.mask_files import list_masks
from coarse2fine.errors import DataError
from coarse2fine.masks.png import read_mask
from coarse2fine.masks.regions import classes_in
from coarse2fine.runtime.files import read_json
from coarse2fine.types import FOREGROUND_CLASSES


def read_class_names(file: Path | None, masks: Path, ground_truth: Path) -> tuple[str, ...]:
    """Read class names by index; without names, number the classes up to the highest index in the masks.

    Args:
        file: One name per line, or a JSON list; None to search for ``classes.json`` in or beside ``masks``.
        masks: Folder of predicted masks.
        ground_truth: Folder of ground-truth masks.

    Raises:
        DataError: ``file`` cannot be read.
    """
    if names := find_class_names(file, masks):
        return names
    paths = [path for folder in (masks, ground_truth) for path in list_masks(folder).values()]
    highest = max((index for path in paths for index in classes_in(read_mask(path))), default=1)
    return ("background", *(str(index) for index in range(1, highest + 1)))


def find_class_names(file: Path | None, masks: Path) -> tuple[str, ...] | None:
    """Read class names by index from ``file``, or from ``classes.json`` in or beside ``masks``.

    Returns:
        The names; None if there is neither file.

    Raises:
        DataError: ``file`` cannot be read.
    """
    for path in [file] if file else [masks / "classes.json", masks.parent / "classes.json"]:
        if file or path.exists():
            return _read_names(path)
    return None


def find_ground_truth_classes(file: Path | None, masks: Path) -> tuple[str, ...] | None:
    """Read the class names of ground-truth masks by index, as :func:`find_class_names`.

    Raises:
        DataError: The first name is not background, or ``file`` cannot be read.
    """
    names = find_class_names(file, masks)
    if names and names[0] != FOREGROUND_CLASSES[0]:
        raise DataError(
            f"The first class name of the ground truth {masks} must be '{FOREGROUND_CLASSES[0]}', the class of "
            f"index 0, but is '{names[0]}'. Correct {file or 'its classes.json'}."
        )
    return names


def _read_names(file: Path) -> tuple[str, ...]:
    needed = "they must be a UTF-8 text file with one name per line, or a JSON list"
    try:
        given = read_json(file) if file.suffix == ".json" else file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The class names {file} cannot be read ({error}); {needed}.") from error
    if not isinstance(given, list) or not all(isinstance(name, str | int) for name in given):
        raise DataError(f"The class names {file} cannot be used; {needed}.")
    lines = [str(name) for name in given if not str(name).startswith("sep=")]  # Excel writes "sep=;" and "cat;"
    names = tuple(name for line in lines if (name := clean_label(line.strip("; \t"))))
    twice = [name for name in names if names.count(name) > 1]
    if twice or not names:
        found = f"'{twice[0]}' occurs twice" if twice else "there is none"
        raise DataError(f"The class names {file} must be distinct, background first, but {found}.")
    return names
