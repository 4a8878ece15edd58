"""Data sets with a folder for each part (train, validation, test), and their metadata files.

Source: https://huggingface.co/docs/datasets/image_dataset, ImageFolder.
"""

import re
from pathlib import Path

from coarse2fine.data.photo_files import is_hidden

_TRAIN = ("train", "training")
_OTHERS = ("validation", "valid", "val", "dev", "test", "testing", "eval")
METADATA = ("metadata.csv", "metadata.jsonl")
_MAX_HEADER_BYTES = 1 << 16


def find_train_part(folder: Path) -> tuple[Path, list[Path]]:
    """Return the folder to train on, and the other parts.

    Args:
        folder: A data set. It has parts if all its sub-folders have names of parts, and the one for training has
            sub-folders or a metadata file. Otherwise it has none, such as with the class folders ``train`` and ``bus``.

    Returns:
        The training part and an empty or longer list; ``folder`` and an empty list if it has no parts.
    """
    parts = {path.name.casefold(): path for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name)}
    train = next((parts[name] for name in _TRAIN if name in parts), None)
    others = [path for name, path in sorted(parts.items()) if name in _OTHERS]
    if train is None or not others or len(parts) > 1 + len(others):
        return folder, []
    has_classes = any(path.is_dir() and not is_hidden(path.name) for path in train.iterdir())
    return (train, others) if has_classes or find_metadata(train) else (folder, [])


def find_metadata(folder: Path) -> Path | None:
    """Return the metadata file of a folder of photos, as Hugging Face names it.

    It counts if it has labels, or if there are no class folders; a file of captions beside class folders does not.
    """
    file = next((folder / name for name in METADATA if (folder / name).is_file()), None)
    has_classes = any(path.is_dir() and not is_hidden(path.name) for path in folder.iterdir())
    return file if file and (not has_classes or _names_label(file)) else None


def _names_label(file: Path) -> bool:
    with file.open("rb") as content:
        first = content.readline(_MAX_HEADER_BYTES)
    return bool(re.search(rb'"labels?"' if file.suffix == ".jsonl" else rb"(?i)\blabels?\b", first))
