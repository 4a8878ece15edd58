"""Fully connected CRF: pixels that are close, and pixels that are close and of similar color, prefer the same class.

The energy of a labeling is the sum, over all pixels, of minus the logarithm of the probability of the pixel's class,
and, over all pairs of pixels of different classes, of two Gaussian kernels: of position, and of position and color.
Mean-field steps approximate the marginals. As in the authors' code, each kernel is normalized symmetrically, and a
pixel is its own neighbor.

On the CPU, photos are computed one at a time: one of 500 px has a million corners in the lattice. On a GPU, several
photos are computed together, because the hundreds of small operations of one photo would not use the GPU.

Source: Krähenbühl, Koltun, "Efficient inference in fully connected CRFs with Gaussian edge potentials" (NIPS 2011).
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from coarse2fine.config import CrfConfig, Start
from coarse2fine.enhance.dense_crf.batching import group_photos
from coarse2fine.enhance.dense_crf.mean_field import CrfInput, infer_marginals
from coarse2fine.enhance.grabcut import accept_or_return_input, check_input
from coarse2fine.enhance.graph_cut.trimap import PROBABILITY_MARGIN
from coarse2fine.errors import Coarse2FineError, DataError
from coarse2fine.masks.image_check import check_image
from coarse2fine.masks.regions import foreground_mask
from coarse2fine.masks.resize import foreground_of_soft, resize_soft, shrink
from coarse2fine.runtime.device import count_cores
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import Enhanced, Image, Mask, Probabilities, SoftMask

LEAST_RATIO = 0.01
"""A class is left out of the CRF if, at every pixel of the photo, it is less probable than this multiple of the most
probable class.

Such a class cannot become the most probable one: kernels of weights 3 and 4 favor it by a factor of exp(7 * 0.01) at
most. Its probability does not change. So time and memory do not grow with classes that the photo does not show.
"""

MASK_PROBABILITY = 0.7
"""For a start from a binary mask: probability that a pixel of the mask is right. Other values were not measured."""

MEGAPIXELS_AT_ONCE = 2.0
"""Megapixels of a batch: eight photos of 500 px, which take 1 to 3 GB of a GPU's memory, 4 GB at most."""


def dense_crf(
    probabilities: Probabilities,
    image: Image,
    config: CrfConfig = CrfConfig(),  # noqa: B008 - frozen
    device: torch.device | None = None,
) -> Probabilities:
    """Align class probabilities with the edges of their photo.

    A photo larger than ``config.max_side_px`` is reduced to it; the sigmas are in pixels of the reduced photo.

    Args:
        probabilities: Class probabilities, shape (C, h, w), of any height and width.
        image: The photo, shape (H, W, 3).
        config: Steps, kernels and size.
        device: Where to compute; default: the CPU.

    Returns:
        Marginal class probabilities at the size of the photo, or of the reduced photo, shape (C, H', W').

    Raises:
        DataError: The photo is not 8-bit RGB, or there are no probabilities.
        Coarse2FineError: The GPU has too little memory.
    """
    return dense_crf_many([(probabilities, image)], config, device)[0]


