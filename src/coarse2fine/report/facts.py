"""A run, or a trained network, as plain values: for ``coarse2fine info`` and the option ``--json``."""

from math import prod
from pathlib import Path
from typing import Any

from coarse2fine.config import ModelConfig, most_rounds
from coarse2fine.errors import DataError
from coarse2fine.evaluation.metrics import main_metric
from coarse2fine.inference.description import WEIGHTS, find_model_folder, read_description
from coarse2fine.report.run_summary import read_settings
from coarse2fine.runtime.files import check_regular_file
from coarse2fine.store.photos import read_record
from coarse2fine.store.records import read_coarse_choice, read_done, read_metrics
from coarse2fine.store.run import Run


def describe(path: Path) -> dict[str, Any]:
    """Describe a run folder, the folder ``model`` in it, or an exported network.

    Raises:
        DataError: The path is none of these, or a file is damaged.
        ConfigError: It is an exported network, and onnxruntime is not installed.
    """
    if path.suffix.lower() == ".onnx":
        return describe_onnx(path)
    if (path / "config.toml").exists() and (path / "photos.json").exists():
        return describe_run(Run(path))
    return {"kind": "network", "path": str(path)} | describe_network(find_model_folder(path))


def describe_run(run: Run) -> dict[str, Any]:
    """Describe a run, finished or not, from its files; photos and masks are not read.

    Raises:
        DataError: It is not a run folder, or a file is damaged.
    """
    record, (settings, _) = read_record(run), read_settings(run)
    rounds = run.count_rounds(most_rounds(settings["rounds"]))
    folders = [run.coarse, run.linear(0), run.enhanced(0)]
    for number in range(1, rounds + 1):
        folders += [run.training(number), run.refined(number), run.linear(number), run.enhanced(number)]
        folders.append(run.quality(number))
    done = [found for folder in folders if (found := read_done(folder))]
    model = find_model_folder(run.root)
    is_finished = model.exists() and run.report.exists()
    method = settings["coarse"]["method"]
    return {
        "kind": "run",
        "path": str(run.root),
        "finished": is_finished,
        "data": record.data,
        "photos": len(record.usable),
        "skipped": len(record.skipped),
        "classes": list(record.classes),
        "task": settings.get("task", "classes"),
        "coarse_method": read_coarse_choice(run.coarse_choice).get("method", method) if method == "auto" else method,
        "rounds": rounds,
        "figures": [figures for number in range(rounds + 1) if (figures := _describe_round(run, number))],
        "seconds": round(sum(stage["seconds"] for stage in done), 1),
        "versions": done[-1].get("versions", {}) if done else {},
        "masks": str(run.enhanced(rounds)),
        "report": str(run.report) if run.report.exists() else None,
        "network": describe_network(model) if is_finished else None,
    }


def describe_network(folder: Path) -> dict[str, Any]:
    """Describe a network from ``model.toml`` and the header of its weights, without torch.

    Args:
        folder: The folder of both files.

    Raises:
        DataError: A file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open  # not needed for an exported network

    model, weights = read_description(folder), folder / WEIGHTS
    try:
        check_regular_file(weights)
        with safe_open(weights, framework="numpy") as file:
            numbers = sum(prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise DataError(f"The weights {weights} must be a readable safetensors file: {error}.") from error
    size = {"weights": numbers, "bytes": weights.stat().st_size}
    return _describe_model(model) | {"name": model.network.name, "encoder": model.network.encoder} | size


def describe_onnx(path: Path) -> dict[str, Any]:
    """Describe an exported network from its metadata.

    Raises:
        ConfigError: onnxruntime is not installed.
        DataError: The file is missing, damaged, or of another program.
    """
    from coarse2fine.inference.onnx_segmenter import OnnxSegmenter

    segmenter = OnnxSegmenter.load(path, "cpu", threads=1)
    metadata = segmenter.session.get_modelmeta().custom_metadata_map
    return {
        "kind": "exported network",
        "path": str(path),
        "classes": list(segmenter.classes),
        "size_px": segmenter.size_px,
        "scales": list(segmenter.scales),
        "flip": segmenter.flip,
        "foreground_first": segmenter.foreground_first,
        "crf": segmenter.crf.on,
        "int8": metadata.get("int8") == "true",
        "bytes": path.stat().st_size,
        "versions": {"coarse2fine": metadata.get("coarse2fine")},
    }


def list_figures(run: Run, number: int) -> dict[str, float]:
    """List the measured figures of a round by name, such as ``mIoU`` and ``masks_iou_enhanced``."""
    found = _describe_round(run, number)
    figures = {f"masks_iou_{stage}": value for stage, value in found.get("masks_iou", {}).items()}
    if "metric" in found:
        figures[found["metric"]] = found["value"]
    return figures | {name: found[name] for name in ("left_out", "quality") if name in found}


def _describe_model(model: ModelConfig) -> dict[str, Any]:
    predict = model.predict
    return {
        "classes": list(model.classes),
        "size_px": predict.size_px,
        "scales": list(predict.scales),
        "flip": predict.flip,
        "foreground_first": predict.foreground_first,
        "crf": predict.crf.on,
        "precision": predict.precision,
    }


def _describe_round(run: Run, number: int) -> dict[str, Any]:
    metrics = read_metrics(run.metrics(number))
    if not metrics:
        return {}
    figures: dict[str, Any] = {"round": number, "left_out": metrics["left_out"]}
    if "training_masks_iou" in metrics:
        figures["masks_iou"] = metrics["training_masks_iou"]
    if "evaluation" in metrics:
        figures |= {"metric": main_metric(metrics["evaluation"])[0], "value": main_metric(metrics["evaluation"])[1]}
    quality = read_done(run.quality(number)).get("quality") if number else None
    return figures | ({} if quality is None else {"quality": quality})
