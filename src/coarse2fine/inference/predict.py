"""Write masks, overlays and a table of the classes for any photos and videos, in constant memory."""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from coarse2fine.data.class_folders import hash_text, names_below_common_folder, unique_names
from coarse2fine.data.photos import read_image
from coarse2fine.data.reader import ReadOptions
from coarse2fine.data.remote_photos import collect_photos, is_remote
from coarse2fine.data.video_decoding import import_av
from coarse2fine.data.videos import VIDEO_ENDINGS, Video, find_videos
from coarse2fine.errors import DataError
from coarse2fine.inference.files import FilePrediction, predict_files
from coarse2fine.inference.result_files import (
    OVERLAY_MAX_SIDE_PX,
    PhotoResult,
    PredictOptions,
    open_object_table,
    write_overlay,
    write_prediction,
)
from coarse2fine.inference.segmenter import Segmenter
from coarse2fine.inference.video import predict_video
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.files import size_and_time, write_csv, write_json
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import Skipped


@dataclass(frozen=True)
class PredictInputs:
    """Photos and videos to predict.

    Attributes:
        photos: Photo files.
        names: Their names below the folder that they have in common.
        videos: Video files; their results do not mix with those of the photos.
        ignored: An entry for all files that are no photos by their endings, if there are any.
    """

    photos: tuple[Path, ...]
    names: tuple[str, ...]
    videos: tuple[Video, ...]
    ignored: tuple[Skipped, ...]


def collect_inputs(photos: Path | str | Sequence[Path | str], out: Path) -> PredictInputs:
    """List what is to be predicted, before a network is loaded, which takes seconds.

    Args:
        photos: As for :func:`predict_photos`.
        out: Folder for the results; its photos are not listed.

    Raises:
        ConfigError: There are video files, and PyAV is not installed.
        DataError: There are no photos, or one cannot be received; or two videos have the same name.
    """
    given = [photos] if isinstance(photos, Path | str) else [*photos]
    ignored: list[Skipped] = []
    video_files = [one for one in given if _is_video_file(one)]
    others = [one for one in given if not _is_video_file(one)]
    paths, names = [], []
    if others or not video_files:
        paths = collect_photos(others, out, lambda text: ignored.append(Skipped(Path(others[0]), text)))
        names = names_below_common_folder(paths, others)
    videos = find_videos(video_files) if video_files else []
    if videos:
        import_av()
        folders = {parent.as_posix().casefold() for name in names for parent in PurePosixPath(name).parents}
        videos = [_rename_video(one, {other.name for other in videos if other is not one}, folders) for one in videos]
    return PredictInputs(tuple(paths), tuple(names), tuple(videos), tuple(ignored))


def _rename_video(video: Video, others: Set[str], folders: Set[str]) -> Video:
    """Rename a video of whose name no folder can be made, or whose results would mix with those of photos.

    Args:
        video: The video. Its masks are in the folder ``<name>``, its overlay is ``<name>.mp4``.
        others: Names of the other videos.
        folders: Folders of the results of photos, in lower case.
    """
    file = video.path.name
    for wanted in (video.name, file, f"{file}-{hash_text(str(video.path))}"):
        (name,) = unique_names([f"{wanted}.mp4"])
        if name not in others and folders.isdisjoint([name.casefold(), f"{name}.mp4".casefold()]):
            break
    return replace(video, name=name)


def _is_video_file(path: Path | str) -> bool:
    return not is_remote(path) and Path(path).suffix.lower() in VIDEO_ENDINGS and Path(path).is_file()


