"""``coarse2fine export``: a finished run as other tools take it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from coarse2fine.cli.fit import take_option
from coarse2fine.cli.parser import parse_settings
from coarse2fine.config import MaskExportConfig
from coarse2fine.export import MASK_FORMATS

NETWORK_FORMATS = ("onnx", "torch-export")
FORMATS = "{" + ",".join((*MASK_FORMATS, *NETWORK_FORMATS)) + "}"
"""All formats, so that the help of one kind names those of the other."""


def run(arguments: Sequence[str]) -> None:
    """Parse, pick by format, call: masks and networks have different flags."""
    format, _ = take_option(arguments, "--format")
    parse_settings(export_network if format in NETWORK_FORMATS else export_masks, arguments, "export")


def export_masks(
    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")],
    format: Annotated[str, tyro.conf.arg(metavar=FORMATS)],
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")],
    photos: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PHOTOS...")] = (),
    settings: Annotated[MaskExportConfig, tyro.conf.arg(name="")] = MaskExportConfig(),  # noqa: B008 - frozen
    quiet: bool = False,
) -> None:
    """Write masks, and the photos they belong to, for another tool; or a network (export --format onnx --help).

    DIR appears when all of it is written. Class names and colors are kept; scores from RUN/quality.csv go along.

    Like this:
      coarse2fine export runs/pets --format coco --out pets-coco
      coarse2fine export runs/pets --format labelstudio --out pets-labels --min-quality 0.3
      coarse2fine export runs/pets --format yolo --out holiday --photos holiday/ more/*.jpg

    Args:
        run: A run folder of fit, whose training masks are exported; or a folder that predict wrote; with --photos also
            an exported network (.onnx).
        format: What the other tool reads.
        out: A new or empty folder.
        photos: Predict on these instead: files, folders, or glob patterns.
        settings: Which masks, and how.
        quiet: Print only warnings and errors.
    """
    from coarse2fine.export import export_masks as write_masks
    from coarse2fine.runtime.console import Console

    count = write_masks(run, out, format, settings, photos, quiet)
    Console(quiet).say(f"{count} photos: {out}", style="green")


def export_network(
    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")],
    format: Literal["onnx", "torch-export"],
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")],
    int8: bool = False,
    calibrate: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PHOTOS...")] = (),
    truth: Annotated[Path | None, tyro.conf.arg(metavar="TRUTH")] = None,
    quiet: bool = False,
) -> None:
    """Write the network of a run for use elsewhere: RGB photos of any number and size in, class probabilities out.

    Normalization and softmax are in the graph; class names, the size to bring photos to, scales and flip are in the
    metadata (docs/onnx.md). The file is compared with the run's network before it counts as written.

    Like this:
      coarse2fine export runs/pets --format onnx --out pets.onnx
      coarse2fine export runs/pets --format onnx --out small.onnx --int8 --truth val
      coarse2fine predict pets.onnx holiday/ --out masks

    Args:
        run: A run folder of fit, or the model folder in it.
        format: onnx (needs pip install 'coarse2fine[onnx]'), or torch-export, a .pt2 file for torch.export.load.
        out: The file to write.
        int8: For onnx: weights and activations of 8 bits, a third of the size.
        calibrate: For int8: photos to choose the scales of 8 bits by; default: the run's training photos.
        truth: For int8: photos and true masks (val/images and val/masks, or a public data set) to measure the loss by.
        quiet: Print only warnings and errors.
    """
    from coarse2fine.errors import ConfigError

    try:
        from coarse2fine.export.network_export import export_int8_network
        from coarse2fine.export.network_export import export_network as write_network
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"A network is exported by {error.name}, which is not installed; install all that coarse2fine needs."
        ) from error

    if int8 and format != "onnx":
        raise ConfigError(f"8 bits are for --format onnx only, found --format {format}; leave --int8 out.")
    if (calibrate or truth) and not int8:
        raise ConfigError("--calibrate and --truth belong to --int8; add it, or leave them out.")
    if int8:
        export_int8_network(run, out, calibrate, truth, quiet)
    else:
        write_network(run, out, format, quiet)