def dense_crf_many(
    photos: Sequence[tuple[Probabilities, Image]],
    config: CrfConfig = CrfConfig(),  # noqa: B008 - frozen
    device: torch.device | None = None,
    max_megapixels: float = MEGAPIXELS_AT_ONCE,
) -> list[Probabilities]:
    """Align the class probabilities of many photos with their edges, in batches; faster than one by one on a GPU.

    Args:
        photos: Probabilities and photo of each, as for :func:`dense_crf`; of any sizes and numbers of classes.
        config: Steps, kernels and size.
        device: Where to compute; default: the CPU.
        max_megapixels: Limit of a batch of more than one photo, where each photo counts with the largest height and the
            largest width of the batch. A megapixel takes 0.5 to 2 GB of the device's memory.

    Returns:
        The result of :func:`dense_crf` for each photo.

    Raises:
        DataError: A photo is not 8-bit RGB, or has no probabilities.
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
    open_numbers = [number for number, classes in enumerate(chosen) if classes.sum() > 1]
    problems = [CrfInput(sized[number].probabilities[chosen[number]], sized[number].image) for number in open_numbers]
    marginals: dict[int, Probabilities] = {}
    for group in _group([problem.probabilities.shape for problem in problems], max_megapixels):
        marginals |= zip(group, _infer([problems[one] for one in group], config, device), strict=True)
    for one, number in enumerate(open_numbers):
        sized[number].probabilities[chosen[number]] = marginals[one] * problems[one].probabilities.sum(axis=0)
    return [problem.probabilities for problem in sized]


def _choose_classes(probabilities: Probabilities) -> NDArray[np.bool_]:
    chosen: NDArray[np.bool_] = (probabilities >= LEAST_RATIO * probabilities.max(axis=0)).any(axis=(1, 2))
    return chosen


def _group(shapes: Sequence[tuple[int, ...]], max_megapixels: float) -> Iterator[list[int]]:
    """Yield the numbers of the photos of each batch; photos of similar classes, height and width share a batch."""

    def count_pixels(group: list[int]) -> int:
        return len(group) * math.prod(max(shapes[number][axis] for number in group) for axis in (1, 2))

    alike = sorted(range(len(shapes)), key=lambda number: shapes[number])
    return group_photos(alike, count_pixels, 1e6 * max_megapixels)


def _infer(problems: Sequence[CrfInput], config: CrfConfig, device: torch.device) -> list[Probabilities]:
    try:
        return infer_marginals(problems, config, device)
    except torch.OutOfMemoryError as error:
        classes, height, width = (max(one.probabilities.shape[axis] for one in problems) for axis in range(3))
        alone = len(problems) == 1
        photos = "a photo of" if alone else f"a batch of {len(problems)} photos of up to"
        remedy = "compute on the CPU (--device cpu)" if alone else "use smaller batches (--batch)"
        raise Coarse2FineError(
            f"The GPU has too little memory for a CRF with {classes} classes on {photos} {width} x {height} px; "
            f"{remedy}, and run the same command again."
        ) from error


def enhance_with_crf(
    image: Image,
    mask: Mask,
    start: Start = "mask",
    soft: SoftMask | None = None,
    config: CrfConfig = CrfConfig(),  # noqa: B008 - frozen
) -> Enhanced:
    """Align a mask with the edges of its image by a CRF; return it unchanged, with a note, if the CRF loses the object.

    Args:
        image: RGB, shape (H, W, 3).
        mask: Shape (H, W); ignored pixels count as background.
        start: ``probabilities``: the CRF starts from ``soft``, limited to `PROBABILITY_MARGIN` and
            ``1 - PROBABILITY_MARGIN``. Any other start: from the mask, whose pixels are right with
            `MASK_PROBABILITY`.
        soft: Foreground probabilities, 0 to 1, of any height and width; needed for ``start="probabilities"``.
        config: Parameters of the CRF.

    Returns:
        The pixels with a foreground probability above 0.5, without a note. Or the binary input mask, with a note, if it
        is empty or the result is not accepted (:func:`~coarse2fine.enhance.grabcut.accept_or_return_input`).

    Raises:
        DataError: Image and mask differ in height or width, the image is not 8-bit RGB, or ``soft`` is missing.
    """
    check_input(image, mask, start, soft, "The CRF")
    input_mask = foreground_mask(mask)
    if not input_mask.any():
        return Enhanced(input_mask, "empty")
    if start == "probabilities" and soft is not None:
        likely = soft.clip(PROBABILITY_MARGIN, 1 - PROBABILITY_MARGIN)
    else:
        likely = np.where(input_mask, MASK_PROBABILITY, 1 - MASK_PROBABILITY).astype(np.float32)
    image = shrink(image, config.max_side_px)  # the photo may be huge: build the two classes at the small size
    likely = resize_soft(likely, *image.shape[:2])
    marginals = dense_crf(np.stack([1 - likely, likely]), image, config)
    found = foreground_of_soft(marginals[1], *input_mask.shape)
    return accept_or_return_input(found, input_mask, "the CRF")


def _check(probabilities: Probabilities, image: Image) -> None:
    check_image(image, "The CRF")
    if probabilities.ndim != 3 or not probabilities.size:
        raise DataError(f"The CRF needs class probabilities of shape (C, H, W); found {probabilities.shape}.")
