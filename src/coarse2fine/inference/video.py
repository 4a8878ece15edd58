"""Predict the frames of a video file; memory does not grow with its length."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from fractions import Fraction
from pathlib import Path

import numpy as np

from coarse2fine.data.video_decoding import MAX_FRAME_MEGAPIXELS, decode_until_damage, import_av, read_frame_rate
from coarse2fine.data.videos import Video, estimate_frame_count
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.inference.files import FilePrediction, predict_frames
from coarse2fine.inference.result_files import (
    OVERLAY_MAX_SIDE_PX,
    PhotoResult,
    PredictOptions,
    draw_overlay,
    write_prediction,
)
from coarse2fine.inference.segmenter import Segmenter
from coarse2fine.masks.resize import shrink
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.files import write_atomically
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import Image, Skipped

CODEC, PIXELS = "libx264", "yuv420p"
"""Coding of the overlay video, which browsers and phones play."""

LOWEST_RATE, HIGHEST_RATE = Fraction(1, 1000), Fraction(1000)
"""Frames per second of the overlay video; a file may claim any rate, and some cannot be written."""


def predict_video(
    segmenter: Segmenter,
    video: Video,
    folder: Path,
    options: PredictOptions,
    context: Context,
    on_damaged: Callable[[Skipped], None],
) -> Iterator[PhotoResult]:
    """Predict the frames of a video file one after the other, and write the results into a folder.

    Writes ``masks/<video>/<number of the frame>.png``, the other files of :func:`write_prediction`, and the overlays as
    a video, ``overlays/<video>.mp4``, with the frame rate of the file, reduced to at most 1,600 px, without sound.

    Args:
        segmenter: The network.
        video: The video.
        folder: Folder for the results.
        options: Which files to write, and which frames to predict.
        context: Console for the progress bar, and threads.
        on_damaged: Called once if the file is damaged from some frame on.

    Yields:
        What was found in each frame.

    Raises:
        ConfigError: PyAV is not installed.
        DataError: No frame can be decoded.
    """

    def decode() -> Iterator[Image]:
        shape = None
        most = min(options.max_megapixels, MAX_FRAME_MEGAPIXELS)
        for frame in decode_until_damage(video.path, options.every, at_least=1, max_megapixels=most):
            if isinstance(frame, Skipped):
                on_damaged(frame)
                return
            shape = shape or frame.shape
            if frame.shape != shape:
                raise DataError(
                    f"{video.path}: all frames must have the same size, but after {shape[1]} x {shape[0]} px follow "
                    f"{frame.shape[1]} x {frame.shape[0]} px. Split the video there."
                )
            yield frame

    def write(prediction: FilePrediction) -> tuple[PhotoResult, Image | None]:
        frame = prediction.copy
        assert frame is not None  # predict_frames always returns the frame
        name = f"{video.name}/{prediction.index * options.every:06}"
        found = write_prediction(folder, name, prediction, lambda: frame, segmenter.classes, options)
        if not options.overlays:
            return found, None
        return found, draw_overlay(shrink(frame, OVERLAY_MAX_SIDE_PX), found.mask)

    total = estimate_frame_count(video, options.every)
    frames = predict_frames(segmenter, decode(), options.batch_size)
    rate = _limit_rate(read_frame_rate(video.path) / options.every)
    overlays = folder / "overlays" / f"{video.name}.mp4"
    with (
        _open_writer(overlays, rate) if options.overlays else nullcontext() as append,
        context.console.progress(total, f"predicting {video.path.name}", unit="frames") as advance,
    ):
        for found, picture in map_threads(write, frames, context.threads):
            if append and picture is not None:
                append(picture)
            advance(1)
            yield found


def _limit_rate(rate: Fraction) -> Fraction:
    """Return the nearest frame rate that can be written: between the limits, and with a small denominator."""
    return min(max(rate, LOWEST_RATE), HIGHEST_RATE).limit_denominator(10_000)


@contextmanager
def _open_writer(path: Path, rate: Fraction) -> Iterator[Callable[[Image], None]]:
    """Open a video file for writing; yield a function that appends a frame. All frames have the size of the first."""
    av = import_av()
    with write_atomically(path) as file, av.open(file, "w", format="mp4") as container:
        try:
            stream = container.add_stream(CODEC, rate=rate)
        except ValueError as error:
            raise ConfigError(
                f"The overlay video needs a PyAV with the encoder {CODEC}, but this one has none ({error}). Install "
                "PyAV from PyPI, or omit the overlays: --no-overlays."
            ) from error
        stream.pix_fmt, stream.options = PIXELS, {"crf": "20", "preset": "veryfast"}

        def append(picture: Image) -> None:
            height, width = (max(2, side // 2 * 2) for side in picture.shape[:2])  # colors have half the resolution
            if not stream.codec_context.is_open:
                stream.height, stream.width = height, width
            even = np.ascontiguousarray(picture[:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))

        yield append
        container.mux(stream.encode())
