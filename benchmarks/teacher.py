"""How good are the masks of the unsupervised teacher, and those that its selection keeps?

    python benchmarks/teacher.py --frames DIR --masks DIR

Both folders hold one subfolder per video. A ground truth mask is a PNG file (0 background, 255 ignored) with the name
of the frame. Ground truth is used to measure only. IoU is that of the foreground at soft > 0.5: the mean over the
frames of a video, then over videos (``iou_videos``), or over all frames (``iou_frames``). CorLoc is the share of
frames in which the box around all foreground of the mask (not of its largest component only) has IoU > 0.5 with the
box of the ground truth; frames with empty ground truth do not count. ``best_threshold`` is the single threshold that
is best over videos. It is chosen with the ground truth, so it is a bound, not a setting. Frames per second are
measured from frames in memory to masks, on all cores.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from common import keep

from coarse2fine.config import TeacherConfig
from coarse2fine.data.videos import VideoFrames, find_videos, open_video
from coarse2fine.distillation.selection import mean_nonzero, select_best
from coarse2fine.distillation.videopca import videopca
from coarse2fine.evaluation.metrics import binary_iou
from coarse2fine.masks.png import read_mask
from coarse2fine.masks.regions import Box, bounding_box
from coarse2fine.masks.resize import resize_soft
from coarse2fine.types import Mask, SoftMask

THRESHOLD = 0.5
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))


@dataclass(frozen=True)
class Frame:
    """One measured frame: score, IoU at each of `THRESHOLDS`, whether its box is right (None: no ground truth)."""

    score: float
    ious: dict[float, float]
    located: bool | None


def main() -> None:
    """Measure all videos; print a line for each, then one line of JSON."""
    options = read_options()
    config = TeacherConfig()
    videos: dict[str, list[Frame]] = {}
    seconds = 0.0
    for video in find_videos([options.frames]):
        footage = open_video(video, config.max_side_px, memory_mb=config.memory_mb)
        began = time.perf_counter()
        softs = list(videopca(footage))
        seconds += time.perf_counter() - began
        videos[video.name] = frames = measure(footage, softs, options.masks / video.name)
        print(f"{video.name:20} {len(frames):4} frames  IoU {mean_iou(frames):.3f}  CorLoc {corloc(frames):.3f}")
    everything = [frame for frames in videos.values() for frame in frames]
    result = {
        "videos": {name: describe(frames) for name, frames in videos.items()},
        "all": describe_many(list(videos.values())) | find_best_threshold(list(videos.values())),
        "kept_of_all": describe(keep_best(everything, config.keep_share)),
        "kept_of_each": describe_many([keep_best(frames, config.keep_share) for frames in videos.values()]),
        "settings": config.model_dump(),
        "frames_per_second": len(everything) / seconds,
    }
    for name in ("all", "kept_of_all", "kept_of_each"):
        print(f"{name:14}", *(f"{key} {value:.3f}" for key, value in result[name].items()), sep="  ")
    keep("teacher", result)


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=Path, required=True, help="folder with one subfolder of frames per video")
    parser.add_argument(
        "--masks", type=Path, required=True, help="folder with one subfolder of ground truth masks, .png, per video"
    )
    return parser.parse_args()


def measure(footage: VideoFrames, softs: Sequence[SoftMask], ground_truth: Path) -> list[Frame]:
    """Compare every soft mask with its ground truth at full size."""
    frames = []
    for name, soft in zip(footage.names, softs, strict=True):
        expected = read_mask(ground_truth / f"{name}.png")
        whole = resize_soft(soft, footage.height, footage.width)
        ious = {threshold: binary_iou((whole > threshold).astype(np.uint8), expected) for threshold in THRESHOLDS}
        frames.append(Frame(mean_nonzero(soft), ious, is_located((whole > THRESHOLD).astype(np.uint8), expected)))
    return frames


def is_located(mask: Mask, ground_truth: Mask) -> bool | None:
    """Return whether the boxes of both foregrounds have IoU > 0.5; None if the ground truth is empty."""
    found, expected = bounding_box(mask), bounding_box(ground_truth)
    if expected is None:
        return None
    return found is not None and box_iou(found, expected) > 0.5


def box_iou(one: Box, other: Box) -> float:
    """Compute the intersection over union of two boxes."""
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    common = max(0, height) * max(0, width)
    areas = sum((box.y1 - box.y0) * (box.x1 - box.x0) for box in (one, other))
    return common / (areas - common)


def keep_best(frames: Sequence[Frame], keep_share: float) -> list[Frame]:
    """Return the frames that the selection keeps."""
    kept = select_best([frame.score for frame in frames], keep_share)
    return [frame for frame, is_kept in zip(frames, kept, strict=True) if is_kept]


def mean_iou(frames: Sequence[Frame], threshold: float = THRESHOLD) -> float:
    """Compute the mean IoU over frames."""
    return statistics.fmean(frame.ious[threshold] for frame in frames)


def corloc(frames: Sequence[Frame]) -> float:
    """Compute the share of frames with the right box."""
    return statistics.fmean(frame.located for frame in frames if frame.located is not None)


def describe(frames: Sequence[Frame]) -> dict[str, Any]:
    """Return the figures over all given frames."""
    return {"frames": len(frames), "iou_frames": mean_iou(frames), "corloc_frames": corloc(frames)}


def describe_many(videos: Sequence[Sequence[Frame]]) -> dict[str, Any]:
    """Return the figures over all frames, and means over videos."""
    means = {
        "iou_videos": statistics.fmean(map(mean_iou, videos)),
        "corloc_videos": statistics.fmean(map(corloc, videos)),
    }
    return describe([frame for frames in videos for frame in frames]) | means


def find_best_threshold(videos: Sequence[Sequence[Frame]]) -> dict[str, float]:
    """Return the threshold with the highest mean IoU over videos, and that IoU."""
    ious = {threshold: statistics.fmean(mean_iou(frames, threshold) for frames in videos) for threshold in THRESHOLDS}
    best = max(ious, key=lambda threshold: ious[threshold])
    return {"best_threshold": best, "best_iou_videos": ious[best]}


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
