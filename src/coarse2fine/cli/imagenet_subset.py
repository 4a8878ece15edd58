"""``coarse2fine imagenet-subset``: photos of ImageNet for the classes of VOC, as class folders of links or a table."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from coarse2fine.cli.parser import Json, Quiet, parse_and_call

if TYPE_CHECKING:
    from rich.table import Table

    from coarse2fine.data.imagenet import Synset


def run(arguments: Sequence[str]) -> None:
    """Parse the options and write the labels."""
    parse_and_call(imagenet_subset, arguments, "imagenet-subset")


def imagenet_subset(
    imagenet: Annotated[Path, tyro.conf.arg(metavar="DIR")],
    out: Annotated[Path, tyro.conf.arg(metavar="DIR|FILE.csv")],
    which: Annotated[Literal["sub1", "sub2"], tyro.conf.arg(name="list")] = "sub2",
    total: int | None = None,
    per_class: int | None = None,
    seed: int = 0,
    table: Annotated[Path | None, tyro.conf.arg(metavar="FILE.csv")] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> dict[str, Any]:
    """Choose photos of ImageNet for the 20 classes of PASCAL VOC, to train on with one label each.

    sub1 has the synsets whose names match, sub2 only those whose photos show the class, as in the paper. The paper does
    not list its synsets: the table is a reconstruction, with a reason in each row (docs/datasets.md).

    Writes DIR/CLASS/PHOTO, links to the photos; or, if --out ends in .csv, a table with the columns path and label,
    which must be in the folder of ImageNet or above it. No photo is copied.

    For example:
      coarse2fine imagenet-subset --imagenet ILSVRC2012 --out sub2 --list sub2
      coarse2fine imagenet-subset --imagenet ILSVRC2012 --out ILSVRC2012/sub1.csv --list sub1 --per-class 500
      coarse2fine fit sub2 --out runs/voc --ground-truth VOCdevkit/VOC2012

    Args:
        imagenet: Folder of ImageNet's training photos: DIR/train/n02690373/*.JPEG, or DIR/n02690373/*.JPEG.
        out: New folder for links, or a .csv file.
        which: List of synsets in the paper.
        total: Number of photos, divided evenly among the classes; default: 38000 of sub1, 9000 of sub2 (the paper).
        per_class: Number of photos per class, instead of a total; classes with fewer photos keep all.
        seed: Seed of the random choice of photos.
        table: Your own list of synsets: a CSV file with the columns class, synset, and sub1 or sub2 (1: use it).
        quiet: Print only warnings and errors.
        json: Print the result as one JSON object; all other output goes to standard error.
    """
    from coarse2fine.data.dataset_writer import write_dataset
    from coarse2fine.data.imagenet import (
        FEWEST_PHOTOS,
        PAPER_TOTALS,
        TABLE,
        choose_photos,
        list_synset_photos,
        read_synsets,
    )
    from coarse2fine.errors import ConfigError
    from coarse2fine.runtime.console import Console

    if total is not None and per_class is not None:
        raise ConfigError("Give --total or --per-class, not both.")
    if any(number is not None and number < 1 for number in (total, per_class)):
        raise ConfigError("--total and --per-class must be at least 1.")
    console = Console(quiet)
    found = list_synset_photos(imagenet, read_synsets(which, table or TABLE))
    small = [one.synset for one, photos in found.items() if len(photos) < FEWEST_PHOTOS]
    if small and not table:
        console.warn(
            f"{len(small)} of {len(found)} synsets have fewer than the {FEWEST_PHOTOS} photos that each has in ILSVRC "
            f"2012 ({small[0]} is one): check that all archives are unpacked"
        )
    wanted = PAPER_TOTALS[which] if total is None and per_class is None else total
    photos = choose_photos(found, wanted, per_class, seed)
    write_dataset(photos, out)
    chosen = Counter(label for label, _ in photos)
    console.show(_tabulate(chosen, found))
    if wanted and len(photos) < wanted:
        console.warn(f"only {len(photos)} of the {wanted} photos were found")
    console.say(f"{len(photos)} photos of {len(chosen)} classes: {out}", style="green")
    console.say(f"next: coarse2fine fit {out} --out RUN --ground-truth VOCdevkit/VOC2012", style="green")
    return {"data": str(out), "photos": len(photos), "classes": dict(sorted(chosen.items()))}


def _tabulate(chosen: "Counter[str]", found: "dict[Synset, list[Path]]") -> "Table":
    from rich.table import Table

    shown = Table("class", "synsets", "photos", "of", box=None, padding=(0, 2, 0, 0))
    for label in sorted(chosen):
        piles = [files for one, files in found.items() if one.label == label]
        shown.add_row(label, str(len(piles)), str(chosen[label]), str(sum(map(len, piles))))
    return shown
