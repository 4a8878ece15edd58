"""``coarse2fine student``: soft masks become a small network that finds the foreground of any photo."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from coarse2fine.cli.parser import Json, Quiet, parse_and_call
from coarse2fine.config import StudentConfig
from coarse2fine.errors import ConfigError
from coarse2fine.runtime.device import Device, computing_on


def run(arguments: Sequence[str]) -> None:
    """Parse the options and train a student."""
    given = ["train", *arguments] if list(arguments[:1]) in (["-h"], ["--help"]) else list(arguments)
    if given[:1] != ["train"]:
        found = f"found '{given[0]}'" if given else "found nothing"
        raise ConfigError(f"coarse2fine student must be followed by train; {found}: coarse2fine student train --help.")
    parse_and_call(train, given[1:], "student train")


def train(
    frames: Annotated[tyro.conf.UseAppendAction[tuple[Path, ...]], tyro.conf.arg(metavar="DIR")],
    masks: Annotated[tyro.conf.UseAppendAction[tuple[Path, ...]], tyro.conf.arg(metavar="DIR")],
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")],
    photos: Annotated[tyro.conf.UseAppendAction[tuple[Path, ...]], tyro.conf.arg(metavar="PHOTOS")] = (),
    settings: Annotated[StudentConfig, tyro.conf.arg(name="")] = StudentConfig(),  # noqa: B008 - frozen
    half: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    device: Device = "auto",
    threads: int | None = None,
    quiet: Quiet = False,
    json: Json = False,
) -> dict[str, Any]:
    """Train a student, a small network that finds the foreground of any photo, without labels or ground truth.

    FILE holds the weights and the settings of the network. Everything else is written to a folder with the name of FILE
    without its ending; the same command resumes a stopped run.

    For example:
      coarse2fine teacher videos --out teacher
      coarse2fine student train --frames videos --masks teacher/masks --out student.safetensors
      coarse2fine student train --frames videos --masks teacher/masks --photos photos --generations.number 3 --out
        student.safetensors
      coarse2fine coarse photos --out masks --method student --student.weights student.safetensors

    Args:
        frames: Folder of the frames that the teacher segmented (of video files: DIR/frames of the teacher); repeatable.
        masks: Folder of their soft masks, one for each --frames, in the same order; frames that selection.csv (in the
            folder or its parent) does not keep are left out.
        out: File of the student, .safetensors.
        photos: New photos, without labels, for generations after the first; repeatable.
        settings: Network, training and generations.
        half: Store 16-bit numbers, which halves the size of FILE.
        device: Where networks are computed; auto: on the CUDA GPU if there is one.
        threads: CPU threads; default: one per core.
        quiet: Print only warnings and errors.
        json: Print the result as one JSON object; all other output goes to standard error.
    """
    from coarse2fine.distillation.generations import train_student
    from coarse2fine.runtime.console import Console
    from coarse2fine.runtime.context import Context
    from coarse2fine.runtime.threads import torch_threads

    with computing_on(device, threads), torch_threads(threads):
        train_student(frames, masks, out, settings, photos, Context(console=Console(quiet)), half)
    return {"student": str(out)}
