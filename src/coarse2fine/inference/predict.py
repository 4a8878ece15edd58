"""A network and any photos in; masks, overlays and a table of what was found out, in constant memory."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from coarse2fine.data import list_photos, read_image
from coarse2fine.data.folder import name_below_common_folder
from coarse2fine.data.photos import read_size
from coarse2fine.errors import DataError
from coarse2fine.inference.crf_refinement import Drawn, draw_files
from coarse2fine.inference.segmenter import Segmenter, score_files
from coarse2fine.masks.palette import overlay
from coarse2fine.masks.png import mask_path, write_mask
from coarse2fine.masks.resize import resize, resize_mask
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.files import write_atomically, write_json
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import Image, Mask, Probabilities, Skipped

OVERLAY_MAX_SIDE_PX = 1600


@dataclass(frozen=True)
class Found:
    """What a network found in a photo.

    Attributes:
        name: Where its files lie below ``masks``, ``overlays`` and ``scores``, without ending.
        shares: Share of the photo's pixels by class index, background left out, only classes that occur.
    """

    name: str
    shares: dict[int, float]


def predict_photos(
    segmenter: Segmenter,
    photos: Sequence[Path | str],
    out: Path,
    batch: int,
    context: Context,
    overlays: bool = True,
    scores: bool = False,
    max_megapixels: float = 200.0,
) -> list[Skipped]:
    """Write ``masks/<photo>.png``, ``overlays/<photo>.jpg`` and ``found.csv`` for every photo, and where photos lie.

    Args:
        segmenter: The network.
        photos: Files, folders, glob patterns.
        out: Where everything goes; names follow the photos' paths below the folder they have in common.
        batch: Photos per step.
        context: Who works.
        overlays: Also lay the masks over the photos.
        scores: Also write the class probabilities, ``scores/<photo>.npz`` with ``scores``, float16 (C, h, w), at
            the working size, before any CRF.
        max_megapixels: Larger photos are left out, with their reason.

    Returns:
        Photos that could not be read, and why.

    Raises:
        DataError: There are no photos, or none can be read.
    """
    paths = list_photos(photos, apart_from=out)
    names = name_below_common_folder(paths)
    skipped: list[Skipped] = []

    def leave_out(index: int, reason: str) -> None:
        skipped.append(Skipped(paths[index], reason))

    def write(drawn: Drawn) -> Found:
        index, mask = drawn.index, drawn.label(read_size(paths[drawn.index]))
        write_mask(mask_path(out / "masks", names[index]), mask)
        if scores:
            _write_scores(out / "scores" / f"{names[index]}.npz", drawn.scores)
        if overlays:
            image = read_image(paths[index], at_least_px=OVERLAY_MAX_SIDE_PX)
            _write_overlay(out / "overlays" / f"{names[index]}.jpg", image, mask)
        labels, counts = np.unique(mask, return_counts=True)
        shares = zip(labels.tolist(), (counts / mask.size).tolist(), strict=True)
        return Found(names[index], {label: share for label, share in shares if label})

    scored = score_files(segmenter, paths, batch, context.threads, leave_out=leave_out, max_megapixels=max_megapixels)
    drawn = draw_files(segmenter, scored, paths, batch, context.threads)
    done = context.console.track(map_threads(write, drawn, context.threads), len(paths), "predicting")
    _write_table(out / "found.csv", done, segmenter.classes)
    write_json(out / "photos.json", {name: str(path.absolute()) for name, path in zip(names, paths, strict=True)})
    write_json(out / "classes.json", list(segmenter.classes))
    if len(skipped) == len(paths):
        raise DataError(
            f"None of the {len(paths)} photos can be read; the first: {skipped[0].path}: {skipped[0].reason}."
        )
    return sorted(skipped, key=lambda item: str(item.path))


def _write_overlay(path: Path, image: Image, mask: Mask) -> None:
    factor = min(1.0, OVERLAY_MAX_SIDE_PX / max(mask.shape))  # of a huge photo, laid over only after it is small
    height, width = (max(1, round(side * factor)) for side in mask.shape)
    picture = PillowImage.fromarray(overlay(resize(image, height, width), resize_mask(mask, height, width)))
    with write_atomically(path) as file:
        picture.save(file, format="JPEG", quality=90)


def _write_scores(path: Path, scores: Probabilities) -> None:
    with write_atomically(path) as file:
        np.savez_compressed(file, scores=scores.astype(np.float16))


def _write_table(path: Path, found: Iterable[Found], classes: Sequence[str]) -> None:
    with write_atomically(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        rows = csv.writer(text)
        rows.writerow(["photo", "class", "share_of_pixels"])
        for item in found:
            for label, share in item.shares.items() or {0: 1.0}.items():
                rows.writerow([item.name, classes[label], f"{share:.4f}"])
        text.flush()
        text.detach()
