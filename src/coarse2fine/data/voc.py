"""PASCAL VOC 2012: classes, lists, ground-truth masks, and one label per photo for training.

Folders in the archives::

    VOCdevkit/VOC2012/
      JPEGImages/<id>.jpg
      SegmentationClass/<id>.png         train and val: class index per pixel, 255 = ignored
      SegmentationClassAug/<id>.png      trainaug: the masks of Hariharan et al. 2011, if they were added
      ImageSets/Segmentation/<list>.txt  train, val, trainval, test, and trainaug if it was added: one id per line
      Annotations/<id>.xml               boxes of every photo except those of test

Source: Everingham et al., "The PASCAL Visual Object Classes Challenge 2012 (VOC2012) Development Kit".
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

from coarse2fine.data.photo_mask_pairs import Pairs, read_lines
from coarse2fine.errors import DataError

VOC_CLASSES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
"""Class names by VOC index. The order is alphabetical, so class folders with these names get the same indices."""

_OTHER_SPELLINGS = {
    "airplane": "aeroplane",
    "plane": "aeroplane",
    "bike": "bicycle",
    "motorcycle": "motorbike",
    "table": "diningtable",
    "people": "person",
    "plant": "pottedplant",
    "couch": "sofa",
    "tv": "tvmonitor",
    "monitor": "tvmonitor",
    "television": "tvmonitor",
}

TRAIN_TAR = "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar"
SERVER = "http://host.robots.ox.ac.uk:8080"
_AUGMENTED = "http://home.bharathh.info/pubs/codes/SBD/download.html"
_LISTS = Path("ImageSets", "Segmentation")
_WHERE_FROM = {
    "test": f"it comes with the test photos, after registration at {SERVER}",
    "trainaug": f"it is not part of VOC: the ids of train, and the ids of SBD ({_AUGMENTED}) that are not in val, one "
    "per line, 10,582 in total",
}

Choice = Literal["largest", "single"]
"""Photos that get a label: ``largest``: all, the label of the largest object; ``single``: photos of one class only."""


def normalize_class_name(name: str) -> str:
    """Return a class name in the spelling of VOC (``tv monitor`` becomes ``tvmonitor``); other names in lower case."""
    plain = re.sub(r"[\s_\-/.]", "", name).casefold()
    return _OTHER_SPELLINGS.get(plain, plain)


def voc_index(name: str) -> int | None:
    """Find the VOC index of a class.

    Args:
        name: In the spelling of VOC or a usual one: ``aeroplane``, ``Airplane``, ``dining table``, ``tv``.

    Returns:
        0 to 20; None if it is no class of VOC.
    """
    spelled = normalize_class_name(name)
    return VOC_CLASSES.index(spelled) if spelled in VOC_CLASSES else None


def find_voc(path: Path) -> Path | None:
    """Find the folder VOC2012 at or below a path; None if there is none."""
    for folder in (path, path / "VOC2012", path / "VOCdevkit" / "VOC2012"):
        if (folder / _LISTS).is_dir() and (folder / "JPEGImages").is_dir():
            return folder
    return None


def require_voc(path: Path) -> Path:
    """Find the folder VOC2012 at or below a path.

    Raises:
        DataError: There is none.
    """
    if found := find_voc(path):
        return found
    missing = next(name for name in ("JPEGImages", str(_LISTS)) if not (path / name).is_dir())
    archives = [name for name in (Path(TRAIN_TAR).name, "VOC2012test.tar") if (path / name).exists()]
    how = f"unpack {path / archives[0]} first" if archives else f"unpack {TRAIN_TAR} (2 GB) and pass its folder VOC2012"
    raise DataError(f"{path} must be the folder VOC2012 of VOCdevkit, but {path / missing} is missing; {how}.")


def read_ids(voc: Path, name: str) -> list[str]:
    """Read the ids of the photos of a list, in its order.

    Args:
        voc: The folder VOC2012.
        name: train, val, trainval, test, trainaug, or the name of another list in the folder of lists.

    Raises:
        DataError: The list does not exist, or is empty.
    """
    file = voc / _LISTS / f"{name}.txt"
    if not file.is_file():
        existing = ", ".join(sorted(path.stem for path in file.parent.glob("*.txt"))) or "none"
        hint = f"; {_WHERE_FROM[name]}" if name in _WHERE_FROM else ""
        raise DataError(f"The list {file} does not exist; existing lists: {existing}{hint}.")
    # lists of other projects have lines /JPEGImages/<id>.jpg /SegmentationClassAug/<id>.png
    return [Path(line.split()[0]).stem for line in read_lines(file)]


def photo_path(voc: Path, photo_id: str) -> Path:
    """Return the path of the photo with an id."""
    return voc / "JPEGImages" / f"{photo_id}.jpg"


def read_voc_pairs(voc: Path, name: str = "val") -> Pairs:
    """Read the photos of a list with their ground-truth masks.

    Args:
        voc: The folder VOC2012.
        name: A list with masks: train, val, trainval, or trainaug. An id without a mask in SegmentationClass gets the
            mask in SegmentationClassAug.

    Raises:
        DataError: The list, a photo or a mask does not exist.
    """
    ids = read_ids(voc, name)
    own, added = ({path.stem for path in (voc / folder).glob("*.png")} for folder in _MASK_FOLDERS)
    without = [one for one in ids if one not in own and one not in added]
    if without:
        raise DataError(_explain_missing_masks(voc, name, without, len(ids)))
    check_photos_there(voc, name, ids)
    masks = tuple(voc / _MASK_FOLDERS[0 if one in own else 1] / f"{one}.png" for one in ids)
    photos = tuple(photo_path(voc, one) for one in ids)
    return Pairs(f"PASCAL VOC 2012, {name}", tuple(ids), photos, masks, VOC_CLASSES)


def check_photos_there(voc: Path, name: str, ids: Sequence[str]) -> None:
    """Check that every photo of a list exists.

    Raises:
        DataError: A photo is missing.
    """
    there = {path.stem for path in (voc / "JPEGImages").glob("*.jpg")}
    missing = [one for one in ids if one not in there]
    if missing:
        source = f"photos of test come from {SERVER}, after registration" if name == "test" else f"unpack {TRAIN_TAR}"
        raise DataError(
            f"Every photo of the list {name} must exist, but {len(missing)} of {len(ids)} are missing, the first is "
            f"{photo_path(voc, missing[0])}; {source}."
        )


def read_voc_labels(voc: Path, name: str = "train", choose: Choice = "largest") -> list[tuple[str, Path]]:
    """Read one label per photo of a list from the class and size of the boxes in Annotations.

    Args:
        voc: The folder VOC2012.
        name: Any list except test.
        choose: ``largest``: every photo gets the class of its largest box (the first of equally large boxes);
            ``single``: only photos with objects of a single class.

    Returns:
        Class name and photo file, in the order of the list. No mask is read.

    Raises:
        DataError: The list, a photo or an annotation is missing or damaged, or no photo is left.
    """
    ids = read_ids(voc, name)
    check_photos_there(voc, name, ids)
    objects = [(one, _read_objects(voc, name, one)) for one in ids]
    labeled = [
        (max(found, key=lambda item: item[1])[0], photo_path(voc, one))
        for one, found in objects
        if choose == "largest" or len({label for label, _ in found}) == 1
    ]
    if not labeled:
        raise DataError(f"The list {name} of {voc} has no photo of a single class; choose the largest object instead.")
    return labeled


_MASK_FOLDERS = ("SegmentationClass", "SegmentationClassAug")


def _explain_missing_masks(voc: Path, name: str, without: Sequence[str], total: int) -> str:
    if name == "test":
        return (
            f"The ground-truth masks of test are not public; send predictions to {SERVER}: see coarse2fine "
            "voc-submission --help."
        )
    source = f"SegmentationClassAug is made from SBD ({_AUGMENTED})" if name == "trainaug" else f"unpack {TRAIN_TAR}"
    places = " or ".join(str(voc / folder / f"{without[0]}.png") for folder in _MASK_FOLDERS)
    return (
        f"Every photo of the list {name} must have a ground-truth mask, but {len(without)} of {total} have "
        f"none, such as {places}; {source}."
    )


def _read_objects(voc: Path, name: str, one: str) -> list[tuple[str, float]]:
    """Read class and area in square pixels of each box of a photo, in the order of the file; at least one."""
    file = voc / "Annotations" / f"{one}.xml"
    if not file.is_file():
        why = "photos of test have none" if name == "test" else f"unpack {TRAIN_TAR}"
        raise DataError(f"Labels are read from annotations, but {file} is missing; {why}.")
    try:
        objects = [
            (item.findtext("name", "").strip(), _area(item.find("bndbox")))
            for item in ElementTree.parse(file).getroot().iter("object")
        ]
    except (ElementTree.ParseError, OSError, ValueError) as error:
        raise DataError(f"{file} must be an annotation of VOC, but cannot be read ({error}).") from error
    unknown = sorted({label for label, _ in objects} - set(VOC_CLASSES[1:]))
    if unknown or not objects:
        found = f"the class '{unknown[0]}'" if unknown else "no object"
        raise DataError(f"{file} must contain objects of the 20 classes of VOC, but contains {found}.")
    return objects


def _area(box: ElementTree.Element | None) -> float:
    if box is None:
        raise ValueError("an object has no bndbox")
    left, top, right, bottom = (float(box.findtext(side, "")) for side in ("xmin", "ymin", "xmax", "ymax"))
    return max(0.0, right - left) * max(0.0, bottom - top)
