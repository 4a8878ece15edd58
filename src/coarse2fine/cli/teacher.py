"""``coarse2fine teacher``: videos become soft masks of moving objects, without labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from coarse2fine.cli.parser import Json, Quiet, parse_and_call
from coarse2fine.config import TeacherConfig
from coarse2fine.runtime.device import computing_on


def run(arguments: Sequence[str]) -> None:
    """Parse the options and write the soft masks."""
    parse_and_call(teacher, arguments, "teacher")


def teacher(
    videos: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="VIDEOS...")],
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")],
    settings: Annotated[TeacherConfig, tyro.conf.arg(name="")] = TeacherConfig(),  # noqa: B008 - frozen
    threads: int | None = None,
    quiet: Quiet = False,
    json: Json = False,
) -> dict[str, Any]:
    """Find moving objects in videos without labels (VideoPCA), and select the best masks for training a student.

    VIDEOS are video files, folders of frames, or folders that contain them. Each folder of pictures is one video, in
    the order of the file names. Video files need the extra video (coarse2fine doctor).

    Writes
      DIR/masks/VIDEO/FRAME.png    soft masks: gray, 0 to 255, the foreground probability
      DIR/frames/VIDEO/FRAME.jpg   frames of video files (--save-frames)
      DIR/selection.csv            video, frame (VIDEO/FRAME), score, kept (1 or 0)

    The same command resumes with the videos that are not finished. Another --keep-share or --collection only writes
    another selection.csv. Videos that cannot be read are skipped, with a warning.

    For example:
      coarse2fine teacher videos --out teacher
      coarse2fine teacher holiday.mp4 davis/frames --out teacher --keep-share 0.2 --collection video

    Args:
        videos: Video files and folders.
        out: Folder for the results.
        settings: How masks are made and selected.
        threads: CPU threads; default: one per core.
        quiet: Print only warnings and errors.
        json: Print the result as one JSON object; all other output goes to standard error.
    """
    from coarse2fine.distillation.teacher import make_teacher_masks
    from coarse2fine.errors import ConfigError
    from coarse2fine.runtime.console import Console
    from coarse2fine.runtime.context import Context

    if not videos:
        raise ConfigError("teacher needs videos: files, folders of frames, or folders that contain them.")
    with computing_on(threads=threads):
        make_teacher_masks(videos, out, settings, Context(console=Console(quiet)))
    return {"out": str(out), "selection": str(out / "selection.csv")}
