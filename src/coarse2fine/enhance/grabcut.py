"""GrabCut: color models of object and background, and the cheapest cut between them along image edges.

Source: Rother, Kolmogorov, Blake, "GrabCut" (SIGGRAPH 2004).
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from coarse2fine.config import GrabCutConfig, Start
from coarse2fine.enhance.graph_cut.color_models import COMPONENTS
from coarse2fine.enhance.graph_cut.pyramid import GrabCutInput, cut_coarse_to_fine
from coarse2fine.enhance.graph_cut.trimap import log_odds, trimap_from_band, trimap_from_box, trimap_from_probabilities
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.masks.image_check import check_image, check_mask
from coarse2fine.masks.regions import fill_box, foreground_mask
from coarse2fine.masks.resize import fit_size, resize, resize_soft
from coarse2fine.types import Enhanced, Image, Mask, SoftMask

BAND_SHARE = 0.15
"""Half width of the band of open pixels around the contour for ``start="mask"``, as a share of the square root of the
mask's area.

Measured on 200 photos of VOC animals with ``benchmarks/starts.py`` (docs/log.md): gain in IoU over the network's own
masks after rounds 1 and 2: +.046 and +.013 with 0.15, +.037 and +.012 with 0.10.
"""

CERTAIN_PROBABILITY = 0.02
"""For ``start="probabilities"``: pixels with a foreground probability below it are fixed as background, above
``1 - CERTAIN_PROBABILITY`` as foreground.

Chosen on 300 photos of VOC animals. Measured later on 200 photos as above: +.067 and +.016 with 0.02, +.071 and +.021
with 0.05, +.050 and +.011 with 0.20.
"""

PROBABILITY_WEIGHT = 2.5
"""For ``start="probabilities"``: weight of the log odds of the foreground probability relative to the color models.

With soft masks of the right size (:mod:`coarse2fine.pipeline.soft_start`), 1.5, 2.5 and 4 give .769, .768 and .769 IoU
on 50 photos of voc-animals, .954, .954 and .956 on 49 of blood-cells, .580, .612 and .599 on 57 of pascal20
(docs/log.md, 2026-11-30). It was 1.5 before, chosen on 300 photos of voc-animals whose soft masks were too small.
"""

MIN_CUT_SHARE = 0.05
"""A cut is rejected if its area is below this share of the area of the input mask: it has lost the object.

Measured on 119 photos of VOC animals from a centered box of 80 %, longer side 200 px, 2 iterations, OpenCV: mean IoU
0.483 with 5 %, 0.480 with 2 %, 0.474 with 10 %, 0.441 with 0.
"""

MAX_GROWTH = 2.0
"""A cut is rejected if its area is above this multiple of the area of the input mask: it covers background.

