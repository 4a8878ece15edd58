"""Signs, found without ground truth, that the masks before round 1 are too bad to train on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coarse2fine.masks.png import mask_path, read_mask
from coarse2fine.masks.regions import foreground_mask
from coarse2fine.masks.resize import resize_soft
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import Photo

MOST_PHOTOS = 1000
"""So many masks are checked, spread evenly over the photos."""

FEWEST_PHOTOS = 10
"""With fewer photos, shares say nothing."""

MAX_SHARE = 0.5
"""The masks are hopeless if more than this share of them is empty, covers nearly the whole photo or was left unchanged.

On 60 photos each of voc-animals, pascal20 and blood-cells, with box, student and saliency, no mask is empty or full and
at most .10 are unchanged (docs/log.md, 2026-11-29).
"""

MAX_ALIKE = 0.9
"""The masks are hopeless if the median IoU of the masks of two different photos is higher than this.

.26 to .41 on voc-animals and pascal20, .62 to .65 on blood-cells, whose cells all lie in the middle.
"""

_COMPARISON_PX = 32


class MaskSigns(NamedTuple):
    """What a set of masks looks like.

    Attributes:
        empty: Share of masks without foreground.
        full: Share of masks whose foreground covers more than the limit of the filter.
        unchanged: Share of masks that the enhancement left unchanged.
        alike: Median IoU of the masks of two different photos, after both are squashed to the same square.
    """

    empty: float
    full: float
    unchanged: float
    alike: float


def explain_hopeless_masks(signs: MaskSigns, max_share: float) -> str | None:
    """Return a sentence about masks that are too bad to train on, and what to do; None if nothing is unusual.

    Args:
        signs: From :func:`measure_signs`.
        max_share: Limit of the foreground share that ``full`` was counted with.
    """
    reasons = [
        (signs.empty > MAX_SHARE, f"{signs.empty:.0%} of them are empty"),
        (signs.full > MAX_SHARE, f"{signs.full:.0%} of them cover more than {max_share:.0%} of the photo"),
        (signs.unchanged > MAX_SHARE, f"the enhancement found no better contour for {signs.unchanged:.0%} of them"),
        (signs.alike > MAX_ALIKE, "they have nearly the same shape and place in all photos"),
    ]
    found = [text for is_true, text in reasons if is_true]
    if not found:
        return None
    return (
        f"The masks before round 1 are probably too bad to train on: {'; '.join(found)}. Look at some of them. If they "
        "are wrong, stop this run and choose another --coarse.method, or correct some masks (in coarse2fine app RUN, "
        "or elsewhere and give them with --start-from) and run it again."
    )


def measure_signs(
    photos: Sequence[Photo], folder: Path, notes: Mapping[str, str], max_share: float, threads: int
) -> MaskSigns | None:
    """Measure the masks of the photos in a folder; None if they are too few.

    Args:
        photos: The photos.
        folder: Their masks.
        notes: Notes on masks that the enhancement left unchanged, by name of the photo.
        max_share: Masks with a larger foreground share count as full.
        threads: Number of threads that read masks.
    """
    if len(photos) < FEWEST_PHOTOS:
        return None
    chosen = photos[:: -(-len(photos) // MOST_PHOTOS)]

    def read(photo: Photo) -> tuple[float, NDArray[np.bool_]]:
        mask = foreground_mask(read_mask(mask_path(folder, photo.name)))
        return float(mask.mean()), resize_soft(mask.astype(np.float32), _COMPARISON_PX, _COMPARISON_PX) > 0.5

    measured = list(map_threads(read, chosen, threads))
    shares = np.array([share for share, _ in measured])
    return MaskSigns(
        empty=float((shares == 0).mean()),
        full=float((shares > max_share).mean()),
        unchanged=sum(notes.get(photo.name, "").startswith("unchanged") for photo in chosen) / len(chosen),
        alike=_measure_alike([small for _, small in measured if small.any()]),
    )


def _measure_alike(masks: Sequence[NDArray[np.bool_]]) -> float:
    """Return the median IoU of each mask with the one half the list away, which is often of another class."""
    if len(masks) < FEWEST_PHOTOS:
        return 0.0
    half = len(masks) // 2
    pairs = zip(masks, [*masks[half:], *masks[:half]], strict=True)
    return float(np.median([(one & other).sum() / (one | other).sum() for one, other in pairs]))
