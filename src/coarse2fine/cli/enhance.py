"""``coarse2fine enhance``: photos and rough masks become masks along image edges."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from coarse2fine.cli.parser import Json, Quiet, parse_and_call
from coarse2fine.config import EnhanceConfig
from coarse2fine.runtime.device import Device, computing_on


def run(arguments: Sequence[str]) -> None:
    """Parse the options and write the masks."""
    parse_and_call(enhance, arguments, "enhance")


def enhance(
    photos: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PHOTOS")],
    masks: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="MASKS")],
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")],
    settings: Annotated[EnhanceConfig, tyro.conf.arg(name="")] = EnhanceConfig(),  # noqa: B008 - frozen
    seed: int = 0,
    device: Device = "auto",
    threads: int | None = None,
    quiet: Quiet = False,
    json: Json = False,
) -> dict[str, Any]:
    """Align rough masks with the edges of their photos (stage 2 alone).

    Each class of a mask is enhanced on its own and keeps its index. With --start probabilities, MASKS holds soft masks:
    gray PNGs of the foreground probability (0 to 255); the masks that are written hold 0 and 1.

    Writes DIR/PHOTO.png, and DIR/notes.json with the masks that were left unchanged and the reasons. The same
    command resumes a stopped run.

    For example:
      coarse2fine enhance photos coarse --out sharp --method grabcut --start mask
      coarse2fine enhance photos soft --out sharp --method crf --start probabilities

    Args:
        photos: Folder of photos.
        masks: Folder of their rough masks (PNG), named like the photos.
        out: Folder for the enhanced masks.
        settings: Method and its settings.
        seed: Seed of OpenCV's GrabCut; the fast engine has no random numbers.
        device: Where networks are computed; auto: on the CUDA GPU if there is one.
        threads: CPU threads; default: one per core.
        quiet: Print only warnings and errors.
        json: Print the result as one JSON object; all other output goes to standard error.
    """
    from coarse2fine.pipeline.folders import enhance_folder
    from coarse2fine.runtime.console import Console
    from coarse2fine.runtime.context import Context
    from coarse2fine.runtime.threads import torch_threads

    with computing_on(device, threads), torch_threads(threads):
        enhance_folder(photos, masks, out, settings, seed, Context(console=Console(quiet)))
    return {"masks": str(out)}
