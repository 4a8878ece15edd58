"""Summaries of a run in the terminal: at its start, after each round, and at its end."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from coarse2fine.config import FitConfig
from coarse2fine.evaluation.metrics import main_metric
from coarse2fine.report.hints import explain_small_classes
from coarse2fine.report.next_steps import NextStep
from coarse2fine.report.tables import count_reasons
from coarse2fine.runtime.console import Console, format_seconds
from coarse2fine.runtime.device import count_cores, pick_device
from coarse2fine.store.records import read_metrics, read_notes
from coarse2fine.store.run import Run
from coarse2fine.store.stages import Stage
from coarse2fine.types import Dataset

SKIPPED_SHOWN = 20
MASKS = ("coarse", "refined", "enhanced")


def show_start(console: Console, dataset: Dataset, config: FitConfig, data: Path, run: Run) -> None:
    """Print data set, device, number of rounds and working size, and every photo that cannot be used."""
    counts = Counter(label for photo in dataset.photos for label in photo.labels)
    what = "without labels" if config.task == "foreground" else f"of {len(dataset.classes) - 1} classes"
    device = pick_device()
    rounds = "rounds" if config.most_rounds > 1 else "round"
    most = "at most " if config.rounds == "auto" else ""
    console.say(
        f"{len(dataset.labeled)} photos {what} in {data} -> {run.root}, "
        f"{most}{config.most_rounds} {rounds} at {config.view_px} px, on {device.type} with {count_cores()} cores",
        style="bold",
    )
    if dataset.negatives:
        console.say(f"{len(dataset.negatives)} photos without any of the classes, which train as background")
    several = [photo for photo in dataset.photos if len(photo.labels) > 1]
    if several:
        console.say(f"{len(several)} photos with several labels, such as {several[0].path}")
    alone = {photo.label for photo in dataset.photos}
    mixed = [name for index, name in enumerate(dataset.classes) if counts[index] and index not in alone]
    if mixed:
        console.warn(
            f"No photo has only this label: {', '.join(mixed)}. Round 1 cannot learn such a class, because the coarse "
            "masks do not tell the classes of a photo apart. Add photos that show only this class, or corrected masks "
            "with --start-from."
        )
    for hint in explain_small_classes(dataset):
        console.warn(hint)
    if dataset.skipped:
        count = len(dataset.skipped)
        console.warn(f"{count} {'files or folders' if count > 1 else 'file or folder'} skipped:")
        for item in dataset.skipped[:SKIPPED_SHOWN]:
            console.warn(f"  {item.path}: {item.reason}")
        if len(dataset.skipped) > SKIPPED_SHOWN:
            console.warn(f"  ... the complete list is in {run.photos}")


def show_round(
    console: Console,
    metrics: Mapping[str, Any],
    stages: Sequence[Stage],
    photos: int,
    left_out: Mapping[str, str],
    is_last: bool,
) -> None:
    """Print a table of a round.

    Args:
        console: Where to print.
        metrics: Content of the round's ``metrics.json``.
        stages: The stages of the round.
        photos: Number of usable photos.
        left_out: Content of the round's ``filter.json``, without the photos that are kept.
        is_last: Whether no round follows, so that no photo is kept for one.
    """
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, iou in sorted(metrics.get("training_masks_iou", {}).items(), key=lambda item: MASKS.index(item[0])):
        table.add_row(
            f"{name} masks, IoU", f"{iou:.3f}", f"{metrics.get('training_masks_measured', 0)} ground truth masks"
        )
    if "evaluation" in metrics:
        name, value = main_metric(metrics["evaluation"])
        table.add_row(name, f"[bold]{value:.3f}[/]", f"{metrics['evaluation']['photos']} photos")
    for stage in stages:
        if "quality" in stage.done():
            table.add_row("quality", f"{stage.done()['quality']:.3f}", "0 to 1, estimated without ground truth")
    if not is_last:
        table.add_row("kept for the next round", f"{photos - len(left_out)} of {photos}", _count_reasons(left_out))
    elif left_out:
        table.add_row("left out of exports", f"{len(left_out)} of {photos}", _count_reasons(left_out))
    for stage in stages:
        done = stage.done()
        if "loss" in done:
            table.add_row("loss", f"{done['loss']:.4f}", f"{done['photos']} photos")
    notes = {name: note for stage in stages for name, note in read_notes(stage.folder).items()}
    if notes:
        common = ", ".join(f"{count} {note}" for note, count in Counter(notes.values()).most_common(3))
        table.add_row("masks left unchanged", str(len(notes)), common)
    durations = {stage.folder.name: format_seconds(stage.done().get("seconds", 0)) for stage in stages}
    table.add_row("time", "", ", ".join(f"{name} {duration}" for name, duration in durations.items()))
    number = metrics["round"]
    console.say(f"after round {number}" if number else "before the first round", style="bold cyan")
    console.show(table)


def show_end(console: Console, run: Run, rounds: int, next_step: NextStep) -> None:
    """Print the metrics of all rounds, the paths of the results, and what to do next."""
    rows = [(number, read_metrics(run.metrics(number))) for number in range(rounds + 1)]
    measured = [(number, row) for number, row in rows if "training_masks_iou" in row or "evaluation" in row]
    if measured:
        console.show(_rounds_table(measured))
    console.say(f"masks of the training photos: {run.enhanced(rounds)}", style="green")
    if rounds:
        console.say(f"quality score of each mask: {run.root / 'quality.csv'}", style="green")
        console.say(f"network: {run.model}", style="green")
    console.say(f"report: {run.report}", style="green")
    console.say(f"next: {next_step.text}\n  {next_step.command}", style="green")


def _rounds_table(rows: Sequence[tuple[int, Mapping[str, Any]]]) -> Table:
    table = Table(title="metrics by round", title_justify="left")
    names = {main_metric(row["evaluation"])[0] for _, row in rows if "evaluation" in row}
    metric = names.pop() if names else "mIoU"
    for column in ("round", metric, "before enhancement, IoU", "after enhancement, IoU", "left out"):
        table.add_column(column, justify="right")
    for number, row in rows:
        masks = row.get("training_masks_iou", {})
        not_enhanced = masks.get("refined", masks.get("coarse"))
        table.add_row(
            str(number) if number else "0 (coarse)",
            _figure(main_metric(row["evaluation"])[1] if "evaluation" in row else None),
            _figure(not_enhanced),
            _figure(masks.get("enhanced")),
            str(row["left_out"]),
        )
    return table


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _count_reasons(left_out: Mapping[str, str]) -> str:
    return ", ".join(f"{count}: {kind}" for kind, count in count_reasons(left_out))
