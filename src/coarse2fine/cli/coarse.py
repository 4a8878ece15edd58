"""``coarse2fine coarse``: photos become foreground masks, without labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from coarse2fine.cli.parser import Json, Quiet, parse_and_call
from coarse2fine.config import CoarseConfig
from coarse2fine.runtime.device import Device, computing_on


def run(arguments: Sequence[str]) -> None:
    """Parse the options and write the masks."""
    parse_and_call(coarse, arguments, "coarse")


def coarse(
    photos: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PHOTOS...")],
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")],
    settings: Annotated[CoarseConfig, tyro.conf.arg(name="")] = CoarseConfig(method="student"),  # noqa: B008 - frozen
    soft_masks: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    device: Device = "auto",
    threads: int | None = None,
    quiet: Quiet = False,
    json: Json = False,
) -> dict[str, Any]:
    """Find the foreground of photos without labels (stage 1 alone).

    Writes DIR/PHOTO.png, 1 = foreground. The same command resumes a stopped run.

    For example:
      coarse2fine coarse photos --out coarse --method saliency
      coarse2fine coarse photos --out coarse --student.weights student.safetensors --soft-masks soft

    Args:
        photos: Photo files, folders, or glob patterns.
        out: Folder for the masks.
        settings: Method and its settings.
        soft_masks: Folder for the soft masks, gray PNGs of the foreground probability, which enhance --start
            probabilities can read.
        device: Where networks are computed; auto: on the CUDA GPU if there is one.
        threads: CPU threads; default: one per core.
        quiet: Print only warnings and errors.
        json: Print the result as one JSON object; all other output goes to standard error.
    """
    from coarse2fine.pipeline.folders import coarse_folder
    from coarse2fine.runtime.console import Console
    from coarse2fine.runtime.context import Context
    from coarse2fine.runtime.threads import torch_threads

    with computing_on(device, threads), torch_threads(threads):
        coarse_folder(photos, out, settings, Context(console=Console(quiet)), soft_masks)
    return {"masks": str(out)} | ({"soft_masks": str(soft_masks)} if soft_masks else {})
