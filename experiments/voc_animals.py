"""Build voc-animals, the data of the small versions, from a VOCdevkit tree, so that others can reproduce our results.

    python experiments/voc_animals.py --voc VOCdevkit/VOC2012 --out voc-animals

The list voc_animals.csv names 1,305 photos of trainaug with the class of their largest animal (cat, cow, dog, horse,
sheep) and 235 of val. Photos are reduced with a Lanczos filter to a longer side of at most 320 px and saved as JPEG
(quality 86, val 88), masks are reduced by nearest neighbor; in the masks, other classes of VOC become 255 (ignored).
For the 56 val photos of which we also have larger copies, this reproduces our files pixel for pixel.

It needs the VOC 2012 trainval archive and SegmentationClassAug, for photos whose masks are only in SBD
(docs/datasets.md).

Not included: 550 further training photos (web_*, from the Animal Pose data set), which have a label but no mask. Our
results with all 1,855 photos are therefore a little higher than those with these 1,305.
"""

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from coarse2fine.cli.exit_status import run_safely
from coarse2fine.data.voc import VOC_CLASSES, read_voc_pairs
from coarse2fine.errors import DataError
from coarse2fine.masks.png import mask_path, read_mask, write_mask
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.device import count_cores
from coarse2fine.runtime.files import write_atomically, write_text
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import IGNORE, Mask

CLASSES = ("background", "cat", "cow", "dog", "horse", "sheep")
LIST = Path(__file__).with_suffix(".csv")
MAX_SIDE_PX = 320
QUALITY = {"train": 86, "val": 88}
LISTS = {"train": "trainaug", "val": "val"}


@dataclass(frozen=True)
class Entry:
    """A line of the list with its files in VOC."""

    split: str
    label: str
    id: str
    photo: Path
    mask: Path


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the folders ``train``, ``train_masks`` and ``val``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voc", type=Path, required=True, help="folder VOC2012 of VOCdevkit")
    parser.add_argument("--out", type=Path, required=True, help="new or empty output folder")
    parser.add_argument("--list", type=Path, default=LIST, help="CSV file with the columns split, class, id")
    options = parser.parse_args(arguments)
    if options.out.exists() and any(options.out.iterdir()):
        raise DataError(f"{options.out} must be a new or empty folder, but it contains files; choose another --out.")
    entries = list(find_entries(options.voc, options.list))
    done = map_threads(lambda entry: write(entry, options.out), entries, count_cores())
    for _ in Console().track(done, len(entries), "writing photos and masks"):
        pass
    write_text(options.out / "classes.txt", "\n".join(CLASSES) + "\n")
    print(f"{options.out}: {len(entries)} photos written. The 550 photos web_* of our own results are not included.")


def find_entries(voc: Path, listed: Path) -> Iterator[Entry]:
    """Find the files of the photos of the list, in its order.

    Raises:
        DataError: A photo is not in the corresponding list of VOC.
    """
    pairs = {split: read_voc_pairs(voc, name) for split, name in LISTS.items()}
    files = {
        split: {name: (photo, mask) for name, photo, mask in zip(found.names, found.photos, found.masks, strict=True)}
        for split, found in pairs.items()
    }
    with listed.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            split, one = row["split"], row["id"]
            if one not in files[split]:
                raise DataError(f"{one} of {listed} must be in the list {LISTS[split]} of {voc}, but is not.")
            yield Entry(split, row["class"], one, *files[split][one])


def write(entry: Entry, out: Path) -> None:
    """Write the reduced photo and mask of an entry."""
    photos, masks = (out / "train", out / "train_masks")
    if entry.split == "val":
        photos, masks = (out / "val/images", out / "val/masks")
    with Image.open(entry.photo) as image:
        whole = image.convert("RGB")
    factor = min(1.0, MAX_SIDE_PX / max(whole.size))
    size = (round(whole.width * factor), round(whole.height * factor))
    with write_atomically(photos / entry.label / f"{entry.id}.jpg") as file:
        whole.resize(size, Image.Resampling.LANCZOS).save(file, format="JPEG", quality=QUALITY[entry.split])
    reduced = Image.fromarray(convert(read_mask(entry.mask))).resize(size, Image.Resampling.NEAREST)
    write_mask(mask_path(masks / entry.label, entry.id), np.asarray(reduced))


def convert(mask: Mask) -> Mask:
    """Convert the class indices of VOC to those of `CLASSES`; other classes become 255 (ignored)."""
    table = np.full(256, IGNORE, np.uint8)
    for index, name in enumerate(CLASSES):
        table[VOC_CLASSES.index(name)] = index
    return table[mask]


if __name__ == "__main__":
    run_safely(main, sys.argv[1:])
