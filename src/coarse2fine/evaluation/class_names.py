"""Class names of a folder of masks."""

from pathlib import Path

from coarse2fine.errors import DataError
from coarse2fine.masks.png import read_mask
from coarse2fine.masks.regions import classes_in
from coarse2fine.runtime.files import read_json_as


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
    paths = [path for folder in (masks, ground_truth) for path in folder.rglob("*.png")]
    highest = max((index for path in paths for index in classes_in(read_mask(path))), default=1)
    return ("background", *(str(index) for index in range(1, highest + 1)))


def find_class_names(file: Path | None, masks: Path) -> tuple[str, ...] | None:
    """Read class names by index from ``file``, or from ``classes.json`` in or beside ``masks``.

    Returns:
        The names; None if there is neither file.

    Raises:
        DataError: ``file`` cannot be read.
    """
    if file and file.suffix != ".json":
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                f"The class names {file} cannot be read ({error}); they must be a text file with one name per line, or "
                "a JSON list."
            ) from error
        return tuple(line.strip() for line in lines if line.strip())
    for path in [file] if file else [masks / "classes.json", masks.parent / "classes.json"]:
        if file or path.exists():
            return tuple(read_json_as(path, list[str], "a list of class names"))
    return None
