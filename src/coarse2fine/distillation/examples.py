"""Training examples of a student network: frames or photos with the soft masks of a teacher."""

from collections.abc import Sequence
from pathlib import Path

from coarse2fine.data import list_photos
from coarse2fine.data.mask_files import list_masks, match_files
from coarse2fine.errors import DataError
from coarse2fine.runtime.device import count_cores
from coarse2fine.runtime.files import hash_file, hash_of, read_csv
from coarse2fine.runtime.threads import map_threads
from coarse2fine.store.fingerprints import describe_masks
from coarse2fine.types import Example

SELECTION = "selection.csv"
"""Table of the teacher: which frames are kept."""


def find_teacher_examples(frames: Sequence[Path], masks: Sequence[Path]) -> list[Example]:
    """Find the examples of generation 1.

    Args:
        frames: Folders of frames or photos.
        masks: One folder of soft masks for all folders of frames, or one for each, in their order.

    Raises:
        DataError: See :func:`find_selected_examples`.
    """
    if len(masks) == 1:
        return find_selected_examples(frames, masks[0])
    pairs = zip(frames, masks, strict=True)
    return [example for folder, of_frames in pairs for example in find_selected_examples([folder], of_frames)]


def find_selected_examples(frames: Sequence[Path], masks: Path) -> list[Example]:
    """Find the soft masks in a folder and their frames; if the teacher wrote a selection, only the frames it keeps.

    Args:
        frames: Folders of frames. A frame and its mask have the same path below their folders, without the suffix.
        masks: Folder of soft masks. ``selection.csv`` is read from this folder or from its parent folder.

    Raises:
        DataError: There is no mask, the selection keeps no mask, or a mask has no frame.
    """
    files = list_masks(masks)
    names = sorted(files)
    if not names:
        raise DataError(f"{masks} must hold soft masks as PNG files, but has none.")
    table = next((path for path in (masks / SELECTION, masks.parent / SELECTION) if path.is_file()), None)
    if table is not None:
        kept = {row["frame"] for row in read_csv(table, ["frame", "kept"]) if row["kept"] == "1"}
        names = [name for name in names if name in kept]
        if not names:
            raise DataError(f"{table} must keep at least one of the masks in {masks}, but keeps none.")
    paths = {name: path for root in frames for name, path in match_files(list_photos([root]), root, names).items()}
    missing = [name for name in names if name not in paths]
    if missing:
        raise DataError(
            f"Every mask must have a frame of the same name, but {len(missing)} of {len(names)} masks in {masks} "
            f"have no frame in {', '.join(map(str, frames))}; the first is {missing[0]}.png."
        )
    return [Example(paths[name], files[name]) for name in names]


def describe_examples(examples: Sequence[Example]) -> str:
    """Return a fingerprint of the names and the content of the photos, and of the content of their masks."""
    contents = map_threads(hash_file, [example.photo for example in examples], count_cores())
    photos = hash_of([(example.photo.name, content) for example, content in zip(examples, contents, strict=True)])
    return f"{len(examples)} ({photos}) {describe_masks([example.mask for example in examples])}"
