"""A run's network as a file for elsewhere: written, checked, measured."""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from coarse2fine.data import list_photos
from coarse2fine.data.public_sets import open_pairs
from coarse2fine.errors import ConfigError
from coarse2fine.evaluation.evaluate import evaluate_pairs
from coarse2fine.evaluation.ground_truth import pair_folders
from coarse2fine.export.graph import export_torch
from coarse2fine.export.int8 import quantize
from coarse2fine.export.onnx import export_onnx, need_onnx
from coarse2fine.inference.onnx_segmenter import OnnxSegmenter
from coarse2fine.inference.torch_segmenter import TorchSegmenter
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.device import count_cores
from coarse2fine.runtime.files import read_json
from coarse2fine.store.run import Run

NetworkFormat = Literal["onnx", "torch-export"]


def deliver_network(run: Path, form: NetworkFormat, out: Path, console: Console) -> None:
    """Write a run's network in float32 and say how closely it gives the run's scores.

    Raises:
        ConfigError: A library is missing, or the architecture cannot be exported.
        DataError: The run is not finished.
    """
    write = {"onnx": export_onnx, "torch-export": export_torch}[form]
    difference = write(TorchSegmenter.load(run), out)
    console.say(f"network: {out} ({_megabytes(out)}); scores differ by at most {difference:.1e}", style="green")


def deliver_int8(run: Path, out: Path, calibrate: Sequence[str], truth: Path | None, console: Console) -> None:
    """Write a run's network as ONNX with 8 bits, and say what that costs where there are true masks.

    Args:
        run: The run folder, or its ``model`` folder.
        out: The file.
        calibrate: Photos to choose the scales by; none: the run's own.
        truth: Photos and true masks, as ``coarse2fine evaluate`` takes them; none: nothing is measured.
        console: Where it is told.

    Raises:
        ConfigError: A library is missing, the architecture cannot be exported, or the run's own photos are gone.
        DataError: The run is not finished, or photos or masks cannot be read.
    """
    need_onnx()
    pairs = (open_pairs(truth) or pair_folders(truth / "images", truth / "masks")) if truth else None
    photos = list_photos(calibrate) if calibrate else _find_own_photos(run)
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.onnx"
        export_onnx(TorchSegmenter.load(run), whole)
        quantize(whole, out, photos)
        console.say(f"network: {out} ({_megabytes(out)}; in float32 {_megabytes(whole)})", style="green")
        if pairs:
            for name, path in (("float32", whole), ("int8", out)):
                result = evaluate_pairs(
                    OnnxSegmenter.load(path),
                    pairs,
                    count_cores(),
                    partial(console.track, title=f"measuring {name}"),
                )
                console.say(f"{name}: mIoU {result.mean_iou:.4f} on {result.photos} photos")
        else:
            console.say("what 8 bits cost was not measured: give --ground-truth, or use coarse2fine evaluate")


def _find_own_photos(run: Path) -> list[Path]:
    root = run.parent if (run / "model.toml").exists() else run
    listed = Run(root).photos
    photos = [Path(path) for path in read_json(listed)["usable"]] if listed.exists() else []
    there = [photo for photo in photos if photo.is_file()]
    if not there:
        raise ConfigError(
            f"8 bits need photos to choose their scales by, but those that {root} was trained on are not where they "
            "were; give some: --calibrate PHOTOS."
        )
    return there


def _megabytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB"
