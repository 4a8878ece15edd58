"""The unsupervised teacher on videos: soft masks of what moves, and which of them are worth learning from.

DIR/masks/<video>/<frame>.png     gray, 0 to 255: how likely each pixel is the object's
DIR/frames/<video>/<frame>.jpg    frames of video files; those of folders stay where they are
DIR/selection.csv                 video, frame, score, kept
DIR/videos/<video>.json           written last: this video is done
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
from PIL import Image as PillowImage

from coarse2fine.config import TeacherConfig
from coarse2fine.data.video_decoding import decode, import_av
from coarse2fine.data.videos import Video, VideoFrames, estimate_frame_count, find_videos, open_video
from coarse2fine.distillation.selection import score_mask, select
from coarse2fine.distillation.videopca import videopca
from coarse2fine.errors import DataError
from coarse2fine.masks.png import mask_path, write_soft
from coarse2fine.masks.resize import resize_soft
from coarse2fine.runtime.console import Advance, format_seconds
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.files import hash_of, read_json, write_atomically, write_json
from coarse2fine.runtime.threads import map_threads
from coarse2fine.store.lock import claim_folder
from coarse2fine.store.stages import measure_seconds
from coarse2fine.types import Image, SoftMask

JPEG_QUALITY = 95
READINGS = 10  # of a video's frames, as a rule: five to seven for its directions, and three


@dataclass(frozen=True)
class Taught:
    """The masks of one video.

    Attributes:
        video: Which one.
        frames: Names of its frames.
        scores: Of their masks, 0 to 1.
    """

    video: Video
    frames: tuple[str, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True)
class Choice:
    """One row of the selection.

    Attributes:
        video: Name of the video.
        frame: ``<video>/<frame>``, as masks and pictures are called.
        score: Mean of the mask's non-zero pixels, 0 to 1.
        kept: Whether it is worth learning from.
    """

    video: str
    frame: str
    score: float
    kept: bool


def teach_folder(paths: Sequence[Path | str], out: Path, config: TeacherConfig, context: Context) -> list[Choice]:
    """Write a soft mask for every frame of every video, and which of them are kept.

    Args:
        paths: Video files, folders of frames, folders with any of them.
        out: Where everything goes; the same call goes on with the videos that are not done. Another share to keep is
            only another selection.
        config: How.
        context: Who works.

    Returns:
        The rows of ``selection.csv``.

    Raises:
        DataError: No video can be used, or the folder holds masks made with other settings.
        ConfigError: Video files are among them, and PyAV is not there.
    """
    videos = find_videos(paths, apart_from=out)
    if any(video.is_file for video in videos):
        import_av()
    claim_folder(out, {f"teacher.{name}": getattr(config, name) for name in ("max_side_px", "every")})
    cv2.setNumThreads(1)  # there is a thread for every core; OpenCV's own would only get in their way
    with measure_seconds() as seconds:
        taught = _teach_videos(videos, out, config, context)
        choices = select_frames(taught, config)
        write_selection(out / "selection.csv", choices)
        saved = _save_frames(taught, choices, out, config, context)
    _tell(choices, len(taught), out, saved, seconds[0], context)
    return choices


def select_frames(taught: Sequence[Taught], config: TeacherConfig) -> list[Choice]:
    """Keep the best share of all frames, or of each video's; rows in the order of the videos and their frames."""
    if config.collection == "all":
        kept = select(list(chain.from_iterable(one.scores for one in taught)), config.keep_share)
    else:
        kept = list(chain.from_iterable(select(one.scores, config.keep_share) for one in taught))
    rows = [
        (one.video.name, f"{one.video.name}/{frame}", score)
        for one in taught
        for frame, score in zip(one.frames, one.scores, strict=True)
    ]
    return [Choice(*row, kept=stays) for row, stays in zip(rows, kept, strict=True)]


def write_selection(path: Path, choices: Sequence[Choice]) -> None:
    """Write the table: video, frame, score (six decimals), kept (0 or 1)."""
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["video", "frame", "score", "kept"])
    rows.writerows([one.video, one.frame, f"{one.score:.6f}", int(one.kept)] for one in choices)
    with write_atomically(path) as file:
        file.write(text.getvalue().encode("utf-8"))