def predict_photos(
    segmenter: Segmenter,
    photos: Path | str | Sequence[Path | str],
    out: Path | str,
    options: PredictOptions = PredictOptions(),  # noqa: B008 - frozen
    context: Context | None = None,
) -> list[Skipped]:
    """Predict photos from files and write the results into a folder.

    Writes ``masks/<photo>.png`` (class indices at the size of the photo), ``overlays/<photo>.jpg``, ``found.csv`` (the
    classes and their share of each photo), ``classes.json`` (class names), ``photos.json`` (paths of the photos) and
    ``origin.json`` (this folder, and size and time of each photo, by which an export recognizes the photos). With
    ``options.probabilities`` also ``probabilities/<photo>.npz``, with the array ``probabilities``: class probabilities
    at the working size, before any CRF, float16, shape (C, h, w). With ``options.cutouts`` also
    ``cutouts/<photo>.png`` (:func:`cut_out`). With ``options.instances`` also ``objects.csv``: class, score, box, area
    and polygon of each connected object (:func:`list_objects`). ``<photo>`` is the path of a photo below the folder
    that all photos have in common. Of a video, each frame is a photo ``<video>/<number>``, and the overlays are a
    video, ``overlays/<video>.mp4`` (:func:`predict_video`); its frames are not in ``photos.json``.

    Args:
        segmenter: The network, from :meth:`Segmenter.load`.
        photos: One or several files, folders, glob patterns or web addresses; ``-`` is standard input. Photos from
            there are kept in ``out / received``. Video files are named one by one.
        out: Folder for the results.
        options: Which files to write, and how to read the photos.
        context: Console for the progress bar, and threads; None: one thread per core, and nothing is printed.

    Returns:
        Photos that could not be read, with the reason; one entry for all files that are no photos by their endings.

    Raises:
        ConfigError: There are video files, and PyAV is not installed.
        DataError: There are no photos, or none can be read; or a video cannot be decoded.
    """
    inputs = collect_inputs(photos, Path(out))
    skipped = predict_inputs(segmenter, inputs, Path(out), options, context or Context())
    return sorted([*inputs.ignored, *skipped], key=lambda item: str(item.path))


def predict_inputs(
    segmenter: Segmenter, inputs: PredictInputs, folder: Path, options: PredictOptions, context: Context
) -> list[Skipped]:
    """Predict what :func:`collect_inputs` found, as :func:`predict_photos` does; return what could not be read."""
    paths, names = inputs.photos, inputs.names
    unread: list[Skipped] = []

    def write(prediction: FilePrediction) -> PhotoResult:
        path, name = paths[prediction.index], names[prediction.index]
        read = partial(read_image, path, options.max_megapixels)
        found = write_prediction(folder, name, prediction, read, segmenter.classes, options)
        if prediction.copy is not None:
            write_overlay(folder / "overlays" / f"{name}.jpg", prediction.copy, found.mask)
        return found

    def predict() -> Iterator[PhotoResult]:
        if paths:
            reading = ReadOptions(
                batch_size=options.batch_size,
                threads=context.threads,
                max_megapixels=options.max_megapixels,
                on_skipped=lambda index, reason: unread.append(Skipped(paths[index], reason)),
            )
            copy_px = OVERLAY_MAX_SIDE_PX if options.overlays else None
            predictions = predict_files(segmenter, paths, reading, copy_px=copy_px)
            written = map_threads(write, predictions, context.threads)
            yield from context.console.track(written, len(paths), "predicting")
        for video in inputs.videos:
            yield from predict_video(segmenter, video, folder, options, context, unread.append)

    with open_object_table(folder if options.instances else None) as add_objects:
        rows = (row for found in predict() for row in (add_objects(found.objects) or found.rows))
        write_csv(folder / "found.csv", ["photo", "class", "share_of_pixels"], rows)
    write_json(folder / "photos.json", {name: str(path.absolute()) for name, path in zip(names, paths, strict=True)})
    stamps = {name: size_and_time(path) for name, path in zip(names, paths, strict=True)}
    write_json(folder / "origin.json", {"folder": str(folder.absolute()), "photos": stamps})
    write_json(folder / "classes.json", list(segmenter.classes))
    if len(unread) == len(paths) and not inputs.videos:
        raise DataError(
            f"None of the {len(paths)} photos can be read; the first: {unread[0].path}: {unread[0].reason}."
        )
    return sorted(unread, key=lambda item: str(item.path))
