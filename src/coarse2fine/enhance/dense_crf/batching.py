"""Batches of photos of any size: the pixels of all photos concatenated, without padding."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor


def locate_pixels(shapes: Sequence[tuple[int, int]], device: torch.device) -> Tensor:
    """Compute the photo index and the coordinates of each pixel of several concatenated photos.

    The number of tensor operations does not grow with the number of photos.

    Args:
        shapes: Height and width of each photo.
        device: Device of the result.

    Returns:
        Photo index, y and x of each of the N pixels, photo by photo in raster order, shape (3, N), int32.
    """
    sides = torch.tensor(shapes).T
    counts = sides.prod(0)
    sizes = torch.cat([(counts.cumsum(0) - counts)[None], sides]).to(device, torch.int32)
    numbers = torch.arange(len(shapes), dtype=torch.int32, device=device)
    photo = numbers.repeat_interleave(counts.to(device), output_size=int(counts.sum()))
    first, _, width = sizes.index_select(1, photo)
    index_in_photo = torch.arange(len(photo), dtype=torch.int32, device=device) - first
    y = index_in_photo // width
    return torch.stack([photo, y, index_in_photo - y * width])


def group_photos(
    indices: Iterable[int], count_pixels: Callable[[list[int]], int], max_pixels: float
) -> Iterator[list[int]]:
    """Split photos into batches of at most ``max_pixels`` pixels, in the given order.

    Args:
        indices: Indices of the photos.
        count_pixels: Returns the number of pixels of a batch.
        max_pixels: Upper limit of the pixels of a batch; a single photo may have more.

    Yields:
        The indices of one batch.
    """
    group: list[int] = []
    for index in indices:
        if group and count_pixels([*group, index]) > max_pixels:
            yield group
            group = []
        group.append(index)
    if group:
        yield group
