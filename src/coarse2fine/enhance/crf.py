"""A fully connected CRF: every pixel draws those near it, and those near and of its color, to its own class.

Energy: for each pixel minus the logarithm of its class's probability, and for each pair of pixels of different classes
the sum of two Gaussian kernels, of place and of place and color. Mean-field steps approximate the marginals. As in the
authors' code, each kernel is normalized symmetrically, and a pixel is a neighbor of its own.

On the CPU one photo at a time is best: one of 500 px has a million corners in the lattice. On a GPU several go
together, because one alone would wait for its hundreds of small operations to be started.

Source: Krähenbühl, Koltun, "Efficient inference in fully connected CRFs with Gaussian edge potentials" (NIPS 2011).
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from coarse2fine.config import CrfConfig, EnhanceConfig, Start
from coarse2fine.enhance.dense_crf.batching import group_photos
from coarse2fine.enhance.dense_crf.mean_field import CrfInput, infer_marginals
from coarse2fine.enhance.grabcut import check_input, judge
from coarse2fine.enhance.graph_cut.trimap import PROBABILITY_MARGIN
from coarse2fine.errors import Coarse2FineError, DataError
from coarse2fine.masks.regions import foreground_mask
from coarse2fine.masks.resize import resize_soft, shrink
from coarse2fine.runtime.device import count_cores
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import Enhanced, Image, Mask, Probabilities, SoftMask

LEAST_CHANCE = 0.01
"""A class takes no part where it is nowhere in the photo this likely, compared with the likeliest class there.

Such a class cannot win: kernels of weights 3 and 4 favor it by a factor of exp(7 * 0.01) at most. Its probability
stays as it is. Of many classes only those that the photo may show cost time and memory.
"""

MEGAPIXELS_AT_ONCE = 2.0
"""Eight photos of 500 px: 1 to 3 GB of a GPU's memory, 4 GB at most."""


def dense_crf(
    scores: Probabilities,
    image: Image,
    config: CrfConfig = CrfConfig(),  # noqa: B008 - frozen
    device: torch.device | None = None,
) -> Probabilities:
    """Draw class probabilities to the edges of their photo.

    A photo larger than ``config.max_side_px`` is reduced to it; sigmas are pixels of the photo as it is then.

    Args:
        scores: Class probabilities, shape (C, h, w), of any height and width.
        image: The photo, shape (H, W, 3).
        config: Steps, kernels, and the size.
        device: Where it is computed; default: the CPU.

    Returns:
        Marginal probabilities of the classes at the photo's size, reduced where it was reduced, shape (C, H', W').

    Raises:
        DataError: The photo is not 8-bit RGB, or there are no scores.
        Coarse2FineError: The GPU has too little memory.
    """
    return dense_crf_many([(scores, image)], config, device)[0]


def dense_crf_many(
    photos: Sequence[tuple[Probabilities, Image]],
    config: CrfConfig = CrfConfig(),  # noqa: B008 - frozen
    device: torch.device | None = None,
    max_megapixels: float = MEGAPIXELS_AT_ONCE,
) -> list[Probabilities]:
    """Draw the class probabilities of many photos to their edges, several photos at once; worth while on a GPU.

    Args:
        photos: Probabilities and photo of each, as for :func:`dense_crf`; of any sizes and numbers of classes.
        config: Steps, kernels, and the size.
        device: Where it is computed; default: the CPU.
        max_megapixels: Photos that are worked on together have no more, each counted as high and wide as the highest
            and the widest, unless it is a single one. A megapixel takes 0.5 to 2 GB of the device's memory.

    Returns:
        What :func:`dense_crf` gives for each.

    Raises:
        DataError: A photo is not 8-bit RGB, or has no scores.
        Coarse2FineError: The GPU has too little memory.
    """
    device = device or torch.device("cpu")

    def size(photo: tuple[Probabilities, Image]) -> CrfInput:
        _check(*photo)
        image = shrink(photo[1], config.max_side_px)
        channels = [resize_soft(channel, *image.shape[:2]) for channel in np.asarray(photo[0], np.float32)]
        return CrfInput(np.stack(channels), image)

    sized = list(map_threads(size, photos, count_cores()))
    chosen = [_choose_classes(problem.probabilities) for problem in sized]
    asked = [number for number, classes in enumerate(chosen) if classes.sum() > 1]
    problems = [CrfInput(sized[number].probabilities[chosen[number]], sized[number].image) for number in asked]
    marginals: dict[int, Probabilities] = {}
    for group in _group([problem.probabilities.shape for problem in problems], max_megapixels):
        marginals |= zip(group, _infer_or_tell([problems[one] for one in group], config, device), strict=True)
    for one, number in enumerate(asked):
        sized[number].probabilities[chosen[number]] = marginals[one] * problems[one].probabilities.sum(axis=0)
    return [problem.probabilities for problem in sized]


