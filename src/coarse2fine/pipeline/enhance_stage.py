"""Stage 2 for all photos: masks snapped to their photos."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from coarse2fine.config import EnhanceConfig
from coarse2fine.data.photos import read_image
from coarse2fine.enhance import Posed, Start, enhance_many, enhancer_from, find_gpu, pose, prepare
from coarse2fine.masks.png import mask_path, read_mask, read_soft
from coarse2fine.masks.regions import binarize
from coarse2fine.pipeline.mask_writer import in_label, write_batches, write_masks
from coarse2fine.runtime.context import Crew
from coarse2fine.runtime.processes import map_threads
from coarse2fine.types import Enhanced, Enhancer, Image, Mask, Photo, SoftMask

if TYPE_CHECKING:
    import torch

GPU_BATCH = 256  # photos whose masks wait in memory while the GPU cuts; it takes fewer at a time


def start_enhancing(
    config: EnhanceConfig, start: Start, seed: int, crew: Crew
) -> "tuple[Enhancer, torch.device | None]":
    """The enhancer, compiled, and the GPU if it works on one; says so where compiling takes a while."""
    enhance, gpu = enhancer_from(config, start, seed), find_gpu(config)
    with crew.console.explaining("enhancement: compiled for this machine, once; this takes half a minute at most"):
        prepare(config)
    return enhance, gpu


def enhance_masks(
    photos: Sequence[Photo],
    rough: Path,
    folder: Path,
    config: EnhanceConfig,
    start: Start,
    seed: int,
    crew: Crew,
    title: str = "enhancement",
    scores: Path | None = None,
) -> None:
    """Stage 2: write, in its label, an enhanced mask for every photo from its rough mask, and its scores if given."""
    enhance, gpu = start_enhancing(config, start, seed, crew)

    def load(photo: Photo) -> tuple[Image, Mask, SoftMask | None]:
        rough_mask = binarize(read_mask(mask_path(rough, photo.name)))
        soft = read_soft(mask_path(scores, photo.name)) if scores else None
        return read_image(photo.path), rough_mask, soft

    def ask(photo: Photo) -> Posed:
        image, rough_mask, soft = load(photo)
        return pose(image, rough_mask, soft, config, start)

    def make_many(device: "torch.device", batch: Sequence[Photo]) -> list[Enhanced]:
        made = enhance_many(map_threads(ask, batch, crew.threads), config, device)
        return [in_label(one, photo) for one, photo in zip(made, batch, strict=True)]

    if gpu:
        write_batches(photos, folder, partial(make_many, gpu), title, crew, GPU_BATCH, threads=2)
    else:
        write_masks(photos, folder, lambda photo: in_label(enhance(*load(photo)), photo), title, crew)
