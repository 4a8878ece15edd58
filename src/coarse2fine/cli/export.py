"""``coarse2fine export``: masks or a network in the formats of other tools."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from coarse2fine.cli.parser import Json, Quiet, parse_ahead, parse_and_call
from coarse2fine.config import MaskExportConfig
from coarse2fine.config.export import MASK_FORMAT_NAMES

NETWORK_FORMATS = ("onnx", "torch-export", "pretrained")
FORMATS = "{" + ",".join((*MASK_FORMAT_NAMES, *NETWORK_FORMATS)) + "}"
"""All formats, so that the help of one kind names those of the other."""


def run(arguments: Sequence[str]) -> None:
    """Parse the options and export; masks and networks have different options, so the format is parsed first."""
    format = parse_ahead(read_format, arguments, "export")
    parse_and_call(export_network if format in NETWORK_FORMATS else export_masks, arguments, "export")


def read_format(format: str = "") -> str:
    """Return the value of the option --format."""
    return format


def export_masks(
    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")],
    format: Annotated[str, tyro.conf.arg(metavar=FORMATS)],
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")],
    photos: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PHOTOS...")] = (),
    settings: Annotated[MaskExportConfig, tyro.conf.arg(name="")] = MaskExportConfig(),  # noqa: B008 - frozen
    quiet: Quiet = False,
    json: Json = False,
) -> dict[str, Any]:
    """Export masks and their photos for another tool; or a network: see coarse2fine export --format onnx --help.

    DIR appears when all of it is written. It has class names, colors, and the quality scores of RUN/quality.csv.

    For example:
      coarse2fine export runs/pets --format coco --out pets-coco
      coarse2fine export runs/pets --format labelstudio --out pets-labels --min-quality 0.3
      coarse2fine export runs/pets --format yolo --out holiday --photos holiday/ more/*.jpg

    Args:
        run: Run folder of fit, whose training masks are exported; or a folder written by predict; with --photos also an
            exported network (.onnx).
        format: File format of the other tool.
        out: New or empty folder.
        photos: Photos to segment and export instead: files, folders, or glob patterns. For a folder written by predict:
            where its photos are, if they were moved or come from another machine.
        settings: Which masks to export, and how.
        quiet: Print only warnings and errors.
        json: Print the result as one JSON object; all other output goes to standard error.
    """
    from coarse2fine.export import export_masks as write_masks
    from coarse2fine.runtime.console import Console

    count = write_masks(run, out, format, settings, photos, quiet)
    Console(quiet).say(f"{count} photos: {out}", style="green")
    return {"out": str(out), "format": format, "photos": count}


def export_network(
    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")],
    format: Literal["onnx", "torch-export", "pretrained"],
    out: Annotated[Path, tyro.conf.arg(metavar="FILE|DIR")],
    license: Annotated[str, tyro.conf.arg(metavar="ID")] = "unknown",
    int8: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    calibrate: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PHOTOS...")] = (),
    ground_truth: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> dict[str, Any]:
    """Export the network of a run: a batch of RGB photos of any size in, class probabilities out.

    Normalization and softmax are part of the graph; class names, the size for photos, scales and flip are in the
    metadata (docs/onnx.md). The exported network is compared with that of the run before FILE is written. FILE.md is
    its model card: classes, data, figures, limits.

    For example:
      coarse2fine export runs/pets --format onnx --out pets.onnx
      coarse2fine export runs/pets --format onnx --out small.onnx --int8 --ground-truth val
      coarse2fine predict pets.onnx holiday/ --out masks
      coarse2fine export runs/pets --format pretrained --out pets-hub --license cc-by-4.0

    Args:
        run: Run folder of fit, or its folder model.
        format: onnx (needs the extra onnx: coarse2fine doctor), or torch-export, a .pt2 file for torch.export.load;
            or pretrained, a folder of weights and model card for coarse2fine push.
        out: File to write; for pretrained: new or empty folder.
        license: License of the weights for the model card, such as cc-by-4.0.
        int8: For onnx: quantize weights and activations to 8 bits, a third of the size.
        calibrate: For --int8: photos for choosing the ranges of the activations; default: the run's training photos.
        ground_truth: For --int8: photos and masks (val/images and val/masks, or a public data set) for measuring how
            much quality the quantization costs.
        quiet: Print only warnings and errors.
        json: Print the result as one JSON object; all other output goes to standard error.
    """
    from coarse2fine.errors import ConfigError

    try:
        from coarse2fine.export.network_export import export_int8_network
        from coarse2fine.export.network_export import export_network as write_network
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"export needs {error.name}, which is not installed; install coarse2fine with its dependencies."
        ) from error

    if int8 and format != "onnx":
        raise ConfigError(f"--int8 needs --format onnx; found --format {format}.")
    if (calibrate or ground_truth) and not int8:
        raise ConfigError("--calibrate and --ground-truth need --int8; add it, or leave them out.")
    if format == "pretrained":
        from coarse2fine.export.hub import save_pretrained

        save_pretrained(run, out, license, quiet)
        return {"folder": str(out), "format": format, "bytes": sum(file.stat().st_size for file in out.iterdir())}
    if int8:
        found: dict[str, Any] = {"mean_iou": export_int8_network(run, out, calibrate, ground_truth, quiet, license)}
    else:
        found = {"largest_difference": write_network(run, out, format, quiet, license)}
    return {"file": str(out), "format": format, "bytes": out.stat().st_size} | found
