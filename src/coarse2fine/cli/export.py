"""``coarse2fine export``: masks for other tools."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from coarse2fine.cli.settings import parse_settings
from coarse2fine.config import MaskExportConfig


def run(arguments: Sequence[str]) -> None:
    """Parse, export, tell."""
    parse_settings(export, arguments, "export")


def export(
    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")],
    format: Literal["voc", "coco", "coco-panoptic", "yolo", "labelstudio", "cvat", "huggingface"],
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")],
    photos: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PHOTOS...")] = (),
    settings: Annotated[MaskExportConfig, tyro.conf.arg(name="")] = MaskExportConfig(),  # noqa: B008 - frozen
    quiet: bool = False,
) -> None:
    """Write masks, and the photos they belong to, for another tool.

    DIR appears when all of it is written. Class names and colours are kept; scores from RUN/quality.csv go along.

    Like this:
      coarse2fine export runs/pets --format coco --out pets-coco
      coarse2fine export runs/pets --format labelstudio --out pets-labels --min-quality 0.3
      coarse2fine export runs/pets --format yolo --out holiday --photos holiday/ more/*.jpg

    Args:
        run: A run folder of fit, whose training masks are exported; or a folder that predict wrote.
        format: What the other tool reads.
        out: A new or empty folder.
        photos: Predict on these instead: files, folders, or glob patterns.
        settings: Which masks, and how.
        quiet: Print only warnings and errors.
    """
    from coarse2fine.console import Console
    from coarse2fine.export import export_masks

    console = Console(quiet)
    count = export_masks(run, out, format, settings, photos, console)
    console.say(f"{count} photos: {out}", style="green")
