"""DAVIS: frames of videos with masks of the moving objects.

Folders in the archives of 2016 and 2017::

    DAVIS/
      JPEGImages/480p/<video>/<frame>.jpg
      Annotations/480p/<video>/<frame>.png    0 is background; in 2017 each object has an index
      ImageSets/480p/val.txt                  2016: /JPEGImages/480p/<video>/<frame>.jpg /Annotations/...png
      ImageSets/2017/val.txt                  2017: <video>

The same for any other videos: ``frames/<video>/<frame>.jpg`` and ``masks/<video>/<frame>.png``.

Source: Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation" (CVPR 2016);
Pont-Tuset et al., "The 2017 DAVIS Challenge on Video Object Segmentation".
"""

from collections.abc import Iterator
from pathlib import Path

from coarse2fine.data.mask_files import list_masks
from coarse2fine.data.photo_files import find_photos, natural_key
from coarse2fine.data.photo_mask_pairs import Pairs, read_lines
from coarse2fine.errors import DataError
from coarse2fine.types import FOREGROUND_CLASSES

ADDRESS = "https://davischallenge.org"
_RESOLUTION = "480p"
_VAL_LISTS = ("480p/val.txt", "2016/val.txt", "2017/val.txt")


def is_davis(path: Path) -> bool:
    """Return whether ``path`` is the folder DAVIS."""
    return all((path / name).is_dir() for name in ("JPEGImages", "Annotations", "ImageSets"))


def find_validation_list(davis: Path) -> Path:
    """Find the list of the validation videos: the list of 2016 if it exists, else of 2017.

    Raises:
        DataError: Neither exists.
    """
    for name in _VAL_LISTS:
        if (davis / "ImageSets" / name).is_file():
            return davis / "ImageSets" / name
    places = ", ".join(str(davis / "ImageSets" / name) for name in _VAL_LISTS)
    raise DataError(f"DAVIS must have a list of its validation videos, but none of {places} exists; see {ADDRESS}.")


def read_davis_pairs(davis: Path, file: Path) -> Pairs:
    """Read the frames of the videos of a list, with their ground-truth masks, at the resolution 480p.

    Args:
        davis: The folder DAVIS.
        file: A list of videos (2017) or of pairs of files (2016).

    Returns:
        Pairs called ``<video>/<frame>``, in the order of the list.

    Raises:
        DataError: The list, a video, or the mask of a frame does not exist.
    """
    videos = list(dict.fromkeys(_video_of(line) for line in read_lines(file)))
    frames = [frame for video in videos for frame in _find_frames(davis / "JPEGImages" / _RESOLUTION / video)]
    names = tuple(f"{frame.parent.name}/{frame.stem}" for frame in frames)
    masks = tuple(davis / "Annotations" / _RESOLUTION / f"{name}.png" for name in names)
    missing = [mask for mask in masks if not mask.is_file()]
    if missing:
        raise DataError(
            f"Every frame of {file} must have a mask, but {len(missing)} of {len(masks)} have none, the first is "
            f"{missing[0]}; the masks of the test videos are not public ({ADDRESS})."
        )
    return Pairs(f"DAVIS, {file.parent.name}/{file.stem}", names, tuple(frames), masks, FOREGROUND_CLASSES)


def is_frames_and_masks(path: Path) -> bool:
    """Return whether ``path`` contains the folders ``frames`` and ``masks``."""
    return (path / "frames").is_dir() and (path / "masks").is_dir()


def read_frame_pairs(root: Path) -> Pairs:
    """Read frames of any videos, with ground-truth masks of the moving objects.

    Args:
        root: Contains ``frames`` and ``masks`` with the same file names, at any depth; frames without a mask are not
            used.

    Raises:
        DataError: There are no masks, or a mask has no frame.
    """
    frames = {_name_below(root / "frames", path): path for path in find_photos(root / "frames")}
    masks = sorted(list_masks(root / "masks").values(), key=lambda path: [natural_key(part) for part in path.parts])
    names = tuple(_name_below(root / "masks", path) for path in masks)
    if not names:
        raise DataError(f"{root / 'masks'} must contain ground-truth masks of the frames (.png), but has none.")
    alone = [name for name in names if name not in frames]
    if alone:
        raise DataError(
            f"Every mask needs its frame, but {root / 'masks' / alone[0]}.png has none in {root / 'frames'}."
        )
    return Pairs(f"frames of {root}", names, tuple(frames[name] for name in names), tuple(masks), FOREGROUND_CLASSES)


def _name_below(folder: Path, path: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def _video_of(line: str) -> str:
    first = line.split(maxsplit=1)[0]
    return Path(first).parent.name if "/" in first else first


def _find_frames(folder: Path) -> Iterator[Path]:
    frames = sorted(find_photos(folder, (".jpg",)), key=lambda path: natural_key(path.name)) if folder.is_dir() else []
    if not frames:
        raise DataError(f"{folder} must be a folder of frames (.jpg), but it is missing or empty; see {ADDRESS}.")
    yield from frames