def _choose_classes(scores: Probabilities) -> NDArray[np.bool_]:
    chosen: NDArray[np.bool_] = (scores >= LEAST_CHANCE * scores.max(axis=0)).any(axis=(1, 2))
    return chosen


def _group(shapes: Sequence[tuple[int, ...]], max_megapixels: float) -> Iterator[list[int]]:
    """Numbers of photos that are worked on together, those of most nearly the same classes, height and width."""

    def count_pixels(group: list[int]) -> int:
        return len(group) * math.prod(max(shapes[number][axis] for number in group) for axis in (1, 2))

    alike = sorted(range(len(shapes)), key=lambda number: shapes[number])
    return group_photos(alike, count_pixels, 1e6 * max_megapixels)


def _infer_or_tell(problems: Sequence[CrfInput], config: CrfConfig, device: torch.device) -> list[Probabilities]:
    try:
        return infer_marginals(problems, config, device)
    except torch.OutOfMemoryError as error:
        classes, height, width = (max(one.probabilities.shape[axis] for one in problems) for axis in range(3))
        alone = len(problems) == 1
        photos = "a photo of" if alone else f"{len(problems)} photos at the same time of up to"
        lower = "crf.max_side_px" if alone else "the batch or crf.max_side_px"
        raise Coarse2FineError(
            f"The GPU has too little memory for a CRF of {classes} classes on {photos} "
            f"{width} x {height} px; lower {lower}, and run the same command again."
        ) from error


def crf_with_note(
    image: Image,
    mask: Mask,
    config: EnhanceConfig,
    start: Start,
    soft: SoftMask | None = None,
) -> Enhanced:
    """Draw a rough mask to the edges of its image, and say so where that was not possible.

    ``start="scores"``: ``soft`` says how likely each pixel is foreground, but is never surer than `PROBABILITY_MARGIN`.
    Any other start: the mask does, as sure as ``config.mask_certainty`` everywhere.

    Args:
        image: Shape (H, W, 3).
        mask: Shape (H, W); ignored pixels are background.
        config: Its ``crf`` and ``mask_certainty`` count.
        start: Where the probabilities come from.
        soft: How likely each pixel is foreground, 0 to 1, of any height and width; for ``start="scores"``.

    Returns:
        Where foreground is likelier than not, with no note. The binary input mask, with a note, where it is empty or
        where :func:`~coarse2fine.enhance.grabcut.judge` finds that the object was lost.

    Raises:
        DataError: Image and mask differ in height or width, the image is not 8-bit RGB, or scores are missing.
    """
    check_input(image, mask, start, soft, "The CRF")
    rough = foreground_mask(mask)
    if not rough.any():
        return Enhanced(rough, "empty")
    if start == "scores" and soft is not None:
        likely = soft.clip(PROBABILITY_MARGIN, 1 - PROBABILITY_MARGIN)
    else:
        likely = np.where(rough, config.mask_certainty, 1 - config.mask_certainty).astype(np.float32)
    image = shrink(image, config.crf.max_side_px)
    likely = resize_soft(likely, *image.shape[:2])  # the photo may be huge: two classes only where it is small
    marginals = dense_crf(np.stack([1 - likely, likely]), image, config.crf)
    found = (resize_soft(marginals[1], rough.shape[0], rough.shape[1]) > 0.5).astype(np.uint8)
    return judge(found, rough, "the CRF")


def _check(scores: Probabilities, image: Image) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise DataError(f"The CRF needs an 8-bit RGB image, shape (H, W, 3), found {image.dtype} {image.shape}.")
    if scores.ndim != 3 or not scores.size:
        raise DataError(f"The CRF needs class probabilities, shape (C, H, W), found {scores.shape}.")
