"""``coarse2fine teacher``: videos become soft masks of what moves in them, without labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from coarse2fine.cli.parser import parse_settings
from coarse2fine.config import TeacherConfig


def run(arguments: Sequence[str]) -> None:
    """Parse, find what moves, tell."""
    parse_settings(teacher, arguments, "teacher")


def teacher(
    videos: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="VIDEOS...")],
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")],
    settings: Annotated[TeacherConfig, tyro.conf.arg(name="")] = TeacherConfig(),  # noqa: B008 - frozen
    quiet: bool = False,
) -> None:
    """Find what moves in videos, without any label, and select the masks that are worth learning from (VideoPCA).

    VIDEOS are video files, folders of frames, or folders with any of them in it: each folder that holds pictures is a
    video, in the order of their names. Video files need PyAV: pip install 'coarse2fine[video]'.

    Writes
      DIR/masks/VIDEO/FRAME.png    gray, 0 to 255: how likely each pixel is the object's
      DIR/frames/VIDEO/FRAME.jpg   frames of video files (--save-frames); those of folders stay where they are
      DIR/selection.csv            video, frame (VIDEO/FRAME), score, kept (1 or 0)

    The same command goes on with the videos that are not done. Another --keep-share or --collection is only another
    selection.csv. A video that cannot be used is named and left out.

    Like this:
      coarse2fine teacher videos --out taught
      coarse2fine teacher holiday.mp4 davis/frames --out taught --keep-share 0.2 --collection video

    Args:
        videos: Video files and folders.
        out: Where everything goes.
        settings: How masks are made and selected.
        quiet: Print only warnings and errors.
    """
    from coarse2fine.distillation.teacher import make_teacher_masks
    from coarse2fine.errors import ConfigError
    from coarse2fine.runtime.console import Console
    from coarse2fine.runtime.context import Context

    if not videos:
        raise ConfigError("teacher needs videos: files, folders of frames, or folders with any of them.")
    make_teacher_masks(videos, out, settings, Context(console=Console(quiet)))
