"""Photos of ImageNet for the 20 classes of VOC: a reconstruction of the lists *sub1* and *sub2* of the paper.

The paper trains on 38,000 photos of ImageNet synsets "chosen by name alone" (sub1), and on the 9,000 of them that are
related to the VOC class (sub2). It does not list the synsets: `TABLE` is our reconstruction from the 1,000 synsets of
ILSVRC 2012, one row a synset, with the reason of each choice. The paper also names synsets of ImageNet
that are not in ILSVRC (propellers, dodgem). If you have these photos, name the synsets in your own table.

The synsets of a list have many more photos than the paper used, so photos are drawn at random: the same number of each
class, and of each synset of a class. If one has too few photos, more are drawn from the others.
"""

import csv
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from coarse2fine.data.photo_files import is_photo
from coarse2fine.errors import DataError

SynsetList = Literal["sub1", "sub2"]

TABLE = Path(__file__).with_name("voc_synsets.csv")
"""Columns class, synset (WordNet id), name (its first), sub1 and sub2 (1: in this list), reason."""

PAPER_TOTALS = {"sub1": 38_000, "sub2": 9_000}
FEWEST_PHOTOS = 732
"""Smallest number of training photos of a synset in ILSVRC 2012; the largest is 1,300."""

_SOURCE = "https://image-net.org/download-images.php (ILSVRC2012_img_train.tar, 138 GB, after registration)"
_PLACES = (".", "train", "Data/CLS-LOC/train", "ILSVRC/Data/CLS-LOC/train")
_SYNSET = re.compile(r"n[0-9]{8}")


@dataclass(frozen=True)
class Synset:
    """A synset whose photos represent a class.

    Attributes:
        label: Class name.
        synset: WordNet id, such as ``n02690373``.
    """

    label: str
    synset: str


def read_synsets(which: SynsetList, table: Path = TABLE) -> list[Synset]:
    """Read the synsets of a list, in the order of the table.

    Args:
        which: ``sub1`` or ``sub2``; the synsets with a 1 in this column are read.
        table: CSV with the columns class, synset and ``which``.

    Raises:
        DataError: The table cannot be read, has no such column or no row, or an invalid or repeated id.
    """
    try:
        rows = list(csv.DictReader(table.read_text(encoding="utf-8-sig").splitlines()))
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
                f"{table}: each synset must be n and eight digits, occur once and have a class; found '{one.synset}' "
                f"of class '{one.label}'."
            )
        seen.add(one.synset)
    if not chosen:
        raise DataError(f"{table}: no row has a 1 in the column {which}.")
    return chosen


def find_synset_root(imagenet: Path) -> Path:
    """Find the folder with the synset folders in a copy of ImageNet.

    Args:
        imagenet: This folder, the folder above it (with ``train``), or the root of the archive from Kaggle.

    Raises:
        DataError: There is none, or its archives are not unpacked.
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
        f"{imagenet} must contain one folder of photos per synset, such as {looked}, but has none; get {_SOURCE}."
    )


def list_synset_photos(imagenet: Path, synsets: Sequence[Synset]) -> dict[Synset, list[Path]]:
    """Find the photos of each synset, sorted by name.

    Raises:
        DataError: A synset has no folder, or its folder is empty.
    """
    tree = find_synset_root(imagenet)
    found = {one: _list_photos(tree / one.synset) for one in synsets}
    missing = [one for one, photos in found.items() if not photos]
    if missing:
        folder = tree / missing[0].synset
        tar = folder.with_suffix(".tar")
        why = "is an empty folder" if folder.is_dir() else "does not exist"
        way = _explain_tar(tar) if tar.exists() else f"get {_SOURCE}, or omit these synsets in your own --table"
        raise DataError(
            f"Every synset of the list must have photos, but {len(missing)} of {len(synsets)} have none: {folder} "
            f"{why}; {way}."
        )
    return found


def choose_photos(
    found: dict[Synset, list[Path]], total: int | None = None, per_class: int | None = None, seed: int = 0
) -> list[tuple[str, Path]]:
    """Draw photos at random, the same number of each class as far as possible.

    Args:
        found: Photos by synset.
        total: Number of photos in total; None: no limit.
        per_class: Number of photos per class; None: no limit.
        seed: Random seed. With the same seed, the photos of a smaller number are among those of a larger number, if no
            class has too few photos.

    Returns:
        Class and photo file, sorted by class and name.
    """
    by_class: dict[str, list[list[Path]]] = {}
    for one, photos in found.items():
        by_class.setdefault(one.label, []).append(_shuffle(photos, seed))
    sizes = [min(sum(map(len, piles)), per_class or 10**9) for piles in by_class.values()]
    wanted = distribute(sizes, sum(sizes) if total is None else total)
    chosen = []
    for (label, piles), number in zip(by_class.items(), wanted, strict=True):
        shares = distribute([len(pile) for pile in piles], number)
        chosen += [(label, path) for pile, share in zip(piles, shares, strict=True) for path in pile[:share]]
    return sorted(chosen, key=lambda item: (item[0], item[1].name))


def distribute(sizes: Sequence[int], wanted: int) -> list[int]:
    """Distribute a number evenly over groups; groups that are too small are balanced by the others.

    Args:
        sizes: Size of each group.
        wanted: Sum to distribute.

    Returns:
        Number for each group; the sum is ``wanted``, or the sum of all sizes. A remainder goes to the first groups.
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
    return sorted(path for path in entries if is_photo(path))


def _explain_tar(tar: Path) -> str:
    folder = tar.with_suffix("") if _SYNSET.fullmatch(tar.stem) else tar.parent / "train"
    return f"{tar} must be unpacked first: mkdir {folder} && tar -xf {tar} -C {folder}"
