"""``coarse2fine enhance``: photos and rough masks become sharp masks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from coarse2fine.cli.parser import parse_settings
from coarse2fine.config import EnhanceConfig


def run(arguments: Sequence[str]) -> None:
    """Parse, enhance, tell."""
    parse_settings(enhance, arguments, "enhance")


def enhance(
    photos: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PHOTOS")],
    masks: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="MASKS")],
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")],
    settings: Annotated[EnhanceConfig, tyro.conf.arg(name="")] = EnhanceConfig(),  # noqa: B008 - frozen
    seed: int = 0,
    quiet: bool = False,
) -> None:
    """Snap rough masks to the edges of their photos (stage 2 alone).

    Every class in a mask is enhanced on its own and keeps its index. With --start scores, MASKS holds gray PNGs that
    say how likely each pixel is the object's (0 to 255), and the masks are 0 and 1. A CRF starts from them as well; any
    other start has it take each mask for as likely as --mask-certainty says.

    Writes DIR/PHOTO.png, and notes.json with the masks that were kept as they were, and why. The same command goes on
    where it was stopped.

    Like this:
      coarse2fine enhance photos coarse --out sharp --method grabcut --start mask
      coarse2fine enhance photos scores --out sharp --method crf --start scores

    Args:
        photos: Folder of photos.
        masks: Folder of their rough masks, of the same names (PNG).
        out: Where the enhanced masks go.
        settings: How masks are enhanced.
        seed: OpenCV's color models begin at random; the same seed gives the same masks. The fast engine needs none.
        quiet: Print only warnings and errors.
    """
    from coarse2fine.pipeline.folders import enhance_folder
    from coarse2fine.runtime.console import Console
    from coarse2fine.runtime.context import Context

    enhance_folder(photos, masks, out, settings, seed, Context(console=Console(quiet)))
