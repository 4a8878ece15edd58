"""The unsupervised teacher: soft masks of the moving objects in videos, and a selection of the best masks.

DIR/masks/<video>/<frame>.png     gray, 0 to 255: probability of the object
DIR/frames/<video>/<frame>.jpg    frames of video files; the frames in folders are not copied
DIR/selection.csv                 video, frame, score, kept
DIR/videos/<video>.json           written last: the video is done
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from PIL import Image as PillowImage

from coarse2fine.config import TeacherConfig
from coarse2fine.data.video_decoding import decode, import_av
from coarse2fine.data.videos import Video, VideoFrames, estimate_frame_count, find_videos, open_video
from coarse2fine.distillation.examples import SELECTION
from coarse2fine.distillation.selection import mean_nonzero, select_best
from coarse2fine.distillation.videopca import videopca
from coarse2fine.errors import DataError
from coarse2fine.masks.png import mask_path, write_soft
from coarse2fine.masks.resize import resize_soft
from coarse2fine.runtime.console import Advance, format_seconds
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.files import hash_of, read_json_or_empty, write_atomically, write_csv, write_json
from coarse2fine.runtime.threads import map_threads, single_threaded_opencv
from coarse2fine.store.lock import claim_folder
from coarse2fine.store.photos import hash_in, stamp_file
from coarse2fine.store.stages import measure_seconds
from coarse2fine.types import Image, SoftMask

JPEG_QUALITY = 95
READINGS = 10
"""How often the frames of a video are read, as a rule: five to seven times for the directions, and three times more."""


@dataclass(frozen=True)
class VideoMasks:
    """Record of the masks of one video.

    Attributes:
        video: The video.
        frames: Names of its frames.
        scores: Scores of their masks, 0 to 1.
    """

    video: Video
    frames: tuple[str, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True)
class SelectionRow:
    """One row of ``selection.csv``.

    Attributes:
        video: Name of the video.
        frame: ``<video>/<frame>``, the name of the mask and of the frame's image file.
        score: Mean of the mask's non-zero pixels, 0 to 1.
        kept: Whether the mask is selected for training.
    """

    video: str
    frame: str
    score: float
    kept: bool


def make_teacher_masks(
    paths: Sequence[Path | str], out: Path, config: TeacherConfig, context: Context
) -> list[SelectionRow]:
    """Write a soft mask for every frame of every video, and the selection of the best masks.

    A call on the same folder resumes with the videos that are not done. With another ``keep_share`` or ``collection``
    it only writes the selection again.

    Args:
        paths: Video files, folders of frames, and folders with any of them.
        out: Output folder.
        config: Settings.
        context: Processes and console.

    Returns:
        The rows of ``selection.csv``.

    Raises:
        DataError: No video can be used, or the folder holds masks made with other settings.
        ConfigError: There are video files, but PyAV is not installed.
    """
    videos = find_videos(paths, apart_from=out)
    if any(video.is_file for video in videos):
        import_av()
    claim_folder(out, {f"teacher.{name}": getattr(config, name) for name in ("max_side_px", "every")})
    with single_threaded_opencv(), measure_seconds() as seconds:
        masks = _make_masks(videos, out, config, context)
        rows = select_frames(masks, config)
        write_selection(out / SELECTION, rows)
        saved = _save_frames(masks, rows, out, config, context)
    _print_summary(rows, len(masks), out, saved, seconds[0], context)
    return rows


def select_frames(masks: Sequence[VideoMasks], config: TeacherConfig) -> list[SelectionRow]:
    """Select the best share of all frames or of each video's frames; rows are in the order of videos and frames."""
    if config.collection == "all":
        kept = select_best(list(chain.from_iterable(one.scores for one in masks)), config.keep_share)
    else:
        kept = list(chain.from_iterable(select_best(one.scores, config.keep_share) for one in masks))
    rows = [
        (one.video.name, f"{one.video.name}/{frame}", score)
        for one in masks
        for frame, score in zip(one.frames, one.scores, strict=True)
    ]
    return [SelectionRow(*row, kept=is_kept) for row, is_kept in zip(rows, kept, strict=True)]


def write_selection(path: Path, rows: Sequence[SelectionRow]) -> None:
    """Write a CSV table of video, frame, score (six decimals) and kept (0 or 1)."""
    values = [(one.video, one.frame, f"{one.score:.6f}", int(one.kept)) for one in rows]
    write_csv(path, ["video", "frame", "score", "kept"], values)


def _make_masks(videos: Sequence[Video], out: Path, config: TeacherConfig, context: Context) -> list[VideoMasks]:
    """Make the masks of all videos; print a warning with the reason for each video that cannot be used."""
    records = {video.name: _read_record(video, out) for video in videos}
    frames = {video.name: estimate_frame_count(video, config.every) for video in videos}
    done = sum(frames[name] for name, record in records.items() if record)
    masks: list[VideoMasks] = []
    reasons: list[str] = []
    if done:
        context.console.say(f"already done: {sum(map(bool, records.values()))} of {len(videos)} videos", style="dim")
    with context.console.progress(sum(frames.values()), "finding moving objects", done, "frames") as advance:
        for video in videos:
            record = records[video.name]
            if record is None:
                try:
                    footage = open_video(video, config.max_side_px, config.every, config.memory_mb, context.threads)
                except DataError as error:
                    reasons.append(str(error))
                    context.console.warn(f"skipped: {error}")
                    advance(frames[video.name])
                else:
                    counted = _CountedFrames(footage, advance, frames[video.name])
                    record = _make_video_masks(footage, out, counted, context)
            if record is not None:
                masks.append(record)
    if not masks:
        raise DataError(f"None of the {len(videos)} videos can be used; the first: {reasons[0].rstrip('.')}.")
    return masks


