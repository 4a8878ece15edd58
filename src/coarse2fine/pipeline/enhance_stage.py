"""Stage 2 for all photos: masks snapped to their photos."""

from collections.abc import Sequence
from pathlib import Path

from coarse2fine.config import EnhanceConfig
from coarse2fine.data.photos import read_image
from coarse2fine.enhance import Start, enhancer_from, prepare
from coarse2fine.masks.png import mask_path, read_mask, read_soft
from coarse2fine.masks.regions import foreground_mask
from coarse2fine.pipeline.mask_writer import in_label, write_masks
from coarse2fine.runtime.context import Context
from coarse2fine.types import Enhanced, Enhancer, Photo


def start_enhancing(config: EnhanceConfig, start: Start, seed: int, context: Context) -> Enhancer:
    """The enhancer, compiled; says so where compiling takes a while."""
    with context.console.explaining("enhancement: compiled for this machine, once; this takes half a minute at most"):
        prepare(config)
    return enhancer_from(config, start, seed)


def enhance_masks(
    photos: Sequence[Photo],
    rough: Path,
    folder: Path,
    config: EnhanceConfig,
    start: Start,
    seed: int,
    context: Context,
    title: str = "enhancement",
    scores: Path | None = None,
) -> None:
    """Stage 2: write, in its label, an enhanced mask for every photo from its rough mask, and its scores if given."""
    enhance = start_enhancing(config, start, seed, context)

    def make(photo: Photo) -> Enhanced:
        rough_mask = foreground_mask(read_mask(mask_path(rough, photo.name)))
        soft = read_soft(mask_path(scores, photo.name)) if scores else None
        return in_label(enhance(read_image(photo.path), rough_mask, soft), photo)

    write_masks(photos, folder, make, title, context)
