"""Apply a network to photo files or frames: decode ahead, predict in batches, and apply the CRF if it is on."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

from coarse2fine.data.reader import PhotoFile, ReadOptions, read_batches
from coarse2fine.inference.segmenter import BATCH_SIZE, Segmenter, decide_classes, working_shape
from coarse2fine.masks.resize import fit_size, resize, shrink
from coarse2fine.types import Image, Mask, Probabilities


@dataclass(frozen=True)
class FilePrediction:
    """Prediction of a network for one photo file, or for one frame of a video.

    Attributes:
        index: Index of the photo in the list of files, or of the frame in the video.
        size: Height and width of the upright photo, in pixels.
        probabilities: Class probabilities at the working size, before any CRF, shape (C, h, w).
        copy: The photo, reduced to ``copy_px``, RGB; None if no copy was requested.
        foreground_first: Setting of the network; see :func:`~coarse2fine.inference.segmenter.decide_classes`.
    """

    index: int
    size: tuple[int, int]
    probabilities: Probabilities
    copy: Image | None
    foreground_first: bool
    _compute_crf: Callable[[], Probabilities] = field(repr=False)

    def probabilities_after_crf(self) -> Probabilities:
        """Return the class probabilities after the CRF; without a CRF these are ``probabilities``.

        On the CPU this computes the CRF, in the calling thread.
        """
        return self._compute_crf()

    def mask(self, size: Sequence[int] | None = None) -> Mask:
        """Compute the class of every pixel after the CRF.

        Args:
            size: Starts with height and width of the mask; default: the size of the photo.
        """
        height, width = (size or self.size)[:2]
        return decide_classes(self.probabilities_after_crf(), height, width, self.foreground_first)


@dataclass(frozen=True)
class _Prepared:
    """One photo as the network, the CRF and the caller need it."""

    size: tuple[int, int]
    inputs: list[Image]
    for_crf: Image | None
    copy: Image | None


def predict_files(
    segmenter: Segmenter,
    paths: Sequence[Path],
    options: ReadOptions = ReadOptions(BATCH_SIZE),  # noqa: B008 - frozen
    wanted: Callable[[int], bool] = lambda _index: True,
    copy_px: int | None = None,
) -> Iterator[FilePrediction]:
    """Apply a network to photo files, decoding ahead; memory does not grow with the number of photos.

    Each file is opened once for its size, to plan the batches, and once per JPEG reduction that it needs.

    Args:
        segmenter: The network.
        paths: The photo files.
        options: Batch size, threads, processes and treatment of unreadable photos.
        wanted: Whether the photo with an index is needed; see :func:`~coarse2fine.data.reader.read_batches`.
        copy_px: Also return each photo, reduced so that its longer side is at most this; None: no copy.

    Yields:
        One prediction per photo that can be read, batch by batch.

    Raises:
        DataError: A photo cannot be read, and ``options.on_skipped`` is None.
    """
    crf_px = segmenter.crf.max_side_px if segmenter.crf.on else None

    def prepare(file: PhotoFile) -> _Prepared:
        needs = {segmenter.max_input_px, crf_px or 0, copy_px or 0} - {0}
        inputs, for_crf, copy = [], None, None
        for needed_px in sorted(needs):  # ascending, see PhotoFile.decode
            image = file.decode(needed_px)
            if needed_px == segmenter.max_input_px:
                inputs = segmenter.network_inputs(image, file.shape)
            if needed_px == crf_px:
                for_crf = shrink(image, crf_px)
            if needed_px == copy_px:
                copy = resize(image, *fit_size(file.size, copy_px))
        return _Prepared(file.size, inputs, for_crf, copy)

    sides = [round(segmenter.size_px * scale) for scale in segmenter.scales] + [crf_px or 0, copy_px or 0]
    shape_of = partial(working_shape, size_px=segmenter.size_px)
    batches = read_batches(
        paths, prepare, options, wanted, shape_of, bytes_per_photo=3 * sum(side**2 for side in sides)
    )
    for batch in batches:
        inputs = [photo.inputs for photo in batch.photos]
        probabilities = segmenter.probabilities_at_working_size(inputs, batch.shape)
        crfs = _plan_crf(segmenter, probabilities, [photo.for_crf for photo in batch.photos])
        for index, photo, before, compute_crf in zip(batch.indices, batch.photos, probabilities, crfs, strict=True):
            yield FilePrediction(index, photo.size, before, photo.copy, segmenter.foreground_first, compute_crf)


def predict_frames(
    segmenter: Segmenter, frames: Iterable[Image], batch_size: int = BATCH_SIZE
) -> Iterator[FilePrediction]:
    """Apply a network to the frames of a video, in batches; memory does not grow with the number of frames.

    Args:
        segmenter: The network.
        frames: RGB, shape (H, W, 3), all of the same size.
        batch_size: Frames that the network computes at once.

    Yields:
        One prediction per frame, in order; ``copy`` is the frame itself.
    """
    source = enumerate(frames)
    while batch := list(islice(source, batch_size)):
        size = batch[0][1].shape[:2]
        shape = working_shape(size, segmenter.size_px)
        inputs = [segmenter.network_inputs(frame, shape) for _, frame in batch]
        probabilities = segmenter.probabilities_at_working_size(inputs, shape)
        for_crf = [shrink(frame, segmenter.crf.max_side_px) if segmenter.crf.on else None for _, frame in batch]
        crfs = _plan_crf(segmenter, probabilities, for_crf)
        for (index, frame), before, compute_crf in zip(batch, probabilities, crfs, strict=True):
            yield FilePrediction(index, (size[0], size[1]), before, frame, segmenter.foreground_first, compute_crf)


def _plan_crf(
    segmenter: Segmenter, probabilities: Sequence[Probabilities], images: Sequence[Image | None]
) -> list[Callable[[], Probabilities]]:
    """Return a function per photo that returns the probabilities after the CRF.

    On a GPU they are computed here, in batches; otherwise when the function is called.
    """
    if not segmenter.crf.on:
        return [partial(_same, before) for before in probabilities]
    pairs = [(before, image) for before, image in zip(probabilities, images, strict=True) if image is not None]
    if segmenter.crf_in_batches:
        return [partial(_same, after) for after in segmenter.apply_crf(pairs)]
    return [partial(_apply_crf_to_one, segmenter, pair) for pair in pairs]


def _apply_crf_to_one(segmenter: Segmenter, pair: tuple[Probabilities, Image]) -> Probabilities:
    return segmenter.apply_crf([pair])[0]


def _same(probabilities: Probabilities) -> Probabilities:
    return probabilities
