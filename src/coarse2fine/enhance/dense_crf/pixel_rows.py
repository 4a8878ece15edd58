"""Pixels of several photos in one row, photo by photo: tensors for photos of any sizes, without padding."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor


def place_pixels(shapes: Sequence[tuple[int, int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Say where each pixel of a row lies.

    Args:
        shapes: Height and width of each of P photos.
        device: Where the tensors are; the number of operations there does not grow with that of the photos.

    Returns:
        Photo, y and x of N pixels, shape (3, N), and first pixel, height and width of the photos, shape (3, P); int32.
    """
    sides = torch.tensor(shapes).T
    counts = sides.prod(0)
    sizes = torch.cat([(counts.cumsum(0) - counts)[None], sides]).to(device, torch.int32)
    numbers = torch.arange(len(shapes), dtype=torch.int32, device=device)
    photo = numbers.repeat_interleave(counts.to(device), output_size=int(counts.sum()))
    first, _, width = sizes.index_select(1, photo)
    inside = torch.arange(len(photo), dtype=torch.int32, device=device) - first
    y = inside // width
    return torch.stack([photo, y, inside - y * width]), sizes


def group_photos(
    numbers: Iterable[int], count_pixels: Callable[[list[int]], int], most_pixels: float
) -> Iterator[list[int]]:
    """Group photos that are worked on together.

    Args:
        numbers: Of the photos, in the order in which they go.
        count_pixels: That a group takes.
        most_pixels: No group takes more, unless it is a single photo.
    """
    group: list[int] = []
    for number in numbers:
        if group and count_pixels([*group, number]) > most_pixels:
            yield group
            group = []
        group.append(number)
    if group:
        yield group