Measured on 300 photos of VOC animals from masks and probabilities of a network after one round: five cuts grew more.
Four of them were worse than their input mask (mean IoU 0.31 before, 0.14 after), one was better (0.31 before, 0.93
after).
"""

_ROUNDING = 1e-3  # resizing and averaging of probabilities leave 0 to 1 by this, at most


def grabcut(
    image: Image,
    mask: Mask,
    start: Start = "box",
    soft: SoftMask | None = None,
    config: GrabCutConfig = GrabCutConfig(),  # noqa: B008 - frozen
    seed: int = 0,
) -> Enhanced:
    """Align a mask with the edges of its image by GrabCut.

    A fixed pixel stays foreground or background as ``start`` sets it. The cut decides only about the open pixels, so
    that it never leaves its box or its band. ``start`` decides which pixels are open:

    - ``box``: pixels outside the bounding box of the foreground are background, pixels inside are open.
    - ``mask``: pixels near the contour of the mask are open (`BAND_SHARE`), the others keep their value.
    - ``probabilities``: pixels with a clear foreground probability are fixed (`CERTAIN_PROBABILITY`), the others are
      open; the log odds of the probability are added to those of the color models (`PROBABILITY_WEIGHT`).

    If the foreground covers the whole image, its outermost pixels become background, because the color model of the
    background needs some pixels.

    Args:
        image: RGB, shape (H, W, 3), at least 1 x 1.
        mask: Shape (H, W); ignored pixels count as background.
        start: Which pixels are open, as above.
        soft: Foreground probabilities, 0 to 1, of any height and width; needed for ``start="probabilities"``.
        config: Settings of the method.
        seed: Seed of the engine ``opencv``, which sets OpenCV's generator of this thread. The engine ``fast`` has no
            random numbers.

    Returns:
        ``mask`` and ``note``: the cut, shape (H, W), 0 or 1, and None. Or the binary input mask, and the reason why it
        is unchanged: it is empty, there are too few pixels for a color model, OpenCV fails, or the cut covers less than
        5 % or more than 200 % of the area of the input mask.

    Raises:
        ConfigError: ``start`` is ``probabilities`` and the engine is ``opencv``.
        DataError: Image and mask differ in height or width, the image is not 8-bit RGB, the mask has no class indices,
            or ``soft`` is missing or not from 0 to 1.

    Source: Rother et al., 2004; ``start="box"`` is that of the paper.
    """
    check_input(image, mask, start, soft)
    if start == "probabilities" and config.engine == "opencv":
        raise ConfigError(
            "OpenCV's GrabCut cannot start from probabilities; start from mask or box, or use engine fast."
        )
    input_mask = foreground_mask(mask)
    if not input_mask.any():
        return Enhanced(input_mask, "empty")
    small_image, trimap = _prepare(image, input_mask, config, start, soft)
    if min(_count_samples(trimap)) < COMPONENTS:
        return Enhanced(input_mask, "unchanged: too few pixels for GrabCut")
    prior: NDArray[np.float32] | None = None
    if start == "probabilities" and soft is not None:
        prior = np.float32(PROBABILITY_WEIGHT) * log_odds(soft)
    cut_input = GrabCutInput(small_image, trimap, prior, max(trimap.shape) / max(input_mask.shape))
    try:
        cut = _cut(cut_input, config, seed)
    except cv2.error as error:  # such as too little memory for the graph of a huge photo
        return Enhanced(input_mask, f"unchanged: OpenCV failed ({' '.join(str(error).split())})")
    return accept_or_return_input(cut, input_mask)


def accept_or_return_input(cut: Mask, input_mask: Mask, method: str = "GrabCut") -> Enhanced:
    """Return a cut at the size of its input mask, or the input mask and a note if the cut has lost the object.

    Args:
        cut: Binary, of any height and width.
        input_mask: Binary input mask, shape (H, W).
        method: Name of the method, for the note.

    Returns:
        ``input_mask`` if the cut is empty, covers less than `MIN_CUT_SHARE` or more than `MAX_GROWTH` times as much.
    """
    cut = _resize_binary(cut, *input_mask.shape)
    if not cut.any():
        return Enhanced(input_mask, f"unchanged: {method} found no foreground")
    if cut.sum() < MIN_CUT_SHARE * input_mask.sum():
        return Enhanced(input_mask, f"unchanged: {method} left less than {100 * MIN_CUT_SHARE:g} % of the mask")
    if cut.sum() > MAX_GROWTH * input_mask.sum():
        return Enhanced(input_mask, f"unchanged: {method} grew the mask to more than {MAX_GROWTH:g} times its size")
    return Enhanced(cut, None)


def check_input(image: Image, mask: Mask, start: Start, soft: SoftMask | None, method: str = "GrabCut") -> None:
    """Check that image, mask and probabilities are of the right types, and fit together.

    Raises:
        DataError: They are not, or do not.
    """
    check_image(image, method)
    check_mask(mask, method)
    if image.shape[:2] != mask.shape:
        raise DataError(
            f"Mask and image must have equal height and width; found a mask {mask.shape} for an image "
            f"{image.shape[:2]}. Resize the mask."
        )
    if start == "probabilities" and soft is None:
        raise DataError(f"{method} with start = probabilities needs the soft mask; pass soft, or choose another start.")
    if soft is not None and not (
        soft.ndim == 2 and soft.size and soft.min() >= -_ROUNDING and soft.max() <= 1 + _ROUNDING
    ):
        raise DataError(
            f"{method} needs a soft mask of shape (H, W) with values from 0 to 1; found shape {soft.shape}."
        )


def _prepare(
    image: Image, input_mask: Mask, config: GrabCutConfig, start: Start, soft: SoftMask | None
) -> tuple[Image, Mask]:
    """Return the image at the size of the cut, and its trimap."""
    region = fill_box(input_mask, config.box) if start == "box" else input_mask
    height, width = fit_size(input_mask.shape, config.max_side_px)
    small_image = resize(image, height, width)
    small_region = _resize_binary(region, height, width)
    if start == "box":
        return small_image, trimap_from_box(small_region)
    if start == "mask" or soft is None:
        return small_image, trimap_from_band(small_region, BAND_SHARE)
    return small_image, trimap_from_probabilities(small_region, soft, CERTAIN_PROBABILITY)


def _resize_binary(mask: Mask, height: int, width: int) -> Mask:
    """Resize a binary mask with smooth contours, whose position stays exact to a fraction of a pixel."""
    if mask.shape == (height, width):
        return mask
    resized: Mask = (resize_soft(mask.astype(np.float32), height, width) >= 0.5).astype(np.uint8)
    return resized


def _count_samples(trimap: Mask) -> tuple[int, int]:
    """Count the pixels for the first color models of background and foreground (odd labels are foreground)."""
    foreground = int(np.count_nonzero(trimap & 1))
    return trimap.size - foreground, foreground


def _cut(cut_input: GrabCutInput, config: GrabCutConfig, seed: int) -> Mask:
    if config.engine == "opencv":
        return _cut_opencv(cut_input.image, cut_input.trimap, config.iterations, seed)
    return cut_coarse_to_fine(cut_input, config.iterations)


def _cut_opencv(image: Image, trimap: Mask, iterations: int, seed: int) -> Mask:
    cv2.setRNGSeed(seed % 2**31)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    labels, *_ = cv2.grabCut(image, trimap, None, *models, iterations, cv2.GC_INIT_WITH_MASK)
    cut: Mask = labels & 1
    return cut
