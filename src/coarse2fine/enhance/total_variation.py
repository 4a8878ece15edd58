"""The cheapest cuts of many graphs of pixels at once, with tensor operations only: for GPUs.

A cut's energy, unary . u + sum of weight |u_p - u_q| over neighbours, is least at some u of zeros and ones even where
all between them is allowed. There it is convex: a primal-dual method goes down in it, every pixel and every edge at
once, and the dual energy tells how far it still is from the least one.

Source: Chan, Esedoglu, Nikolova, "Algorithms for finding global minimizers of image segmentation and denoising models"
(SIAM J. Appl. Math. 2006) for the relaxation; Pock, Chambolle, "Diagonal preconditioning for first order primal-dual
algorithms" (ICCV 2011), alpha = 1, for the steps; Lu, Yang, "Restarted Halpern PDHG for linear programming" (2024) for
reflecting each of them and pulling it back to where they began, here without restarts.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

EDGES = 4
"""Of a pixel, to its neighbours on the right and below; with those from the left and above it has eight."""

MOST_STEPS = 1000
STEPS_BETWEEN_CHECKS = 20

TOLERATED = 0.002
"""A cut is good enough when its energy, counted from that of every pixel on its cheaper side, is at most this share
above the least possible.

Measured on 53 VOC photos from boxes, masks and scores: 145 steps from nothing, 60 after the colour models have moved,
60 in a band; masks agree with those of exact cuts by a mean IoU of 0.996, 0.999 and 0.999. With 0.0005 a third more
steps and the same agreement: what is left are photos with two masks of nearly the same energy.
"""

_EARLIER_STEPS = 8  # the pull to the beginning is that of a later step: it is strong only in the first few
_UNITS = 64.0  # sums over a photo are of whole numbers: the same in every order
_LEAST_DEGREE = 1e-2
_MIDDLE = 0.5  # where pixels begin: from the last mask they are slow to leave their sides


class Graphs(NamedTuple):
    """Pixels of many photos, photo by photo, and edges between those of the same one.

    The last pixel is none: it belongs to no photo, and stands for every neighbour that is missing.

    Attributes:
        after: Pixel at the far end of each edge that starts at a pixel, shape (`EDGES`, N + 1), int32.
        before: Pixel from which such an edge comes, shape (`EDGES`, N + 1), int32.
        weight: Of the edge that starts at a pixel, from 0, and 0 where it ends nowhere, shape (`EDGES`, N + 1).
        photo: Number of each pixel's photo, ascending, shape (N,), int64.
        photos: How many there are; some may have no pixels.
    """

    after: Tensor
    before: Tensor
    weight: Tensor
    photo: Tensor
    photos: int


def cut_cheaply(graphs: Graphs, unary: Tensor, duals: Tensor, wanted: Tensor) -> Tensor:
    """Cut every wanted photo's graph at most `TOLERATED` above the least energy, where `MOST_STEPS` reach it.

    A photo's cut does not depend on the other photos.

    Args:
        graphs: Pixels and edges.
        unary: What each pixel costs as foreground more than as background, shape (N + 1,), float32; the last is 0.
        duals: Where the edges begin, zeros at first, shape (`EDGES`, N + 1), float32. Of wanted photos they are
            changed: give them again when ``unary`` has changed a little, and the cut takes fewer steps.
        wanted: Which photos to cut, shape (P,), bool.

    Returns:
        True for foreground, shape (N,); False all over photos that are not wanted.
    """
    labels = torch.zeros_like(unary, dtype=torch.bool)
    values = torch.full_like(unary, _MIDDLE)
    began = duals.clone()
    least = unary.new_full((graphs.photos,), 2**62, dtype=torch.int64)
    bound = -least
    for step in range(0, MOST_STEPS, STEPS_BETWEEN_CHECKS):
        alive = pad(wanted[graphs.photo], (0, 1), value=False)
        kept = pad(alive.nonzero().squeeze(1), (0, 1), value=len(graphs.photo))
        if len(kept) == 1:
            break
        part, number = _keep(graphs, alive, kept)
        now, edges = values[kept], duals.index_select(1, kept)
        _descend(part, unary[kept], now, edges, began.index_select(1, kept), step)
        cut = now > _MIDDLE
        energy, below = _measure(part, unary[kept], cut, _step_edges(part, now, edges))
        better = wanted & (energy < least)
        least, bound = torch.where(better, energy, least), torch.where(wanted, bound.maximum(below), bound)
        wanted = wanted & (least - bound > TOLERATED * least + 0.5 * _UNITS)
        values = torch.where(alive, now.index_select(0, number), values)
        improved = pad(better[graphs.photo], (0, 1), value=False)
        labels = torch.where(improved, cut.index_select(0, number), labels)
        duals.copy_(torch.where(alive, edges.index_select(1, number), duals))
    duals.copy_(_step_edges(graphs, values, duals))
    return labels[:-1]


def sum_per_photo(numbers: Tensor, photo: Tensor, photos: int) -> Tensor:
    """Add up whole numbers of pixels by photo, exactly.

    Args:
        numbers: Shape (N,), bool or of integers.
        photo: Number of each pixel's photo, ascending, shape (N,), int64.
        photos: How many photos there are.

    Returns:
        Shape (``photos``,), int64; 0 for photos without pixels.
    """
    sums = pad(numbers.cumsum(0, dtype=torch.int64), (1, 0))
    ends = torch.searchsorted(photo, torch.arange(photos + 1, device=photo.device))
    return sums[ends].diff()


def _keep(graphs: Graphs, alive: Tensor, kept: Tensor) -> tuple[Graphs, Tensor]:
    """Only some of the photos: all of their pixels, in the old order, and the new number of each old pixel."""
    number = torch.where(alive, alive.cumsum(0, dtype=torch.int32) - 1, len(kept) - 1)
    after, before = (_look_up(number, ends.index_select(1, kept)) for ends in (graphs.after, graphs.before))
    weight, photo = graphs.weight.index_select(1, kept), graphs.photo[kept[:-1]]
    return Graphs(after, before, weight, photo, graphs.photos), number


def _look_up(values: Tensor, indices: Tensor) -> Tensor:
    return values.index_select(0, indices.reshape(-1)).view_as(indices)


def _edges_before(graphs: Graphs) -> Tensor:
    """Where the edges that end at a pixel stand in a flat (`EDGES`, N + 1), shape (`EDGES`, N + 1), int32."""
    first = torch.arange(EDGES, dtype=torch.int32, device=graphs.before.device) * graphs.before.shape[1]
    return graphs.before + first[:, None]


def _descend(graphs: Graphs, unary: Tensor, values: Tensor, duals: Tensor, began: Tensor, step: int) -> None:
    """Take `STEPS_BETWEEN_CHECKS` steps after the first ``step``; ``values`` and ``duals`` are changed.

    Edges step by 1 / 2, pixels by 1 / degree; duals are in shares of the weights. Each step reads and writes about 115
    numbers per pixel, eight of them indices.
    """
    after, before = graphs.after.reshape(-1), _edges_before(graphs).reshape(-1)
    degree = (graphs.weight + _look_up(graphs.weight.reshape(-1), before).view_as(duals)).sum(0)
    pace = 1 / degree.clamp(min=_LEAST_DEGREE)
    moved, coming, slope = torch.empty_like(duals), torch.empty_like(duals), torch.empty_like(values)
    for number in range(step, step + STEPS_BETWEEN_CHECKS):
        pull = 1 / (2 + number + _EARLIER_STEPS)
        torch.index_select(values, 0, after, out=moved.view(-1))
        torch.add(duals, moved.sub_(values), alpha=0.5, out=moved).clamp_(-1, 1)
        torch.mul(duals.lerp_(moved, 2), graphs.weight, out=moved)
        torch.index_select(moved.view(-1), 0, before, out=coming.view(-1))
        torch.sum(coming.sub_(moved), 0, out=slope)
        torch.addcmul(values, pace, slope.add_(unary), value=-1, out=slope).clamp_(0, 1)
        values.lerp_(slope, 2).mul_(1 - pull).add_(pull * _MIDDLE)
        duals.lerp_(began, pull)


def _step_edges(graphs: Graphs, values: Tensor, duals: Tensor) -> Tensor:
    return (duals + 0.5 * (_look_up(values, graphs.after) - values)).clamp_(-1, 1)


def _measure(graphs: Graphs, unary: Tensor, cut: Tensor, duals: Tensor) -> tuple[Tensor, Tensor]:
    """Energy of each photo's cut, and what no cut goes below, shapes (P,), int64, in `_UNITS`; cheaper sides cost 0."""
    marks, free = cut.float(), unary.clamp(max=0)
    lengths = (_look_up(marks, graphs.after) - marks).abs_().mul_(graphs.weight).sum(0)
    flows = duals * graphs.weight
    left = unary + (_look_up(flows.view(-1), _edges_before(graphs)) - flows).sum(0)
    terms = unary * marks - free + lengths, left.clamp(max=0) - free
    energy, bound = (
        sum_per_photo((term[:-1] * _UNITS).round().to(torch.int64), graphs.photo, graphs.photos) for term in terms
    )
    return energy, bound
