"""``coarse2fine student``: soft masks become a small network that finds foreground in any photo."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from coarse2fine.cli.parser import parse_settings
from coarse2fine.config import StudentConfig
from coarse2fine.errors import ConfigError


def run(arguments: Sequence[str]) -> None:
    """Parse, train, tell."""
    given = ["train", *arguments] if list(arguments[:1]) in (["-h"], ["--help"]) else list(arguments)
    if given[:1] != ["train"]:
        found = f"found '{given[0]}'" if given else "found nothing"
        raise ConfigError(f"coarse2fine student must be followed by train, {found}: coarse2fine student train --help.")
    parse_settings(train, given[1:], "student train")


def train(
    frames: Annotated[tyro.conf.UseAppendAction[tuple[Path, ...]], tyro.conf.arg(metavar="DIR")],
    masks: Annotated[tyro.conf.UseAppendAction[tuple[Path, ...]], tyro.conf.arg(metavar="DIR")],
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")],
    photos: Annotated[tyro.conf.UseAppendAction[tuple[Path, ...]], tyro.conf.arg(metavar="PHOTOS")] = (),
    settings: Annotated[StudentConfig, tyro.conf.arg(name="")] = StudentConfig(),  # noqa: B008 - frozen
    half: bool = False,
    quiet: bool = False,
) -> None:
    """Train a student: a small network that finds the foreground of any photo, without a label or a true mask.

    FILE holds the weights and all that rebuilds the network. Everything else goes to the folder FILE without its
    ending; the same command goes on where it was stopped.

    Like this:
      coarse2fine teacher videos --out taught
      coarse2fine student train --frames videos --masks taught/masks --out student.safetensors
      coarse2fine student train --frames videos --masks taught/masks --photos photos --generations.number 3 --out
        student.safetensors
      coarse2fine coarse photos --out masks --method student --student-weights student.safetensors

    Args:
        frames: The frames that the teacher saw; may be given again (of video files: the teacher's DIR/frames).
        masks: Their soft masks; frames that selection.csv (here or one folder up) does not keep are left out. Given as
            often as --frames: those of the first, the second, ...
        out: The student, a .safetensors file.
        photos: New photos, without labels, for generations after the first; may be given again.
        settings: Network, training, generations.
        half: Store numbers of 16 bits: half the size.
        quiet: Print only warnings and errors.
    """
    from coarse2fine.distillation.generations import train_student
    from coarse2fine.runtime.console import Console
    from coarse2fine.runtime.context import Context

    train_student(frames, masks, out, settings, photos, Context(console=Console(quiet)), half)
