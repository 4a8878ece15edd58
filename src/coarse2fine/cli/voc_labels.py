"""``coarse2fine voc-labels``: photos of VOC with one label each, as class folders of links or a table."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from coarse2fine.cli.parser import Json, Quiet, parse_and_call


def run(arguments: Sequence[str]) -> None:
    """Parse the options and write the labels."""
    parse_and_call(voc_labels, arguments, "voc-labels")


def voc_labels(
    voc: Annotated[Path, tyro.conf.arg(metavar="DIR")],
    out: Annotated[Path, tyro.conf.arg(metavar="DIR|FILE.csv")],
    which: Annotated[str, tyro.conf.arg(name="list", metavar="LIST")] = "train",
    choose: Literal["largest", "single"] = "largest",
    quiet: Quiet = False,
    json: Json = False,
) -> dict[str, Any]:
    """Give photos of PASCAL VOC 2012 one label each, to train on without their masks.

    The label is the class of the largest box in Annotations; no mask is read. A photo of several classes gets one
    label, and its other objects are trained as background; --choose single leaves such photos out.

    Writes DIR/CLASS/PHOTO, links to the photos; or, if --out ends in .csv, a table with the columns path and label,
    which must be in the folder VOC2012 or above it. No photo is copied.

    For example:
      coarse2fine voc-labels --voc VOCdevkit/VOC2012 --out VOCdevkit/VOC2012/train.csv
      coarse2fine fit VOCdevkit/VOC2012/train.csv --out runs/voc --ground-truth VOCdevkit/VOC2012
      coarse2fine voc-labels --voc VOCdevkit/VOC2012 --out trainaug --list trainaug --choose single

    Args:
        voc: Folder VOC2012 of VOCdevkit.
        out: New folder for links, or a .csv file.
        which: List in ImageSets/Segmentation: train, val, trainval, or trainaug if you added it.
        choose: largest: all photos, labeled with their largest object; single: only photos of a single class.
        quiet: Print only warnings and errors.
        json: Print the result as one JSON object; all other output goes to standard error.
    """
    from coarse2fine.data.dataset_writer import write_dataset
    from coarse2fine.data.voc import read_ids, read_voc_labels, require_voc
    from coarse2fine.runtime.console import Console

    console, folder = Console(quiet), require_voc(voc)
    photos = read_voc_labels(folder, which, choose)
    write_dataset(photos, out)
    counts = Counter(label for label, _ in photos)
    console.say(", ".join(f"{label} {count}" for label, count in sorted(counts.items())))
    console.say(f"{len(photos)} of the {len(read_ids(folder, which))} photos of {which}: {out}", style="green")
    console.say(f"next: coarse2fine fit {out} --out RUN --ground-truth {folder}", style="green")
    return {"data": str(out), "photos": len(photos), "classes": dict(sorted(counts.items()))}
