"""MIT Object Discovery: photos from the Internet, some of which show no object, and masks of the object.

A tree as the archive unpacks it::

    ObjectDiscovery-data/Data/
      Airplane100/ Car100/ Horse100/     100 photos each
      Airplane/ Car/ Horse/              all photos; some of them have a mask
        <photo>.jpg
        GroundTruth/<photo>.png          the object is not 0

Photos without a mask, or with an empty one, show no object and are no truth: the paper counts 82, 89 and 93 photos in
the subsets and 470, 1,208 and 810 in the full sets.

Source: Rubinstein, Joulin, Kopf, Liu, "Unsupervised Joint Object Discovery and Segmentation in Internet Images" (CVPR
2013).
"""

from pathlib import Path

from coarse2fine.data.photo_files import PHOTO_ENDINGS, is_hidden, natural_key
from coarse2fine.data.photo_mask_pairs import Pairs, read_foreground
from coarse2fine.errors import DataError
from coarse2fine.runtime.device import count_cores
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import FOREGROUND_CLASSES

OBJECT_DISCOVERY_PHOTOS = {"Airplane100": 82, "Car100": 89, "Horse100": 93, "Airplane": 470, "Car": 1208, "Horse": 810}
"""Photos that show the object, as the paper counts them, by folder."""

ARCHIVE = "http://people.csail.mit.edu/mrub/ObjectDiscovery/ObjectDiscovery-data.zip"
_MASKS = "GroundTruth"


def is_object_discovery(path: Path) -> bool:
    """Whether ``path`` is a folder of photos with a folder GroundTruth in it, or the folder Data above these."""
    return any((path / name / _MASKS).is_dir() for name in (".", *OBJECT_DISCOVERY_PHOTOS))


def read_object_discovery(folder: Path) -> Pairs:
    """Photos that show the object, with its mask; decodes every mask.

    Args:
        folder: Of one class, such as ``Data/Airplane100``.

    Raises:
        DataError: The folder lacks photos or masks, a mask has no photo, or all masks are empty.
    """
    if not (folder / _MASKS).is_dir():
        _refuse(folder)
    photos = {path.stem: path for path in folder.iterdir() if _is_photo(path)}
    masks = sorted((folder / _MASKS).glob("*.png"), key=lambda path: (natural_key(path.stem), path.stem))
    if not photos or not masks:
        what = folder / _MASKS if photos else folder
        raise DataError(f"{what} must hold {'masks (.png)' if photos else 'photos'}, but has none; unpack {ARCHIVE}.")
    alone = [path for path in masks if path.stem not in photos]
    if alone:
        raise DataError(f"Every mask needs its photo, but {alone[0]} has none in {folder}; unpack {ARCHIVE} again.")
    shows = map_threads(lambda path: bool(read_foreground(path).any()), masks, count_cores())
    valid = [path for path, is_there in zip(masks, shows, strict=True) if is_there]
    if not valid:
        raise DataError(f"At least one mask in {folder / _MASKS} must show an object, but all are empty.")
    names = tuple(path.stem for path in valid)
    remark = f"{len(valid)} of the {len(photos)} photos in {folder} have a true mask that shows an object"
    expected = OBJECT_DISCOVERY_PHOTOS.get(folder.name, len(valid))
    if len(valid) != expected:
        remark += f"; the paper measures with {expected}, so figures cannot be compared with its own"
    title = f"MIT Object Discovery, {folder.name}"
    return Pairs(title, names, tuple(photos[name] for name in names), tuple(valid), FOREGROUND_CLASSES, remark)


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in PHOTO_ENDINGS and not is_hidden(path.name)


def _refuse(folder: Path) -> None:
    classes = [name for name in OBJECT_DISCOVERY_PHOTOS if (folder / name / _MASKS).is_dir()]
    if classes:
        raise DataError(
            f"{folder} holds several sets of MIT Object Discovery ({', '.join(classes)}); give one of them, such as "
            f"{folder / classes[0]}."
        )
    raise DataError(f"There must be a folder {folder / _MASKS} of true masks, but there is none; unpack {ARCHIVE}.")
