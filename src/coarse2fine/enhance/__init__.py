"""Stage 2: snap a rough mask to its photo. A method is one line in `ENHANCERS`."""

from collections.abc import Callable
from functools import partial

import numpy as np

from coarse2fine.config import EnhanceConfig, Start
from coarse2fine.enhance.grabcut import grabcut_with_note
from coarse2fine.enhance.graph_cut.pyramid import GrabCutInput, cut_coarse_to_fine
from coarse2fine.enhance.graph_cut.trimap import PROBABLE_FOREGROUND
from coarse2fine.masks.regions import BoxRule, fill_box, foreground_mask
from coarse2fine.types import Enhanced, Enhancer, Image, Mask, SoftMask

__all__ = ["ENHANCERS", "Start", "enhancer_from", "prepare"]


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
    if config.method == "grabcut" and config.engine == "fast":
        image = np.zeros((8, 8, 3), np.uint8)
        image[2:6, 2:6] = 255
        trimap = np.pad(np.full((6, 6), PROBABLE_FOREGROUND, np.uint8), 1)
        cut_coarse_to_fine(GrabCutInput(image, trimap), iterations=1)


def _grabcut_from(config: EnhanceConfig, start: Start, seed: int) -> Enhancer:
    def enhance(image: Image, mask: Mask, soft: SoftMask | None = None) -> Enhanced:
        return grabcut_with_note(image, mask, config, start, seed, soft)

    return enhance


def _crf_from(config: EnhanceConfig, start: Start, seed: int) -> Enhancer:
    def enhance(image: Image, mask: Mask, soft: SoftMask | None = None) -> Enhanced:
        from coarse2fine.enhance.crf import crf_with_note

        return crf_with_note(image, mask, config, start, soft)

    return enhance


def _box_from(config: EnhanceConfig, start: Start, seed: int) -> Enhancer:
    return partial(_box, rule=config.box)


def _none_from(config: EnhanceConfig, start: Start, seed: int) -> Enhancer:
    return _keep


def _box(image: Image, mask: Mask, soft: SoftMask | None = None, rule: BoxRule = "all") -> Enhanced:
    return _note_empty(fill_box(mask, rule))


def _keep(image: Image, mask: Mask, soft: SoftMask | None = None) -> Enhanced:
    return _note_empty(foreground_mask(mask))


def _note_empty(mask: Mask) -> Enhanced:
    return Enhanced(mask, None if mask.any() else "empty")


ENHANCERS: dict[str, Callable[[EnhanceConfig, Start, int], Enhancer]] = {
    "grabcut": _grabcut_from,
    "crf": _crf_from,
    "box": _box_from,
    "none": _none_from,
}
