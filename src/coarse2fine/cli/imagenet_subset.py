"""``coarse2fine imagenet-subset``: photos of ImageNet for the classes of VOC, as class folders of links or a table."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from coarse2fine.cli.parser import parse_settings

if TYPE_CHECKING:
    from rich.table import Table

    from coarse2fine.data.imagenet import Synset


def run(arguments: Sequence[str]) -> None:
    """Parse, choose, write, tell."""
    parse_settings(imagenet_subset, arguments, "imagenet-subset")


def imagenet_subset(
    imagenet: Annotated[Path, tyro.conf.arg(metavar="DIR")],
    out: Annotated[Path, tyro.conf.arg(metavar="DIR|FILE.csv")],
    which: Annotated[Literal["sub1", "sub2"], tyro.conf.arg(name="list")] = "sub2",
    total: int | None = None,
    per_class: int | None = None,
    seed: int = 0,
    table: Annotated[Path | None, tyro.conf.arg(metavar="FILE.csv")] = None,
    quiet: bool = False,
) -> None:
    """Choose photos of ImageNet for the 20 classes of PASCAL VOC, to train on with one label each.

    sub1 takes synsets by their names alone, sub2 only those that show the class, as the paper does. The paper does not
    list its synsets: the table is a reconstruction, with a reason in every row (docs/datasets.md).

    Writes DIR/CLASS/PHOTO, links to the photos; or, where --out ends in .csv, a table with the columns path and label,
    which must lie in the folder of ImageNet or above it. No photo is copied.

    Like this:
      coarse2fine imagenet-subset --imagenet ILSVRC2012 --out sub2 --list sub2
      coarse2fine imagenet-subset --imagenet ILSVRC2012 --out ILSVRC2012/sub1.csv --list sub1 --per-class 500
      coarse2fine fit sub2 --out runs/voc --truth VOCdevkit/VOC2012

    Args:
        imagenet: ImageNet's training photos: DIR/train/n02690373/*.JPEG, or DIR/n02690373/*.JPEG.
        out: A new folder for links, or a .csv file.
        which: The paper's list.
        total: Photos in all, shared evenly among the classes; default: as in the paper, 38000 of sub1, 9000 of sub2.
        per_class: Photos of each class, instead of a total; fewer where there are fewer.
        seed: Another one draws other photos.
        table: Synsets of your own: a CSV with the columns class, synset, and sub1 or sub2 (1: take it).
        quiet: Print only warnings and errors.
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
            f"2012 ({small[0]}: perhaps not all is unpacked)"
        )
    wanted = PAPER_TOTALS[which] if total is None and per_class is None else total
    photos = choose_photos(found, wanted, per_class, seed)
    write_dataset(photos, out)
    chosen = Counter(label for label, _ in photos)
    console.show(_tabulate(chosen, found))
    if wanted and len(photos) < wanted:
        console.warn(f"there are only {len(photos)} photos, not {wanted}")
    console.say(f"{len(photos)} photos of {len(chosen)} classes: {out}", style="green")
    console.say(f"use them: coarse2fine fit {out} --out RUN --truth VOCdevkit/VOC2012", style="green")


def _tabulate(chosen: "Counter[str]", found: "dict[Synset, list[Path]]") -> "Table":
    from rich.table import Table

    shown = Table("class", "synsets", "photos", "of", box=None, padding=(0, 2, 0, 0))
    for label in sorted(chosen):
        piles = [files for one, files in found.items() if one.label == label]
        shown.add_row(label, str(len(piles)), str(chosen[label]), str(sum(map(len, piles))))
    return shown