def _teach_videos(videos: Sequence[Video], out: Path, config: TeacherConfig, context: Context) -> list[Taught]:
    """All usable videos; the others are named with their reason."""
    before = {video.name: _read_record(video, out) for video in videos}
    frames = {video.name: estimate_frame_count(video, config.every) for video in videos}
    done = sum(frames[name] for name, record in before.items() if record)
    taught: list[Taught] = []
    reasons: list[str] = []
    if done:
        context.console.say(f"done before: {sum(map(bool, before.values()))} of {len(videos)} videos", style="dim")
    with context.console.progress(sum(frames.values()), "finding what moves", done, "frames") as advance:
        for video in videos:
            record = before[video.name]
            if record is None:
                try:
                    footage = open_video(video, config.max_side_px, config.every, config.memory_mb, context.threads)
                except DataError as error:
                    reasons.append(str(error))
                    context.console.warn(f"left out: {error}")
                    advance(frames[video.name])
                else:
                    record = _teach(footage, out, _Watched(footage, advance, frames[video.name]), context)
            if record is not None:
                taught.append(record)
    if not taught:
        raise DataError(f"None of the {len(videos)} videos can be used; the first: {reasons[0].rstrip('.')}.")
    return taught


class _Watched:
    """VideoFrames whose readings show as progress: never more than the estimated frames, and in the end just these."""

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


def _teach(footage: VideoFrames, out: Path, watched: _Watched, context: Context) -> Taught:
    """Write the masks of one video, and then that it is done."""
    for item in footage.skipped:
        context.console.warn(f"left out: {item.path}: {item.reason}")
    folder = out / "masks" / footage.video.name

    def write(named: tuple[str, SoftMask]) -> float:
        name, soft = named
        write_soft(mask_path(folder, name), resize_soft(soft, footage.height, footage.width))
        return score_mask(soft)

    named = zip(footage.names, videopca(watched, context.threads), strict=True)
    scores = list(map_threads(write, named, context.threads))
    watched.end()
    record = {"files": _describe(footage.video), "frames": footage.names, "scores": scores}
    write_json(_record_path(footage.video, out), record)
    return Taught(footage.video, footage.names, tuple(scores))


def _record_path(video: Video, out: Path) -> Path:
    return out / "videos" / f"{video.name}.json"


def _read_record(video: Video, out: Path) -> Taught | None:
    """What an earlier call made of just these files, if its masks are still there."""
    path = _record_path(video, out)
    record: dict[str, Any] = read_json(path) if path.exists() else {}
    if record.get("files") != _describe(video):
        return None
    if not all(mask_path(out / "masks" / video.name, frame).exists() for frame in record["frames"]):
        return None
    return Taught(video, tuple(record["frames"]), tuple(record["scores"]))


def _describe(video: Video) -> str:
    """Fingerprint of a video's files, by names and sizes in bytes."""
    return hash_of([(file.name, file.stat().st_size) for file in video.files or (video.path,)])


def _save_frames(
    taught: Sequence[Taught], choices: Sequence[Choice], out: Path, config: TeacherConfig, context: Context
) -> int:
    """Write wanted frames of video files as pictures, those that are not there yet; how many there are now."""
    wanted = {one.frame for one in choices if one.kept or config.save_frames == "all"}
    files = [one for one in taught if one.video.is_file and config.save_frames != "none"]
    return sum(_save_video(one, wanted, out / "frames", config, context) for one in files)


def _save_video(one: Taught, wanted: set[str], folder: Path, config: TeacherConfig, context: Context) -> int:
    paths = {name: folder / one.video.name / f"{name}.jpg" for name in one.frames}
    paths = {name: path for name, path in paths.items() if f"{one.video.name}/{name}" in wanted}
    if all(path.exists() for path in paths.values()):
        return len(paths)
    context.console.say(f"saving {len(paths)} frames of {one.video.path}", style="dim")

    def save(named: tuple[str, Image]) -> None:
        name, image = named
        if name in paths and not paths[name].exists():
            with write_atomically(paths[name]) as file:
                PillowImage.fromarray(image).save(file, format="JPEG", quality=JPEG_QUALITY)

    images = decode(one.video.path, config.every)
    for _ in map_threads(save, zip(one.frames, images, strict=False), context.threads):
        pass
    return len(paths)


def _tell(choices: Sequence[Choice], videos: int, out: Path, saved: int, seconds: float, context: Context) -> None:
    say, kept, empty = context.console.say, sum(one.kept for one in choices), sum(one.score == 0 for one in choices)
    counted = f"{videos} video{'s' * (videos != 1)}, {len(choices)} frames"
    nothing = f", {empty} of them with nothing that moves" if empty else ""
    say(f"{counted}{nothing}; {kept} kept; {format_seconds(seconds)}", style="bold")
    say(f"masks: {out / 'masks'}", style="green")
    say(f"which are kept: {out / 'selection.csv'}", style="green")
    if saved:
        say(f"frames of video files: {out / 'frames'} ({saved})", style="green")
