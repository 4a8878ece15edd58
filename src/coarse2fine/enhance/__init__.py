"""Stage 2: snap a rough mask to its photo. A method is one line in `ENHANCERS`."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from coarse2fine.config import EnhanceConfig, Start
from coarse2fine.enhance.grabcut import grabcut_with_note, judge, pose_grabcut
from coarse2fine.enhance.graph_cut.pyramid import Question, cut_pyramid
from coarse2fine.enhance.graph_cut.trimap import MAYBE_FOREGROUND
from coarse2fine.errors import Coarse2FineError, ConfigError
from coarse2fine.masks.regions import BoxRule, binarize, fill_box
from coarse2fine.runtime.device import pick_device
from coarse2fine.types import Enhanced, Enhancer, Image, Mask, SoftMask

if TYPE_CHECKING:
    import torch

    from coarse2fine.enhance.crf import Likely

Posed: TypeAlias = "tuple[Mask, Question | Likely | str]"
"""A binary rough mask, and what is asked of a method that works in batches, or why there is nothing to ask."""

_GPU_IN_USE = Lock()  # one batch at a time, or its memory would be needed twice; others are read meanwhile

__all__ = ["ENHANCERS", "Posed", "Start", "enhance_many", "enhancer_from", "find_gpu", "pose", "prepare"]


def enhancer_from(config: EnhanceConfig, start: Start, seed: int) -> Enhancer:
    """Make the enhancer that the settings name.

    Args:
        config: Its ``method`` chooses from `ENHANCERS`.
        start: What the method starts from: the mask's box, the mask, or the scores that made it.
        seed: Makes grabcut repeatable.

    Returns:
        A call from (photo, mask) to `Enhanced`. An empty mask stays empty, with the note ``empty``.
    """
    return ENHANCERS[config.method](config, start, seed)


def prepare(config: EnhanceConfig) -> None:
    """Compile what the settings need: 10 to 30 seconds the first time on a machine, next to nothing afterwards."""
    if config.method == "grabcut" and config.engine == "fast" and config.device == "cpu":
        image = np.zeros((8, 8, 3), np.uint8)
        image[2:6, 2:6] = 255
        trimap = np.pad(np.full((6, 6), MAYBE_FOREGROUND, np.uint8), 1)
        cut_pyramid(Question(image, trimap), iterations=1)


def pose(image: Image, mask: Mask, soft: SoftMask | None, config: EnhanceConfig, start: Start) -> Posed:
    """Turn a rough mask into what :func:`enhance_many` works on, with settings that work in batches.

    Args:
        image: Shape (H, W, 3).
        mask: Shape (H, W); ignored pixels are background.
        soft: How likely each pixel is foreground, 0 to 1, of any height and width; for ``start="scores"``.
        config: Settings that :attr:`~coarse2fine.config.EnhanceConfig.works_in_batches`.
        start: As for :func:`enhancer_from`.

    Raises:
        DataError: Image and mask differ in height or width, the image is not 8-bit RGB, or scores are missing.
    """
    if config.method == "crf":
        from coarse2fine.enhance.crf import pose_crf

        return pose_crf(image, mask, soft, config, start)
    return pose_grabcut(image, mask, soft, config, start)


def enhance_many(posed: Iterable[Posed], config: EnhanceConfig, device: "torch.device") -> list[Enhanced]:
    """Enhance many masks at once on the GPU, as :func:`enhancer_from` does one by one on the CPU.

    Args:
        posed: What :func:`pose` made of each, with the same settings.
        config: Settings that :attr:`~coarse2fine.config.EnhanceConfig.works_in_batches`.
        device: The GPU, from :func:`find_gpu`.

    Raises:
        Coarse2FineError: The GPU has too little memory.
    """
    from coarse2fine.enhance.crf import Likely, draw_masks

    posed = list(posed)
    if config.method == "crf":
        method = "the CRF"
        found = draw_masks([one for _, one in posed if isinstance(one, Likely)], config, device)
    else:
        method = "GrabCut"
        found = _cut([one for _, one in posed if isinstance(one, Question)], config, device)
    masks = iter(found)
    return [Enhanced(rough, one) if isinstance(one, str) else judge(next(masks), rough, method) for rough, one in posed]


def _cut(questions: Sequence[Question], config: EnhanceConfig, device: "torch.device") -> list[Mask]:
    from torch import OutOfMemoryError

    from coarse2fine.enhance.batched import cut_batch

    try:
        with _GPU_IN_USE:
            return cut_batch(questions, config.iterations, device, config.gpu_megapixels)
    except OutOfMemoryError as error:
        raise Coarse2FineError(
            f"The GPU has too little memory to cut {config.gpu_megapixels:g} megapixels of photos at the same time; "
            "lower enhance.gpu_megapixels, and run the same command again."
        ) from error


def find_gpu(config: EnhanceConfig) -> "torch.device | None":
    """The CUDA GPU that enhances many photos at once; none where they go one by one.

    Raises:
        ConfigError: The settings ask for a GPU, and there is none.
    """
    if not config.works_in_batches:
        return None
    device = pick_device()
    if device.type != "cuda":
        raise ConfigError(
            "enhance.device = gpu needs a CUDA GPU, but torch finds none here; leave enhance.device at cpu."
        )
    return device


def _grabcut_from(config: EnhanceConfig, start: Start, seed: int) -> Enhancer:
    def enhance(image: Image, mask: Mask, soft: SoftMask | None = None) -> Enhanced:
        return grabcut_with_note(image, mask, config, start, seed, soft)

    return enhance


def _crf_from(config: EnhanceConfig, start: Start, seed: int) -> Enhancer:
    def enhance(image: Image, mask: Mask, soft: SoftMask | None = None) -> Enhanced:
        from torch import device

        from coarse2fine.enhance.crf import crf_with_note

        where = pick_device() if config.works_in_batches else device("cpu")
        return crf_with_note(image, mask, config, start, soft, where)

    return enhance


def _box_from(config: EnhanceConfig, start: Start, seed: int) -> Enhancer:
    return partial(_box, rule=config.box)


def _none_from(config: EnhanceConfig, start: Start, seed: int) -> Enhancer:
    return _keep


def _box(image: Image, mask: Mask, soft: SoftMask | None = None, rule: BoxRule = "all") -> Enhanced:
    return _note_empty(fill_box(mask, rule))


def _keep(image: Image, mask: Mask, soft: SoftMask | None = None) -> Enhanced:
    return _note_empty(binarize(mask))


def _note_empty(mask: Mask) -> Enhanced:
    return Enhanced(mask, None if mask.any() else "empty")


ENHANCERS: dict[str, Callable[[EnhanceConfig, Start, int], Enhancer]] = {
    "grabcut": _grabcut_from,
    "crf": _crf_from,
    "box": _box_from,
    "none": _none_from,
}
