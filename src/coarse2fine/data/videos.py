"""Find videos, and read the frames of a video repeatedly.

A video is a folder of frames or a video file.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from coarse2fine.data.class_folders import is_text, replace_bad_bytes, unique_names
from coarse2fine.data.photo_files import PHOTO_ENDINGS, find_photos, natural_key
from coarse2fine.data.photos import MIN_SIDE_PX, read_image, read_image_and_header, reason_of
from coarse2fine.data.video_decoding import decode, decode_until_damage, estimate_length
from coarse2fine.errors import DataError
from coarse2fine.masks.resize import shrink
from coarse2fine.runtime.device import count_cores
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import Image, Skipped

VIDEO_ENDINGS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".3gp", ".mts", ".ogv")
"""File name endings of videos, in lower case; compared without case when a folder is searched."""

MIN_FRAMES = 4
"""Fewest frames of a video: three principal components explain three frames completely, and nothing would be found."""

MAX_MEGAPIXELS = 200.0


@dataclass(frozen=True)
class Video:
    """A video, not yet opened.

    Attributes:
        name: Name that is valid as a path, and distinct among the videos found together.
        path: The folder or the file.
        files: The frames of a folder, in natural order; empty for a video file.
    """

    name: str
    path: Path
    files: tuple[Path, ...] = ()

    @property
    def is_file(self) -> bool:
        """Whether the frames are decoded from a video file."""
        return not self.files


@dataclass(frozen=True)
class VideoFrames:
    """The frames of one video at the working size; each iteration reads them again.

    Attributes:
        video: The video.
        names: Names of the frames, in order: the stem of the file, or the number in the video file (``000012``).
        height: Height of a frame in the file, in pixels.
        width: Width of a frame in the file, in pixels.
        skipped: Frames that cannot be used, with the reason.
        files: Files of the usable frames of a folder.
        in_memory: The frames at the working size, if they fit into the memory limit; None: each iteration decodes them
            again.
        max_side_px: Working size: longer side, in pixels.
        every: Every n-th frame is used.
        threads: Frames that are read at the same time.
    """

    video: Video
    names: tuple[str, ...]
    height: int
    width: int
    skipped: tuple[Skipped, ...]
    files: tuple[Path, ...]
    in_memory: tuple[Image, ...] | None
    max_side_px: int
    every: int
    threads: int

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Image]:
        """Yield the frames at the working size: RGB, shape (h, w, 3), upright.

        Raises:
            DataError: The files changed after the video was opened.
        """
        if self.in_memory is not None:
            return iter(self.in_memory)
        return map_threads(partial(shrink, max_side_px=self.max_side_px), self._read(), self.threads)

    def _read(self) -> Iterator[Image]:
        if self.files:
            read = partial(read_image, max_megapixels=MAX_MEGAPIXELS, at_least_px=self.max_side_px)
            yield from map_threads(read, self.files, self.threads)
            return
        number = 0
        for number, image in enumerate(islice(decode(self.video.path, self.every), len(self)), start=1):  # noqa: B007
            yield image
        if number < len(self):
            raise DataError(
                f"{self.video.path} had {len(self)} frames when it was opened, but now {number}; do not change a video "
                "while it is used."
            )


class _Frame(NamedTuple):
    """A frame of the first reading: ``size`` is height and width in the file, ``image`` has the working size."""

    name: str
    size: tuple[int, int]
    image: Image
    file: Path | None


def find_videos(paths: Sequence[Path | str], apart_from: Path | None = None) -> list[Video]:
    """Find videos, without opening them.

    Args:
        paths: Video files, with any ending; or folders, searched to any depth: each video file in them is a video, and
            each folder with photos is a video with the photos as frames.
        apart_from: A folder to ignore: the folder of the results.

    Returns:
        Each video once, in natural order of the names. The name is the path below the given folder, without the ending
        of a video file; or the name of the given file or folder of frames itself.

    Raises:
        DataError: A path does not exist, or contains no video; or two videos have the same name.
    """
    found = {video.path.resolve(): video for path in paths for video in _find_below(Path(path), apart_from)}
    if not found:
        raise DataError("At least one video, or a folder with videos, must be given.")
    videos = _keep_endings_apart(list(found.values()))
    by_name: dict[str, Video] = {}
    for video in videos:
        other = by_name.setdefault(video.name.casefold(), video)
        if other is not video:
            raise DataError(
                f"Two videos must not have the same name, but {other.path} and {video.path} do; pass a folder that "
                "contains both, or rename one."
            )
    return sorted(videos, key=lambda video: ([natural_key(part) for part in Path(video.name).parts], video.name))


def open_video(
    video: Video | Path | str,
    max_side_px: int = 480,
    every: int = 1,
    memory_mb: int = 512,
    threads: int | None = None,
) -> VideoFrames:
    """Read a video once to find the frames that can be used, and keep the frames in memory if they fit.

    Frames of a folder that cannot be read are skipped. A damaged video file ends at the damage.

    Args:
        video: The path of a video, or a result of :func:`find_videos`.
        max_side_px: Longer side of the working size, in pixels; larger frames are reduced.
        every: Use every n-th frame.
        memory_mb: Limit for frames in memory, in megabytes; the frames of a longer video are decoded again each time.
        threads: Frames that are read at the same time; None: one per core.

    Returns:
        The frames: iterate over the result to get RGB images, shape (h, w, 3).

    Raises:
        DataError: The video cannot be opened, has frames of several sizes, too small ones, or fewer than 4 usable ones.
        ConfigError: It is a video file, and PyAV is not installed.
    """
    if not isinstance(video, Video):
        video = _find_one(Path(video))
    threads = threads or count_cores()
    frames: list[_Frame] = []
    skipped: list[Skipped] = []
    held: list[Image] | None = []
    free_bytes = memory_mb * 10**6
    for frame in _read_first(video, max_side_px, every, threads):
        if isinstance(frame, Skipped):
            skipped.append(frame)
            continue
        _check_size(video, frame, frames)
        frames.append(frame._replace(image=_NOTHING))
        free_bytes -= frame.image.nbytes
        if held is not None and free_bytes >= 0:
            held.append(frame.image)
        else:
            held = None
    _check_number(video, len(frames), skipped)
    return VideoFrames(
        video=video,
        names=tuple(_name_frames(frames)),
        height=frames[0].size[0],
        width=frames[0].size[1],
        skipped=tuple(skipped),
        files=tuple(frame.file for frame in frames if frame.file),
        in_memory=None if held is None else tuple(held),
        max_side_px=max_side_px,
        every=every,
        threads=threads,
    )


def estimate_frame_count(video: Video, every: int = 1) -> int:
    """Return the number of frames of a video: exact for a folder; for a file from its header, or 1 if it is unknown."""
    total = len(video.files) or estimate_length(video.path)
    return max(1, -(-total // every))


_NOTHING = np.empty((0, 0, 3), np.uint8)


def _find_below(path: Path, apart_from: Path | None) -> Iterator[Video]:
    if path.is_file():
        if path.suffix.lower() in PHOTO_ENDINGS:
            raise DataError(f"{path} is a single photo; pass the folder with the frames of the video.")
        yield Video(path.stem, path)
        return
    if not path.is_dir():
        raise DataError(f"{path}: there is no such file or folder.")
    found = list(_search(path, apart_from.resolve() if apart_from else None))
    if not found:
        raise DataError(
            f"{path} contains neither folders of frames ({' '.join(PHOTO_ENDINGS)}) nor video files "
            f"({' '.join(VIDEO_ENDINGS)})."
        )
    yield from found


def _search(root: Path, results: Path | None) -> Iterator[Video]:
    folders: dict[Path, list[Path]] = defaultdict(list)
    for file in find_photos(root, PHOTO_ENDINGS + VIDEO_ENDINGS):
        if results and file.parent.resolve().is_relative_to(results):
            continue
        if file.suffix.lower() in VIDEO_ENDINGS:
            yield Video(file.relative_to(root).with_suffix("").as_posix(), file)
        else:
            folders[file.parent].append(file)
    for folder, files in folders.items():
        name = folder.relative_to(root).as_posix() if folder != root else root.resolve().name or "video"
        yield Video(name, folder, tuple(sorted(files, key=lambda file: (natural_key(file.name), file.name))))


def _keep_endings_apart(videos: Sequence[Video]) -> list[Video]:
    """Keep the endings of video files that share a name, such as ``clip.mp4``, ``clip.mov`` and a folder ``clip``."""
    uses = Counter(video.name.casefold() for video in videos)
    return [
        replace(video, name=video.name + video.path.suffix)
        if video.is_file and uses[video.name.casefold()] > 1
        else video
        for video in videos
    ]


def _find_one(path: Path) -> Video:
    videos = find_videos([path])
    if len(videos) > 1:
        raise DataError(f"{path} must be one video, but contains {len(videos)}; pass one, such as {videos[0].path}.")
    return videos[0]


def _read_first(video: Video, max_side_px: int, every: int, threads: int) -> Iterator[_Frame | Skipped]:
    if not is_text(str(video.path)):
        raise DataError(f"{replace_bad_bytes(video.path)}: its name is not UTF-8 text; rename it")
    if video.is_file:
        return _read_file_first(video.path, max_side_px, every, threads)
    read = partial(_read_photo_first, max_side_px=max_side_px)
    return map_threads(read, video.files[::every], threads)


def _read_photo_first(file: Path, max_side_px: int) -> _Frame | Skipped:
    if not is_text(file.name):
        return Skipped(replace_bad_bytes(file), "its name is not UTF-8 text; rename it")
    try:
        image, header = read_image_and_header(file, MAX_MEGAPIXELS, at_least_px=max_side_px)
        return _Frame(file.stem, header.size, shrink(image, max_side_px), file)
    except DataError as error:
        return Skipped(file, reason_of(error, file))


def _read_file_first(path: Path, max_side_px: int, every: int, threads: int) -> Iterator[_Frame | Skipped]:
    def prepare(numbered: tuple[int, Image | Skipped]) -> _Frame | Skipped:
        number, image = numbered
        if isinstance(image, Skipped):
            return image
        height, width = image.shape[:2]
        return _Frame(f"{number * every:06d}", (height, width), shrink(image, max_side_px), None)

    return map_threads(prepare, enumerate(decode_until_damage(path, every, MIN_FRAMES)), threads)


def _check_size(video: Video, frame: _Frame, before: Sequence[_Frame]) -> None:
    height, width = frame.size
    if min(frame.size) < MIN_SIDE_PX:
        raise DataError(
            f"{video.path}: its frames have {width} x {height} pixels, but at least {MIN_SIDE_PX} x {MIN_SIDE_PX} are "
            "needed"
        )
    if before and before[0].size != frame.size:
        first = before[0]
        raise DataError(
            f"{video.path}: all frames of a video must have one size, but {first.name} has {first.size[1]} x "
            f"{first.size[0]} and {frame.name} has {width} x {height} pixels; put each video into its own folder"
        )


def _check_number(video: Video, usable: int, skipped: Sequence[Skipped]) -> None:
    if usable < MIN_FRAMES:
        why = f" ({skipped[0].path.name}: {skipped[0].reason})" if skipped else ""
        raise DataError(f"{video.path}: {usable} usable frames{why}, a video needs at least {MIN_FRAMES}")


def _name_frames(frames: Sequence[_Frame]) -> list[str]:
    """Return distinct names: ``a.jpg`` and ``a.png`` in one folder keep their endings."""
    if frames[0].file is None:
        return [frame.name for frame in frames]
    return unique_names([frame.file.name for frame in frames if frame.file])