class _CountedFrames:
    """Frames that report progress while its frames are read, at most the estimated number of frames."""

    def __init__(self, footage: VideoFrames, advance: Advance, frames: int) -> None:
        self.footage, self.advance, self.frames = footage, advance, frames
        self.read = self.shown = 0

    def __iter__(self) -> Iterator[Image]:
        for image in self.footage:
            self.read += 1
            self._show(min(self.frames, self.read // READINGS))
            yield image

    def end(self) -> None:
        self._show(self.frames)

    def _show(self, frames: int) -> None:
        if frames > self.shown:
            self.advance(frames - self.shown)
            self.shown = frames


def _make_video_masks(footage: VideoFrames, out: Path, counted: _CountedFrames, context: Context) -> VideoMasks:
    """Write the masks of one video, then the record that it is done."""
    for item in footage.skipped:
        context.console.warn(f"skipped: {item.path}: {item.reason}")
    folder = out / "masks" / footage.video.name

    def write(named: tuple[str, SoftMask]) -> float:
        name, soft = named
        write_soft(mask_path(folder, name), resize_soft(soft, footage.height, footage.width))
        return mean_nonzero(soft)

    named = zip(footage.names, videopca(counted, context.threads), strict=True)
    scores = list(map_threads(write, named, context.threads))
    counted.end()
    stamps = [(file.name, stamp_file(file)) for file in _files_of(footage.video)]
    record = {"stamps": stamps, "frames": footage.names, "scores": scores}
    write_json(_record_path(footage.video, out), record)
    return VideoMasks(footage.video, footage.names, tuple(scores))


def _record_path(video: Video, out: Path) -> Path:
    return out / "videos" / f"{video.name}.json"


def _read_record(video: Video, out: Path) -> VideoMasks | None:
    """Return the record of an earlier call, if the files of the video are the same and all masks exist."""
    record = read_json_or_empty(_record_path(video, out))
    if not _is_unchanged(video, record):
        return None
    if not all(mask_path(out / "masks" / video.name, frame).exists() for frame in record["frames"]):
        return None
    return VideoMasks(video, tuple(record["frames"]), tuple(record["scores"]))


def _is_unchanged(video: Video, record: Mapping[str, Any]) -> bool:
    """Return whether the files of a video have the names and contents of its record; old records have sizes only."""
    files = _files_of(video)
    if "stamps" not in record:
        return bool(record.get("files") == hash_of([(file.name, file.stat().st_size) for file in files]))
    names, stamps = [name for name, _ in record["stamps"]], [stamp for _, stamp in record["stamps"]]
    return names == [file.name for file in files] and all(
        hash_in(stamp_file(file, stamp)) == hash_in(stamp) for file, stamp in zip(files, stamps, strict=True)
    )


def _files_of(video: Video) -> tuple[Path, ...]:
    return video.files or (video.path,)


def _save_frames(
    masks: Sequence[VideoMasks], rows: Sequence[SelectionRow], out: Path, config: TeacherConfig, context: Context
) -> int:
    """Write the configured frames of video files as images, if they do not exist yet; return how many exist now."""
    wanted = {one.frame for one in rows if one.kept or config.save_frames == "all"}
    of_files = [one for one in masks if one.video.is_file and config.save_frames != "none"]
    return sum(_save_video_frames(one, wanted, out / "frames", config, context) for one in of_files)


def _save_video_frames(
    masks: VideoMasks, wanted: set[str], folder: Path, config: TeacherConfig, context: Context
) -> int:
    video = masks.video
    paths = {name: folder / video.name / f"{name}.jpg" for name in masks.frames if f"{video.name}/{name}" in wanted}
    if all(path.exists() for path in paths.values()):
        return len(paths)
    context.console.say(f"saving {len(paths)} frames of {video.path}", style="dim")

    def save(named: tuple[str, Image]) -> None:
        name, image = named
        if name in paths and not paths[name].exists():
            with write_atomically(paths[name]) as file:
                PillowImage.fromarray(image).save(file, format="JPEG", quality=JPEG_QUALITY)

    for _ in map_threads(save, zip(masks.frames, decode(video.path, config.every), strict=False), context.threads):
        pass
    return len(paths)


def _print_summary(
    rows: Sequence[SelectionRow], videos: int, out: Path, saved: int, seconds: float, context: Context
) -> None:
    say, kept, empty = context.console.say, sum(one.kept for one in rows), sum(one.score == 0 for one in rows)
    counted = f"{videos} video{'s' * (videos != 1)}, {len(rows)} frames"
    nothing = f", {empty} of them without a moving object" if empty else ""
    say(f"{counted}{nothing}; {kept} kept; {format_seconds(seconds)}", style="bold")
    say(f"masks: {out / 'masks'}", style="green")
    say(f"selection: {out / SELECTION}", style="green")
    if saved:
        say(f"frames of video files: {out / 'frames'} ({saved})", style="green")
