"""Stage 2: align a mask with the edges of its photo. `ENHANCERS` has one line per method.

grabcut.py   GrabCut; its algorithms are in graph_cut/
crf.py       a fully connected CRF; its algorithms are in dense_crf/
linear_model.py    corrects soft masks by what the features of all photos have in common
pixel_features.py  features of an encoder on a grid of cells of a photo
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from coarse2fine.config import EnhanceConfig, GrabCutConfig, Settings, Start
from coarse2fine.enhance.grabcut import grabcut as apply_grabcut  # the name grabcut is the module
from coarse2fine.enhance.graph_cut.compilation import is_compiled
from coarse2fine.enhance.graph_cut.pyramid import GrabCutInput, cut_coarse_to_fine
from coarse2fine.enhance.graph_cut.trimap import PROBABLE_FOREGROUND
from coarse2fine.masks.regions import fill_box, foreground_mask
from coarse2fine.types import Enhanced, Enhancer, Image, Mask, SoftMask

__all__ = ["ENHANCERS", "enhancer_from", "is_prepared", "prepare"]


def enhancer_from(config: EnhanceConfig, start: Start, seed: int) -> Enhancer:
    """Return the enhancer that the settings name.

    Args:
        config: ``config.method`` is a key of `ENHANCERS`.
        start: What the method starts from: the bounding box of the mask, the mask, or its probabilities.
        seed: Seed of OpenCV's GrabCut.

    Returns:
        A function from photo and mask to `Enhanced`. An empty mask stays empty, with the note ``empty``.
    """
    return ENHANCERS[config.method](config.section, start, seed)


def is_prepared(config: EnhanceConfig) -> bool:
    """Return whether everything that the method needs was compiled before, by this process or an earlier one."""
    return not _is_compiled_method(config) or is_compiled()


def prepare(config: EnhanceConfig) -> None:
    """Compile what the method needs: 10 to 30 seconds the first time on a machine, later from a cache."""
    if _is_compiled_method(config):
        image = np.zeros((8, 8, 3), np.uint8)
        image[2:6, 2:6] = 255
        trimap = np.pad(np.full((6, 6), PROBABLE_FOREGROUND, np.uint8), 1)
        cut_coarse_to_fine(GrabCutInput(image, trimap), iterations=1)


def _is_compiled_method(config: EnhanceConfig) -> bool:
    return config.method == "grabcut" and config.grabcut.engine == "fast"


def _grabcut_from(config: GrabCutConfig, start: Start, seed: int) -> Enhancer:
    def enhance(image: Image, mask: Mask, soft: SoftMask | None = None) -> Enhanced:
        return apply_grabcut(image, mask, start, soft, config, seed)

    return enhance


def _crf_from(config: Settings, start: Start, seed: int) -> Enhancer:
    def enhance(image: Image, mask: Mask, soft: SoftMask | None = None) -> Enhanced:
        from coarse2fine.enhance.crf import enhance_with_crf  # importing torch takes seconds

        return enhance_with_crf(image, mask, start, soft)

    return enhance


def _box_from(config: Settings, start: Start, seed: int) -> Enhancer:
    return partial(_enhance_by, lambda mask: fill_box(mask, "all"))


def _none_from(config: Settings, start: Start, seed: int) -> Enhancer:
    return partial(_enhance_by, foreground_mask)


def _enhance_by(change: Callable[[Mask], Mask], image: Image, mask: Mask, soft: SoftMask | None = None) -> Enhanced:
    changed = change(mask)
    return Enhanced(changed, None if changed.any() else "empty")


ENHANCERS: dict[str, Callable[[Any, Start, int], Enhancer]] = {
    "grabcut": _grabcut_from,
    "crf": _crf_from,
    "box": _box_from,
    "none": _none_from,
}
"""For each value of ``enhance.method`` a function that makes the enhancer, from the section of the method in
:class:`EnhanceConfig` (empty settings if it has none), the start and the seed."""
