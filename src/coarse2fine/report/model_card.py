"""Write the card of a trained network: its classes, data, figures and limits, read from the files of its run."""

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import EvalResult, ModelCardData
from jinja2 import Environment, StrictUndefined

from coarse2fine.errors import DataError
from coarse2fine.evaluation.metrics import Metric, main_metric
from coarse2fine.evaluation.quality_table import CLASS_TABLE
from coarse2fine.inference.description import find_model_folder, read_description
from coarse2fine.report.facts import describe_network, describe_run
from coarse2fine.report.hints import FEW_PHOTOS
from coarse2fine.runtime.console import format_seconds
from coarse2fine.runtime.files import read_csv
from coarse2fine.store.photos import read_record
from coarse2fine.store.records import read_evaluation, read_metrics
from coarse2fine.store.run import Run
from coarse2fine.types import FOREGROUND_CLASSES

TEMPLATE = "model_card.md.j2"
PAPER = "https://arxiv.org/abs/1812.10885"

UNKNOWN_LICENSE = "unknown"
"""License of weights whose publisher names none; the word is that of the Hugging Face Hub."""

BACKGROUND_NAME = FOREGROUND_CLASSES[0]

LOW_IOU = 0.3
"""A class with a lower IoU is named among the limits."""

GENERAL_LIMITS = (
    "It knows only the classes above. Everything else is background, or is taken for the most similar class.",
    "Objects that are nearly always seen together, such as riders and motorbikes, may be learned as one class.",
    "Thin parts, objects that cover less than about a hundredth of the photo, and crowds are found badly.",
    "Photos that differ from the training photos, such as another camera, place or season, need their own measurement.",
    "It must not decide on the health, safety or rights of people.",
)


class _ClassRow(NamedTuple):
    name: str
    photos: int | None
    iou: float | None


def make_model_card(
    source: Path,
    license: str = UNKNOWN_LICENSE,
    repository: str = "",
    file: str = "",
    other_figures: Mapping[str, float] | None = None,
) -> str:
    """Return the model card of a trained network as Markdown, with metadata for the Hugging Face Hub.

    It contains no path of this machine. Of a run folder it has data, figures and settings; of a ``model`` folder that
    was copied elsewhere only the network.

    Args:
        source: Run folder of ``fit``, or the folder ``model`` in it.
        license: Identifier of the license of the weights, such as ``cc-by-4.0``.
        repository: Name on the hub, such as ``user/name``; empty: not known yet.
        file: Name of the exported network that the card is about; empty: it is about the weights of torch.
        other_figures: Further figures by name.

    Raises:
        DataError: The folder holds no finished network, or a file of the run is damaged.
    """
    folder = find_model_folder(source)
    model, network = read_description(folder), describe_network(folder)
    root = folder.parent if folder.name == "model" else folder
    run = Run(root) if (root / "config.toml").exists() and (root / "photos.json").exists() else None
    facts = describe_run(run) if run else None
    evaluation = _find_evaluation(run, folder, facts["rounds"]) if run and facts else {}
    metric = main_metric(evaluation) if evaluation else None
    title = repository.rpartition("/")[2] or root.absolute().name
    rows = _list_classes(run, model.classes, evaluation)
    template = (resources.files("coarse2fine") / "report" / TEMPLATE).read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        metadata=ModelCardData(
            license=license,
            library_name="coarse2fine",
            pipeline_tag="image-segmentation",
            tags=["semantic-segmentation", "weakly-supervised", *(["onnx"] if file.endswith(".onnx") else [])],
            model_name=title if metric else None,
            eval_results=[_describe_result(metric)] if metric else None,
        ).to_yaml(),
        title=title,
        repository=repository,
        file=file,
        license=license,
        is_foreground=model.classes == FOREGROUND_CLASSES,
        classes=model.classes[1:],
        rows=rows,
        run=facts,
        network=network,
        start=_describe_start(model.network.encoder_weights),
        duration=format_seconds(facts["seconds"]) if facts else "",
        has_negatives=bool(run and read_record(run).negatives),
        corrected=sum(1 for _ in run.corrected.rglob("*.png")) if run else 0,
        metric=metric,
        evaluation=evaluation,
        other_figures=other_figures or {},
        limits=[*_find_limits(rows), *GENERAL_LIMITS],
        paper=PAPER,
    )


def _find_evaluation(run: Run, folder: Path, rounds: int) -> Mapping[str, Any]:
    """Return the metrics of the network that fit measured, or those of ``coarse2fine evaluate``, if they are of it."""
    if measured := read_metrics(run.metrics(rounds)).get("evaluation"):
        return dict(measured)
    path = run.root / "evaluation" / "metrics.json"
    is_newer = path.exists() and path.stat().st_mtime >= (folder / "model.toml").stat().st_mtime
    return read_evaluation(path) if is_newer else {}


def _list_classes(run: Run | None, classes: Sequence[str], evaluation: Mapping[str, Any]) -> list[_ClassRow]:
    table = run.root / CLASS_TABLE if run else None
    counts: dict[str, int] = {}
    if table and table.exists():
        try:
            counts = {row["class"]: int(row["photos"]) for row in read_csv(table, ("class", "photos"))}
        except (ValueError, TypeError) as error:
            raise DataError(f"{table} must hold a whole number of photos for each class ({error}).") from error
    ious = evaluation.get("iou", {})
    return [_ClassRow(name, counts.get(name), ious.get(name)) for name in classes]


def _describe_start(encoder_weights: str) -> str:
    known = {"imagenet": "encoder: published ImageNet weights", "none": "random"}
    return known.get(encoder_weights) or f"encoder: the file {Path(encoder_weights).name}"


def _describe_result(metric: Metric) -> EvalResult:
    return EvalResult(
        task_type="image-segmentation",
        dataset_type="custom",
        dataset_name="photos with ground truth that were not trained on",
        metric_type="mean_iou" if metric.name == "mIoU" else "iou",
        metric_name=metric.name,
        metric_value=metric.value,
    )


def _find_limits(rows: Sequence[_ClassRow]) -> list[str]:
    classes = [row for row in rows if row.name != BACKGROUND_NAME]
    weak = [f"{row.name} ({row.iou:.2f})" for row in classes if row.iou is not None and row.iou < LOW_IOU]
    small = [f"{row.name} ({row.photos})" for row in classes if row.photos is not None and row.photos < FEW_PHOTOS]
    return [
        *([f"Classes that it finds badly (IoU below {LOW_IOU}): {', '.join(weak)}."] if weak else []),
        *([f"Classes with fewer than {FEW_PHOTOS} training photos: {', '.join(small)}."] if small else []),
    ]
