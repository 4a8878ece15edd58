"""Stage 2: snap a rough mask to its photo. A method is one line in `ENHANCERS`."""

from collections.abc import Callable
from functools import partial

from coarse2fine.config import EnhanceConfig, Start
from coarse2fine.enhance.grabcut import grabcut_with_note
from coarse2fine.masks import BoxRule, binarize, fill_box
from coarse2fine.types import Enhanced, Enhancer, Image, Mask, SoftMask

__all__ = ["ENHANCERS", "Start", "enhancer_from"]


def enhancer_from(config: EnhanceConfig, start: Start, seed: int) -> Enhancer:
    """Make the enhancer that the settings name.

    Args:
        config: Its ``method`` chooses from `ENHANCERS`.
        start: What grabcut starts from: ``config.coarse_start`` for coarse masks, ``config.start`` between rounds.
        seed: Makes grabcut repeatable.

    Returns:
        A call from (photo, mask) to `Enhanced`. An empty mask stays empty, with the note ``empty``.
    """
    return ENHANCERS[config.method](config, start, seed)


def _grabcut_from(config: EnhanceConfig, start: Start, seed: int) -> Enhancer:
    def enhance(image: Image, mask: Mask, soft: SoftMask | None = None) -> Enhanced:
        return grabcut_with_note(image, mask, config, start, seed, soft)

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
    "box": _box_from,
    "none": _none_from,
}
