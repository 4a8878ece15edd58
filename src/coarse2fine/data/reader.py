"""Read photo files in batches of one working shape, decoding ahead in a thread pool.

A network computes a batch of photos at once, and all photos of a batch must have one shape. The batches are planned
over all photos and only then shared among processes and skipped, so that the batch of a photo depends neither on the
number of processes nor on what an earlier run has done.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from coarse2fine.data.photos import Header, read_header, read_image_and_header, reason_of
from coarse2fine.errors import DataError
from coarse2fine.runtime.device import count_cores
from coarse2fine.runtime.processes import World
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import Image

PreparedPhoto = TypeVar("PreparedPhoto")
Outcome = TypeVar("Outcome")

MAX_AHEAD_BYTES = 10**9
"""Memory for the photos that wait for the network, at most. At 320 px a batch of 8 takes 2 MB, at 1600 px 60 MB."""


@dataclass(frozen=True)
class ReadOptions:
    """How photo files are read in batches.

    Attributes:
        batch_size: Photos per batch, at most.
        threads: Batches that are decoded at the same time; None: one per core.
        world: The processes of the run; each process reads its share of the batches.
        max_megapixels: Larger photos count as photos that cannot be read.
        on_skipped: Called with the index and the reason of each photo that cannot be read; None: the first such photo
            raises a DataError.
    """

    batch_size: int
    threads: int | None = None
    world: World = field(default_factory=World)
    max_megapixels: float = math.inf
    on_skipped: Callable[[int, str], None] | None = None


@dataclass
class PhotoFile:
    """A photo file while it is prepared for the network.

    Several consumers of a photo share one decoding. Only a large JPEG is decoded again, for a consumer that needs it at
    another reduction: the result for one consumer must not depend on the others.

    Attributes:
        path: The file.
        shape: Working shape of its batch: height and width.
        max_megapixels: Larger photos raise an error.
    """

    path: Path
    shape: tuple[int, int]
    max_megapixels: float = math.inf
    _header: Header | None = field(default=None, repr=False)
    _decoded: tuple[int, Image] | None = field(default=None, repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the upright photo, in pixels."""
        if self._header is None:
            self._header = read_header(self.path)
        return self._header.size

    def decode(self, at_least_px: int) -> Image:
        """Decode the photo; see :func:`~coarse2fine.data.photos.read_image`.

        Call it with ascending values: only the latest decoded image is kept.

        Raises:
            DataError: The photo cannot be read.
        """
        if self._header and self._decoded and self._decoded[0] == self._header.reduction(at_least_px):
            return self._decoded[1]
        self._decoded = None  # a whole photo may be huge
        image, self._header = read_image_and_header(self.path, self.max_megapixels, at_least_px)
        self._decoded = self._header.reduction(at_least_px), image
        return image


@dataclass(frozen=True)
class PhotoBatch(Generic[PreparedPhoto]):
    """Photos of one working shape, prepared for the network.

    Attributes:
        shape: Working shape: height and width.
        indices: Index of each photo in the list of files.
        photos: What the caller's function returned for each photo.
    """

    shape: tuple[int, int]
    indices: Sequence[int]
    photos: Sequence[PreparedPhoto]


def read_batches(
    paths: Sequence[Path],
    prepare: Callable[[PhotoFile], PreparedPhoto],
    options: ReadOptions,
    wanted: Callable[[int], bool] = lambda _index: True,
    working_shape: Callable[[tuple[int, int]], tuple[int, int]] | None = None,
    bytes_per_photo: int = 0,
) -> Iterator[PhotoBatch[PreparedPhoto]]:
    """Read photo files in batches, decoding ahead; memory does not grow with the number of photos.

    Args:
        paths: The photo files.
        prepare: Called in a thread with one photo; decodes it and returns only what the batch needs, such as the photo
            at its working size.
        options: Batch size, threads, processes and treatment of unreadable photos.
        wanted: Whether the photo with an index is needed; a batch without such a photo is not read, another one is read
            as a whole.
        working_shape: Returns the height and width at which the network sees a photo of a given height and width; it is
            called with the size in the header of every file. None: all photos get one shape, and no header is read.
        bytes_per_photo: Memory that the result of ``prepare`` takes, at most; limits how many batches are read ahead.

    Yields:
        Batches without the photos that cannot be read; no empty batches.

    Raises:
        DataError: A photo cannot be read, and ``options.on_skipped`` is None.
    """
    threads = options.threads or count_cores()

    def try_reading(read: Callable[[], Outcome], index: int) -> Outcome | None:
        try:
            return read()
        except DataError as error:
            if options.on_skipped is None:
                raise
            options.on_skipped(index, reason_of(error, paths[index]))
            return None

    def read_one_header(index: int) -> Header | None:
        return try_reading(partial(read_header, paths[index]), index)

    def load(indices: Sequence[int]) -> PhotoBatch[PreparedPhoto]:
        shape, loaded = shapes[indices[0]], {}
        for index in indices:
            file = PhotoFile(paths[index], shape, options.max_megapixels, headers.get(index))
            photo = try_reading(partial(prepare, file), index)
            if photo is not None:
                loaded[index] = photo
        return PhotoBatch(shape, list(loaded), list(loaded.values()))

    everyone = range(len(paths))
    headers: dict[int, Header] = {}
    if working_shape is None:
        shapes = dict.fromkeys(everyone, (0, 0))
    else:
        found = zip(everyone, map_threads(read_one_header, everyone, threads), strict=True)
        headers = {index: header for index, header in found if header}
        shapes = {index: working_shape(header.size) for index, header in headers.items()}
    plan = options.world.share(plan_batches(shapes, options.batch_size))
    needed = [indices for indices in plan if any(map(wanted, indices))]
    batches_in_memory = MAX_AHEAD_BYTES // max(1, bytes_per_photo * options.batch_size)
    for batch in map_threads(load, needed, threads, ahead=max(1, min(2 * threads, batches_in_memory))):
        if batch.indices:
            yield batch


def plan_batches(shapes: Mapping[int, tuple[int, int]], batch_size: int) -> list[list[int]]:
    """Group photos of one working shape into batches.

    Args:
        shapes: Working shape of every photo, by its index.
        batch_size: Photos per batch, at most.

    Returns:
        Batches of indices, each index once. The plan depends only on the arguments.
    """
    batches: list[list[int]] = []
    for index in sorted(shapes, key=lambda index: (shapes[index], index)):
        if batches and len(batches[-1]) < batch_size and shapes[batches[-1][0]] == shapes[index]:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches
