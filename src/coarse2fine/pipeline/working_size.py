"""The size to which photos are resized for the network, chosen from the sizes of the photos."""

from collections.abc import Sequence

from coarse2fine.config import FitConfig
from coarse2fine.data.photos import sample_sizes
from coarse2fine.types import Photo

SMALLEST_PX = 128
"""Smallest working size that ``train.resize_px = auto`` chooses.

200 photos of blood-cells, 120 px: after round 1 the masks have an IoU of .953 at 128 px and of .954 at 320 px, and the
mIoU on other photos is .81 and .78 (docs/log.md, 2026-11-29). Nothing smaller was measured.
"""

STEP_PX = 32
"""Working sizes are multiples of this."""


def resolve_size(config: FitConfig, photos: Sequence[Photo]) -> FitConfig:
    """Replace ``train.resize_px = auto`` by a number.

    It is the default size, or less if three quarters of the photos are smaller, so that small photos are not enlarged
    without need. ``train.crop_px`` becomes at most as large.

    Args:
        config: All settings.
        photos: The usable photos; the headers of some of them are read.
    """
    train = config.train
    if train.resize_px != "auto" or not photos:
        return config
    sides = [max(size) for size in sample_sizes([photo.path for photo in photos])]
    size = choose_size(sides, train.size_px)
    resolved = train.model_copy(update={"resize_px": size, "crop_px": min(train.crop_px, size)})
    return config.model_copy(update={"train": resolved})


def choose_size(sides: Sequence[int], largest_px: int) -> int:
    """Return the working size for photos with these longer sides: their upper quartile, rounded up, within limits."""
    quartile = sorted(sides)[3 * len(sides) // 4]
    rounded = -(-quartile // STEP_PX) * STEP_PX
    return min(max(rounded, SMALLEST_PX), largest_px)
