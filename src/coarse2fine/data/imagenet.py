"""Photos of ImageNet for the 20 classes of VOC: the paper's *sub1* and *sub2*, as far as they can be made again.

The paper trains on 38,000 photos of ImageNet synsets "chosen by name alone" (sub1), and on 9,000 of those that have to
do with the VOC class (sub2). It does not list the synsets: `TABLE` is our reconstruction from the 1,000 synsets of
ILSVRC 2012, one row a synset, with the reason of each choice. The paper's photos came from more of ImageNet: it names
synsets that ILSVRC has not (propellers, dodgem). With a tree of these a table of your own may name them.

Sizes: a list has many more photos than the paper took, so a number is drawn, shared evenly among the classes and, in a
class, among its synsets; what one has too few of the others make up for.
"""

import csv
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from coarse2fine.data.photo_files import PHOTO_ENDINGS, is_hidden
from coarse2fine.errors import DataError

SynsetList = Literal["sub1", "sub2"]

TABLE = Path(__file__).with_name("voc_synsets.csv")
"""Columns class, synset (WordNet id), name (its first), sub1 and sub2 (1: belongs to it), reason."""

PAPER_TOTALS = {"sub1": 38_000, "sub2": 9_000}
FEWEST_PHOTOS = 732
"""A synset of the training photos of ILSVRC 2012 has 732 to 1,300."""

_SOURCE = "https://image-net.org/download-images.php (ILSVRC2012_img_train.tar, 138 GB, after registration)"
_PLACES = (".", "train", "Data/CLS-LOC/train", "ILSVRC/Data/CLS-LOC/train")
_SYNSET = re.compile(r"n[0-9]{8}")


@dataclass(frozen=True)
class Synset:
    """A synset that stands for a class.

    Attributes:
        label: Class name.
        synset: WordNet id, such as ``n02690373``.
    """

    label: str
    synset: str


def read_synsets(which: SynsetList, table: Path = TABLE) -> list[Synset]:
    """The synsets of a list, in the order of the table.

    Args:
        which: ``sub1`` or ``sub2``, the column that must be 1.
        table: CSV with the columns class, synset and ``which``.

    Raises:
        DataError: The table cannot be read, lacks a column or a row, or has an id that is none or comes twice.
    """
    try:
        rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"The table of synsets {table} cannot be read ({error}).") from error
    missing = [name for name in ("class", "synset", which) if not rows or name not in rows[0]]
    if missing:
        raise DataError(f"The table of synsets {table} must have rows and the columns class, synset and {which}.")
    chosen = [Synset(row["class"].strip(), row["synset"].strip()) for row in rows if (row[which] or "").strip() == "1"]
    seen: set[str] = set()
    for one in chosen:
        if not one.label or not _SYNSET.fullmatch(one.synset) or one.synset in seen:
            raise DataError(
                f"{table}: each synset must be n and eight digits, stand once and have a class; found '{one.synset}' "
                f"of class '{one.label}'."
            )
        seen.add(one.synset)
    if not chosen:
        raise DataError(f"{table}: no row has a 1 in the column {which}.")
    return chosen


def find_tree(imagenet: Path) -> Path:
    """The folder of synset folders in a copy of ImageNet.

    Args:
        imagenet: The folder itself, one above (with ``train``), or the root of Kaggle's archive.

    Raises:
        DataError: There is none, or its archives are still packed.
    """
    for place in _PLACES:
        folder = imagenet / place
        if folder.is_dir() and any(_SYNSET.fullmatch(path.name) and path.is_dir() for path in folder.iterdir()):
            return folder
    for place in _PLACES:
        if tars := sorted((imagenet / place).glob("n*.tar")) + sorted((imagenet / place).glob("ILSVRC2012*.tar*")):
            raise DataError(f"{_explain_tar(tars[0])} ({len(tars)} archives in {tars[0].parent}).")
    looked = ", ".join(str(imagenet / place / "n02690373") for place in _PLACES[:2])
    raise DataError(
        f"{imagenet} must hold one folder of photos per synset, such as {looked}, but holds none; get {_SOURCE}."
    )


def list_synset_photos(imagenet: Path, synsets: Sequence[Synset]) -> dict[Synset, list[Path]]:
    """Find the photos of each synset, sorted by name.

    Raises:
        DataError: A synset has no folder, or an empty one.
    """
    tree = find_tree(imagenet)
    found = {one: _list_photos(tree / one.synset) for one in synsets}
    missing = [one for one, photos in found.items() if not photos]
    if missing:
        folder = tree / missing[0].synset
        tar = folder.with_suffix(".tar")
        why = "is an empty folder" if folder.is_dir() else "is not there"
        way = _explain_tar(tar) if tar.exists() else f"get {_SOURCE}, or leave them out with a --table of your own"
        raise DataError(
            f"Every synset of the list needs its photos, but {len(missing)} of {len(synsets)} have none: {folder} "
            f"{why}; {way}."
        )
    return found


def choose_photos(
    found: dict[Synset, list[Path]], total: int | None = None, per_class: int | None = None, seed: int = 0
) -> list[tuple[str, Path]]:
    """Draw photos, the same number of each class as far as there are any.

    Args:
        found: Photos by synset.
        total: How many in all; None: no limit.
        per_class: How many of each class; None: no limit.
        seed: Another one draws other photos. With the same one a smaller number is a part of a greater one's photos, as
            long as no class runs short.

    Returns:
        Class and photo, by class and name.
    """
    by_class: dict[str, list[list[Path]]] = {}
    for one, photos in found.items():
        by_class.setdefault(one.label, []).append(_shuffle(photos, seed))
    sizes = [min(sum(map(len, piles)), per_class or 10**9) for piles in by_class.values()]
    wanted = share_out(sizes, sum(sizes) if total is None else total)
    chosen = []
    for (label, piles), number in zip(by_class.items(), wanted, strict=True):
        shares = share_out([len(pile) for pile in piles], number)
        chosen += [(label, path) for pile, share in zip(piles, shares, strict=True) for path in pile[:share]]
    return sorted(chosen, key=lambda item: (item[0], item[1].name))


def share_out(sizes: Sequence[int], wanted: int) -> list[int]:
    """Take the same number from each, and more from the others where one has too few.

    Args:
        sizes: How many there are of each.
        wanted: How many to take in all.

    Returns:
        How many to take of each; the sum is ``wanted``, or all there are. What cannot be divided goes to the first.
    """
    taken = [0] * len(sizes)
    left = min(wanted, sum(sizes))
    while left:
        open_ones = [at for at, size in enumerate(sizes) if taken[at] < size]
        step = max(1, left // len(open_ones))
        for at in open_ones:
            more = min(step, sizes[at] - taken[at], left)
            taken[at] += more
            left -= more
    return taken


def _shuffle(photos: Sequence[Path], seed: int) -> list[Path]:
    return sorted(photos, key=lambda path: hashlib.sha256(f"{seed} {path.name}".encode()).digest())


def _list_photos(folder: Path) -> list[Path]:
    entries = list(folder.iterdir()) if folder.is_dir() else []
    return sorted(path for path in entries if path.suffix.lower() in PHOTO_ENDINGS and not is_hidden(path.name))


def _explain_tar(tar: Path) -> str:
    folder = tar.with_suffix("") if _SYNSET.fullmatch(tar.stem) else tar.parent / "train"
    return f"{tar} must be unpacked first: mkdir {folder} && tar -xf {tar} -C {folder}"
