"""GrabCut from coarse to fine for many photos at once, on a GPU: what `cut_pyramid` does, with tensor operations.

The pixels of all photos of a group lie in one row, photo by photo, so photos of any sizes go together without padding,
and no photo's mask depends on the others. Every sum over a photo is exact.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from coarse2fine.enhance.batched_colours import compare, learn_models, sample_sides, start_models
from coarse2fine.enhance.dense_crf.pixel_rows import group_photos, place_pixels
from coarse2fine.enhance.graph_cut.pixel_graph import COLUMNS, ROWS, SHARES, SMOOTHNESS, mean_contrast
from coarse2fine.enhance.graph_cut.pyramid import (
    BAND_PX,
    RESTING_SHARE,
    Question,
    plan_scales,
    resize_prior,
    shrink_image,
    shrink_trimap,
)
from coarse2fine.enhance.graph_cut.trimap import MAYBE_BACKGROUND
from coarse2fine.enhance.total_variation import EDGES, Graphs, cut_cheaply, sum_per_photo
from coarse2fine.runtime.device import count_cores
from coarse2fine.runtime.processes import map_threads
from coarse2fine.types import Image, Mask


class _Copy(NamedTuple):
    """One photo at one size, with all that its cut needs."""

    image: Image
    trimap: Mask
    prior: NDArray[np.float32]
    smoothness: float
    sharpness: float


class _Row(NamedTuple):
    """Copies of P photos, their N pixels one after another."""

    colours: Tensor  # (N, 3), uint8
    trimap: Tensor  # (N,), uint8
    prior: Tensor  # (N,), float32
    place: Tensor  # (3, N), int32: photo, y, x
    sizes: Tensor  # (3, P), int32: first pixel, height, width
    energy: Tensor  # (2, P), float32: smoothness, sharpness


def cut_batch(
    questions: Sequence[Question], iterations: int, device: torch.device, max_megapixels: float = 16.0
) -> list[Mask]:
    """Cut the undecided pixels of many photos; each mask is that of `cut_pyramid`, but for a few pixels.

    Args:
        questions: Photos of any sizes.
        iterations: Most rounds of colour models and cut on the smallest copy; a photo stops where its mask rests.
        device: Where the tensors are; the copies are made by the processor's cores.
        max_megapixels: Photos that are worked on together have no more pixels, unless it is a single one. A megapixel
            takes about 150 MB of the device's memory, and up to 400 MB where all of it is undecided on the smallest
            copy.

    Returns:
        Binary masks, shape (H, W), in the order of the questions.
    """
    by_size = sorted(range(len(questions)), key=lambda number: questions[number].trimap.size)
    prepared = map_threads(_prepare, (questions[number] for number in by_size), count_cores())
    masks: dict[int, Mask] = {}

    def count_pixels(group: list[int]) -> int:
        return sum(questions[number].trimap.size for number in group)

    with torch.inference_mode():
        for group in group_photos(by_size, count_pixels, 1e6 * max_megapixels):
            photos = sorted(zip(group, prepared, strict=False), key=lambda photo: -len(photo[1]))
            cuts = _cut_group([copies for _, copies in photos], iterations, device)
            masks |= {number: cut for (number, _), cut in zip(photos, cuts, strict=True)}
    return [masks[number] for number in range(len(questions))]


def _prepare(question: Question) -> list[_Copy]:
    """A photo's copies, the smallest first."""
    trimap = question.trimap
    scales = plan_scales(int(np.count_nonzero(trimap >= MAYBE_BACKGROUND)), trimap.shape)
    copies = []
    for image, shrunk in zip(shrink_image(question.image, scales), scales, strict=True):
        shape = image.shape[0], image.shape[1]
        prior = resize_prior(question.prior, *shape).reshape(-1)
        sharpness = 0.5 / max(mean_contrast(image), 1e-9)
        smoothness = SMOOTHNESS * question.scale * shrunk
        copies.append(_Copy(image, shrink_trimap(trimap, *shape), prior, smoothness, sharpness))
    return copies


