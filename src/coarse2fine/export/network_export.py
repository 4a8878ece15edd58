"""Write the network of a run as a file for other programs, check it, and measure what 8 bits cost."""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from coarse2fine.data import list_photos
from coarse2fine.data.photo_mask_pairs import Pairs
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.evaluation.evaluate import evaluate_network_pairs
from coarse2fine.evaluation.pairing import open_pairs
from coarse2fine.export.hub import check_license
from coarse2fine.export.int8_quantization import quantize
from coarse2fine.export.onnx_export import check_onnx_installed, export_onnx
from coarse2fine.export.torch_export import export_torch
from coarse2fine.inference.onnx_segmenter import OnnxSegmenter
from coarse2fine.inference.torch_segmenter import TorchSegmenter
from coarse2fine.report.model_card import UNKNOWN_LICENSE, make_model_card
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.device import count_cores
from coarse2fine.runtime.files import write_text
from coarse2fine.store.photos import find_unchanged, read_record
from coarse2fine.store.run import Run

NetworkFormat = Literal["onnx", "torch-export"]


def export_network(
    run: Path | str,
    out: Path | str,
    format: NetworkFormat = "onnx",
    quiet: bool = True,
    license: str = UNKNOWN_LICENSE,
) -> float:
    """Write the network of a run in float32, and its model card beside it: ``pets.onnx.md`` for ``pets.onnx``.

    Args:
        run: A run folder, or the ``model`` folder in it.
        out: The file to write. It appears when its output has been compared with the run's network.
        format: ``onnx``, or ``torch-export`` for a ``.pt2`` file.
        quiet: Print only warnings.
        license: License of the weights for the card, such as ``cc-by-4.0``.

    Returns:
        The largest difference of a class probability between the file and the network, on drawn images.

    Raises:
        ConfigError: A package is missing, or the architecture cannot be exported.
        DataError: The run is not finished, or ``out`` cannot be written.
    """
    check_license(license)
    out, write = Path(out), {"onnx": export_onnx, "torch-export": export_torch}[format]
    console = Console(quiet)
    segmenter, card = TorchSegmenter.load(run, "cpu"), make_model_card(Path(run), license, file=out.name)
    difference = write(segmenter, out, console.say)
    write_text(_card_of(out), card)
    console.say(
        f"network: {out} ({_format_size(out)}); probabilities differ by at most {difference:.1e}", style="green"
    )
    return difference


def export_int8_network(
    run: Path | str,
    out: Path | str,
    calibration_photos: Sequence[Path | str] = (),
    ground_truth: Path | str | None = None,
    quiet: bool = True,
    license: str = UNKNOWN_LICENSE,
) -> dict[str, float]:
    """Write the network of a run as ONNX with 8-bit weights and activations, and its card; measure what that costs.

    Args:
        run: A run folder, or the ``model`` folder in it.
        out: The file to write.
        calibration_photos: Files, folders or patterns of photos that the scales are computed from. Default: the
            training photos of the run.
        ground_truth: A folder with ``images`` and ``masks``, or a public data set (docs/datasets.md), to evaluate the
            float32 and the 8-bit network on.
        quiet: Print only warnings.
        license: License of the weights for the card, such as ``cc-by-4.0``.

    Returns:
        The mIoU of the networks ``float32`` and ``int8`` on the ground truth. Without ground truth it is empty.

    Raises:
        ConfigError: A package is missing, the architecture cannot be exported, or the training photos have moved.
        DataError: The run is not finished, photos or masks cannot be read, or ``out`` cannot be written.
    """
    check_onnx_installed()
    check_license(license)
    run, out, console = Path(run), Path(out), Console(quiet)
    pairs = None if ground_truth is None else open_pairs(Path(ground_truth))
    if ground_truth is not None and pairs is None:
        raise DataError(
            f"The ground truth must be a folder with 'images' and 'masks' in it, or a public data set, but "
            f"{ground_truth} is neither."
        )
    photos = list_photos(calibration_photos) if calibration_photos else _find_training_photos(run)
    with tempfile.TemporaryDirectory() as folder:
        float32 = Path(folder) / "float32.onnx"
        export_onnx(TorchSegmenter.load(run, "cpu"), float32, console.say)
        console.say("export: quantizing")
        quantize(float32, out, photos)
        console.say(f"network: {out} ({_format_size(out)}; in float32 {_format_size(float32)})", style="green")
        write_text(_card_of(out), make_model_card(run, license, file=out.name))
        if pairs is None:
            console.say("the mIoU of both networks was not measured: give --ground-truth, or use coarse2fine evaluate")
            return {}
        files = {"float32": float32, "int8": out}
        measured = {name: _measure_mean_iou(name, path, pairs, console) for name, path in files.items()}
        figures = {f"mIoU of the {name} network on other ground truth": value for name, value in measured.items()}
        write_text(_card_of(out), make_model_card(run, license, file=out.name, other_figures=figures))
        return measured


def _card_of(file: Path) -> Path:
    return file.with_name(f"{file.name}.md")


def _measure_mean_iou(name: str, path: Path, pairs: Pairs, console: Console) -> float:
    track = partial(console.track, title=f"measuring {name}")
    result = evaluate_network_pairs(OnnxSegmenter.load(path), pairs, count_cores(), track)
    console.say(f"{name}: mIoU {result.mean_iou:.4f} on {result.photos} photos")
    return result.mean_iou


def _find_training_photos(run: Path) -> list[Path]:
    root = run.parent if (run / "model.toml").exists() else run
    try:
        photos = find_unchanged(Run(root), read_record(Run(root))).photos
    except DataError:
        photos = ()
    if not photos:
        raise ConfigError(
            f"The scales of an 8-bit network are computed from photos, but the training photos of {root} are not where "
            "they were. Give other photos: --calibrate PHOTOS."
        )
    return [photo.path for photo in photos]


def _format_size(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB"
