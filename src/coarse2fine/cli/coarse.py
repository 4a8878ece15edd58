"""``coarse2fine coarse``: photos become foreground masks, without labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from coarse2fine.cli.parser import parse_settings
from coarse2fine.config import CoarseConfig


def run(arguments: Sequence[str]) -> None:
    """Parse, make masks, tell."""
    parse_settings(coarse, arguments, "coarse")


def coarse(
    photos: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PHOTOS...")],
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")],
    settings: Annotated[CoarseConfig, tyro.conf.arg(name="")] = CoarseConfig(),  # noqa: B008 - frozen
    scores: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    quiet: bool = False,
) -> None:
    """Find the foreground of photos without any label (stage 1 alone).

    Writes DIR/PHOTO.png, 1 = foreground. The same command goes on where it was stopped.

    Like this:
      coarse2fine coarse photos --out coarse --method saliency
      coarse2fine coarse photos --out coarse --method student --student-weights student.safetensors --scores soft

    Args:
        photos: Photo files, folders, or glob patterns.
        out: Where the masks go.
        settings: How the foreground is found.
        scores: Where the soft masks go, too (gray PNGs): start from them with enhance photos DIR --start scores.
        quiet: Print only warnings and errors.
    """
    from coarse2fine.pipeline.folders import coarse_folder
    from coarse2fine.runtime.console import Console
    from coarse2fine.runtime.context import Context

    coarse_folder(photos, out, settings, Context(console=Console(quiet)), scores)