def _cut_group(photos: list[list[_Copy]], iterations: int, device: torch.device) -> list[Mask]:
    """Cut photos of which none has more copies than the one before."""
    row = _lay_out([copies[0] for copies in photos], device)
    mask, models = _settle(row, iterations)
    found = _take_apart(row, mask)
    for level in range(1, len(photos[0])):
        finer = _lay_out([copies[level] for copies in photos if len(copies) > level], device)
        mask, models = _follow(finer, row, mask, models[: finer.sizes.shape[1]])
        row = finer
        found[: row.sizes.shape[1]] = _take_apart(row, mask)
    return found


def _lay_out(copies: list[_Copy], device: torch.device) -> _Row:
    place, sizes = place_pixels([copy.trimap.shape for copy in copies], device)
    energy = [[copy.smoothness for copy in copies], [copy.sharpness for copy in copies]]
    return _Row(
        torch.from_numpy(np.concatenate([copy.image.reshape(-1, 3) for copy in copies])).to(device),
        torch.from_numpy(np.concatenate([copy.trimap.reshape(-1) for copy in copies])).to(device),
        torch.from_numpy(np.concatenate([copy.prior for copy in copies])).to(device),
        place,
        sizes,
        torch.tensor(energy, dtype=torch.float32, device=device),
    )


def _take_apart(row: _Row, mask: Tensor) -> list[Mask]:
    whole, sizes = mask.cpu().numpy(), row.sizes.T.tolist()
    return [whole[first : first + height * width].reshape(height, width).copy() for first, height, width in sizes]


def _settle(row: _Row, iterations: int) -> tuple[Tensor, Tensor]:
    """Alternate colour models and cut until every mask rests."""
    mask = row.trimap & 1
    models = start_models(sample_sides(row.colours, mask, row.sizes[0]))
    pixels, graphs, fixed = _join(row, row.trimap)
    photo, colours, known = graphs.photo, row.colours[pixels], row.prior[pixels]
    duals = torch.zeros_like(graphs.weight)
    moving = torch.ones(graphs.photos, dtype=torch.bool, device=mask.device)
    few = RESTING_SHARE * sum_per_photo(torch.ones_like(pixels), photo, graphs.photos)
    for _ in range(iterations):
        learned = learn_models(sample_sides(row.colours, mask, row.sizes[0]), models)
        models = torch.where(moving[:, None, None, None], learned, models)
        unary = fixed - pad(compare(colours, photo, models) + known, (0, 1))
        before = mask[pixels]
        after = torch.where(moving[photo], cut_cheaply(graphs, unary, duals, moving).to(mask.dtype), before)
        mask[pixels] = after
        moving = sum_per_photo(after != before, photo, graphs.photos) > few
        if not moving.any():
            break
    return mask, models


def _follow(row: _Row, coarser: _Row, coarse_mask: Tensor, models: Tensor) -> tuple[Tensor, Tensor]:
    """Move the contours of coarser masks to where they are cheapest on these copies."""
    undecided = row.trimap >= MAYBE_BACKGROUND
    mask = torch.where(undecided, _enlarge(coarse_mask, coarser, row), row.trimap)
    band = _near_contour(row, mask) & undecided
    pixels, graphs, fixed = _join(row, mask + MAYBE_BACKGROUND * band.to(mask.dtype))
    cut_here = sum_per_photo(torch.ones_like(pixels), graphs.photo, graphs.photos) > 0
    learned = learn_models(sample_sides(row.colours, mask, row.sizes[0]), models)
    models = torch.where(cut_here[:, None, None, None], learned, models)
    odds = compare(row.colours[pixels], graphs.photo, models) + row.prior[pixels]
    duals = torch.zeros_like(graphs.weight)
    mask[pixels] = cut_cheaply(graphs, fixed - pad(odds, (0, 1)), duals, cut_here).to(mask.dtype)
    return mask, models


