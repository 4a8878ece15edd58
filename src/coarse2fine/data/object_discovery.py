"""MIT Object Discovery: photos from the Internet with masks of the object; some photos show no object.

Folders in the archive::

    ObjectDiscovery-data/Data/
      Airplane100/ Car100/ Horse100/     100 photos each
      Airplane/ Car/ Horse/              all photos; some of them have a mask
        <photo>.jpg
        GroundTruth/<photo>.png          the object is not 0

Photos without a mask, or with an empty one, show no object and are not used: the paper counts 82, 89 and 93 photos in
the subsets and 470, 1,208 and 810 in the full sets.

Source: Rubinstein, Joulin, Kopf, Liu, "Unsupervised Joint Object Discovery and Segmentation in Internet Images" (CVPR
2013).
"""

from pathlib import Path

from coarse2fine.data.mask_files import list_masks
from coarse2fine.data.photo_files import is_photo, natural_key
from coarse2fine.data.photo_mask_pairs import Pairs
from coarse2fine.errors import DataError
from coarse2fine.masks.png import read_foreground
from coarse2fine.runtime.device import count_cores
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import FOREGROUND_CLASSES

OBJECT_DISCOVERY_PHOTOS = {"Airplane100": 82, "Car100": 89, "Horse100": 93, "Airplane": 470, "Car": 1208, "Horse": 810}
"""Number of photos that show the object, according to the paper, by folder."""

ARCHIVE = "http://people.csail.mit.edu/mrub/ObjectDiscovery/ObjectDiscovery-data.zip"
_MASKS = "GroundTruth"


def is_object_discovery(path: Path) -> bool:
    """Return whether ``path`` is a class folder with a folder GroundTruth in it, or the folder Data above these."""
    return any((path / name / _MASKS).is_dir() for name in (".", *OBJECT_DISCOVERY_PHOTOS))


def read_object_discovery(folder: Path) -> Pairs:
    """Read the photos of one class that show the object, with their masks; decodes every mask.

    Args:
        folder: A class folder, such as ``Data/Airplane100``.

    Raises:
        DataError: The folder has no photos or no masks, a mask has no photo, or all masks are empty.
    """
    if not (folder / _MASKS).is_dir():
        _refuse(folder)
    photos = {path.stem: path for path in folder.iterdir() if is_photo(path)}
    masks = sorted(list_masks(folder / _MASKS).values(), key=lambda path: (natural_key(path.stem), path.stem))
    if not photos or not masks:
        what = folder / _MASKS if photos else folder
        raise DataError(
            f"{what} must contain {'masks (.png)' if photos else 'photos'}, but has none; unpack {ARCHIVE}."
        )
    alone = [path for path in masks if path.stem not in photos]
    if alone:
        raise DataError(f"Every mask needs its photo, but {alone[0]} has none in {folder}; unpack {ARCHIVE} again.")
    shows = map_threads(lambda path: bool(read_foreground(path).any()), masks, count_cores())
    valid = [path for path, is_there in zip(masks, shows, strict=True) if is_there]
    if not valid:
        raise DataError(f"At least one mask in {folder / _MASKS} must show an object, but all are empty.")
    names = tuple(path.stem for path in valid)
    remark = f"{len(valid)} of the {len(photos)} photos in {folder} have a ground-truth mask that shows an object"
    expected = OBJECT_DISCOVERY_PHOTOS.get(folder.name, len(valid))
    if len(valid) != expected:
        remark += f"; the paper measures with {expected} photos, so its figures are not comparable"
    title = f"MIT Object Discovery, {folder.name}"
    return Pairs(title, names, tuple(photos[name] for name in names), tuple(valid), FOREGROUND_CLASSES, remark)


def _refuse(folder: Path) -> None:
    classes = [name for name in OBJECT_DISCOVERY_PHOTOS if (folder / name / _MASKS).is_dir()]
    if classes:
        raise DataError(
            f"{folder} contains several sets of MIT Object Discovery ({', '.join(classes)}); pass one of them, such as "
            f"{folder / classes[0]}."
        )
    raise DataError(f"The folder of ground-truth masks, {folder / _MASKS}, does not exist; unpack {ARCHIVE}.")