def _join(row: _Row, labels: Tensor) -> tuple[Tensor, Graphs, Tensor]:
    """Join undecided pixels to each other, and to a side where they touch a certain pixel; see `build_graph`.

    Returns:
        Undecided pixels, as indices into the row, shape (K,), their graphs, and what the certain pixels around them
        make each cost as foreground more than as background, shape (K + 1,).
    """
    undecided = labels >= MAYBE_BACKGROUND
    pixels = undecided.nonzero().squeeze(1)
    count = len(pixels)
    number = undecided.cumsum(0, dtype=torch.int32) - 1
    fixed = torch.zeros(count + 1, device=labels.device)
    ends, weights = [], []
    for direction in range(2 * EDGES):
        other, weight = _look(row, pixels, direction)
        certain = (1 - 2 * (labels[other] & 1).float()).masked_fill_(undecided[other], 0)
        fixed[:-1] += weight * certain
        weight.masked_fill_(certain != 0, 0)
        ends.append(pad(number[other].masked_fill_(weight == 0, count), (0, 1), value=count))
        weights.append(pad(weight, (0, 1)))
    photo = row.place[0][pixels].long()
    after, before = torch.stack(ends[EDGES:]), torch.stack(ends[EDGES - 1 :: -1])
    return pixels, Graphs(after, before, torch.stack(weights[EDGES:]), photo, row.sizes.shape[1]), fixed


def _look(row: _Row, pixels: Tensor, direction: int) -> tuple[Tensor, Tensor]:
    """Neighbours in a direction and the weights of the edges to them, 0 where there is none, shapes (K,)."""
    photo, y, x = row.place.index_select(1, pixels)
    _, height, width = row.sizes.index_select(1, photo)
    smoothness, sharpness = row.energy.index_select(1, photo)
    down, right = ROWS[direction], COLUMNS[direction]
    inside = (y + down >= 0) & (y + down < height) & (x + right >= 0) & (x + right < width)
    other = pixels + torch.where(inside, width * down + right, 0)
    distance = (row.colours[pixels].float() - row.colours[other].float()).square().sum(1)
    return other, (smoothness * SHARES[direction] * (-sharpness * distance).exp()).masked_fill_(~inside, 0)


def _near_contour(row: _Row, mask: Tensor) -> Tensor:
    """True where both sides lie at most `BAND_PX` away, along rows and columns, shape (N,)."""
    here = torch.arange(len(mask), dtype=torch.int32, device=mask.device)
    size = row.sizes.index_select(1, row.place[0])
    low = high = mask
    for axis, step in ((1, size[2]), (2, torch.ones_like(here))):
        lows, highs, at = low, high, row.place[axis]
        for shift in range(-BAND_PX, BAND_PX + 1):
            near = here + ((at + shift).clamp(min=0).minimum(size[axis] - 1) - at) * step
            lows, highs = lows.minimum(low.index_select(0, near)), highs.maximum(high.index_select(0, near))
        low, high = lows, highs
    return low != high


def _enlarge(mask: Tensor, coarser: _Row, row: _Row) -> Tensor:
    """Bring masks to finer copies, bilinearly: binary, shape (N,), uint8."""
    photo = row.place[0]
    first, height, width = coarser.sizes.index_select(1, photo)
    ratio = coarser.sizes[1:, : row.sizes.shape[1]] / row.sizes[1:]
    down, right = ratio.index_select(1, photo)
    above, below, low_share = _stand_between(row.place[1], down, height)
    left, right_of, right_share = _stand_between(row.place[2], right, width)
    upper, lower = (
        torch.lerp(
            mask.index_select(0, first + y * width + left).float(),
            mask.index_select(0, first + y * width + right_of).float(),
            right_share,
        )
        for y in (above, below)
    )
    return (torch.lerp(upper, lower, low_share) >= 0.5).to(mask.dtype)


def _stand_between(place: Tensor, ratio: Tensor, size: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Between which two pixels of a coarser copy pixels stand along an axis, and what share of the way."""
    at = ((place + 0.5) * ratio - 0.5).clamp(min=0).minimum(size - 1)
    before = at.to(torch.int32)
    return before, (before + 1).minimum(size - 1), at - before
