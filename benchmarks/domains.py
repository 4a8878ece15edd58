"""Does ``coarse2fine fit`` work with its default settings in every domain, with few photos and with many?

    pip install '.[experiments]'    # matplotlib, for the plot
    python benchmarks/domains.py --data DIR --weights mobilenetv2_100.imagenet.safetensors
    python benchmarks/domains.py --data DIR --only blood-cells pascal20 --sizes 5 12

DIR holds one folder per set, of one of these kinds; all other folders are named and ignored::

    SET/train/<class>/  SET/train_masks/<class>/  [SET/val/images/  SET/val/masks/]    --task classes
    SET/images/  SET/masks/                                                            --task foreground

Ground truth only measures. If the masks of SET/train_masks have no value except 0, 1 and 255, they mean foreground, and
the benchmark gives it the class index of the photo's folder.

Every set is fitted with ``--sizes`` photos per class (five times as many photos of a set without classes), drawn by
``random.Random(1).shuffle`` from the sorted photos that have ground truth, and with all its photos. A size that is not
smaller than the set is ``all``, and is not fitted twice. The table has one row per fit: the mean IoU of the masks of
the training photos with their ground truth after every step, and the mIoU of the network on val. ``gain`` is the final
masks minus the enhanced coarse masks; the largest loss is the smallest gain. ``seconds`` is the time of all stages of
the run, without the time to measure.

A run is kept in RUNS/SET-SIZE (``--runs``). The same command resumes an interrupted run and reuses a finished result
with equal photos and settings; it does not notice a change of the code, so start a new RUNS after one. The table also
holds the results of other calls with the same RUNS and settings, so that several calls can share the work. If ``fit``
fails, the error stands below the table, the other cases are fitted, and the exit status is 1.
"""

import argparse
import re
import shlex
import shutil
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from common import RESULTS, keep
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from coarse2fine import FitConfig, Run, fit, load_config, load_recipe, open_dataset
from coarse2fine.cli.exit_status import run_safely
from coarse2fine.config import Task
from coarse2fine.errors import DataError
from coarse2fine.evaluation.ground_truth_reader import make_foreground_reader
from coarse2fine.masks.png import mask_path, read_mask, write_mask
from coarse2fine.masks.regions import classes_in
from coarse2fine.runtime.device import count_cores, describe_machine
from coarse2fine.runtime.files import hash_of, read_json, read_json_or_empty, write_atomically, write_json, write_text
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import Dataset, Photo

FOREGROUND_FACTOR = 5
"""A set without classes is fitted with this many times as many photos as a class of the other sets."""

COLUMNS = 3
"""Panels of the plot beside each other."""

MIN_TICK_RATIO = 1.3
"""Numbers of photos that are closer to each other share a label of the plot's axis."""

UNDONE = "undone round"
"""Label of the rounds that do not count."""


@dataclass(frozen=True)
class PhotoSet:
    """One set of photos with ground truth.

    Attributes:
        name: Name of its folder.
        task: Task of ``fit``.
        folder: Folder of the training photos.
        dataset: The training photos.
        masks: Folder of their ground truth, with the class indices of the data set.
        val: Other photos with ground truth; None if there are none.
    """

    name: str
    task: Task
    folder: Path
    dataset: Dataset
    masks: Path
    val: Path | None


@dataclass(frozen=True)
class Case:
    """A set and the photos that it is fitted with.

    Attributes:
        photo_set: The set.
        size: Photos per class; None: all photos of the set.
        photos: The photos.
    """

    photo_set: PhotoSet
    size: int | None
    photos: tuple[Photo, ...]

    @property
    def name(self) -> str:
        """Name of the case and of its folder."""
        return f"{self.photo_set.name}-{self.size or 'all'}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit all cases; write a table, a plot and the measured values."""
    options = read_options(arguments)
    settings = {task: load_settings(options, task) for task in ("classes", "foreground")}
    cases = [case for one in find_sets(options) for case in choose_cases(one, options.sizes)]
    failures: dict[str, str] = {}
    for case in cases:
        try:
            fit_case(case, settings[case.photo_set.task], options.runs)
        except Exception as error:  # a crash is a finding about this case, and the others are fitted nevertheless
            traceback.print_exc()
            failures[case.name] = f"{type(error).__name__}: {error}"
    hashes = {hash_settings(one) for one in settings.values()}
    results = [result for result in read_results(options.runs) if result["settings"] in hashes]
    write_results(options, results, failures, settings["classes"])
    if failures:
        sys.exit(1)


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder per set")
    parser.add_argument("--only", nargs="+", metavar="SET", help="fit only these sets")
    parser.add_argument(
        "--sizes",
        nargs="+",
        type=parse_size,
        default=[5, 12, 50, 200, None],
        metavar="N",
        help="photos per class, or all; default: 5 12 50 200 all",
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/domains"), help="folder of the run folders")
    parser.add_argument("--config", type=Path, help="TOML file with settings that replace those of the recipe small")
    parser.add_argument("--weights", help="value of network.encoder_weights: a file, or none; default: from the hub")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the result files")
    parser.add_argument("--name", default="domains", help="name of the result files, without ending")
    return parser.parse_args(arguments)


def parse_size(text: str) -> int | None:
    """Parse a number of photos per class; None means all."""
    if text == "all":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a number of photos of at least 1, or all, but is {text}")
    return int(text)


def load_settings(options: argparse.Namespace, task: Task) -> FitConfig:
    """Return the default settings of a task with the changes of the command line."""
    settings = load_recipe("small", task)
    if options.config:
        settings = load_config(options.config, settings)
    network = settings.network
    if options.weights:
        network = network.model_copy(update={"encoder_weights": options.weights})
    return settings.model_copy(update={"task": task, "network": network})


def hash_settings(settings: FitConfig) -> str:
    """Return a fingerprint of the settings that is the same on all machines: of the weights only the file name."""
    values = settings.model_dump(mode="json")
    values["network"]["encoder_weights"] = Path(settings.network.encoder_weights).name
    return hash_of(values)


def find_sets(options: argparse.Namespace) -> list[PhotoSet]:
    """Open the chosen sets in ``--data``, and name the folders that are none."""
    if not options.data.is_dir():
        raise DataError(f"--data must be a folder with one folder per set; {options.data} is no folder.")
    folders = sorted(path for path in options.data.iterdir() if path.is_dir() and not path.name.startswith("."))
    names = [folder.name for folder in folders if find_task(folder)]
    if other := [folder.name for folder in folders if not find_task(folder)]:
        print(f"ignored, because neither train and train_masks nor images and masks are there: {', '.join(other)}")
    if missing := [name for name in options.only or () if name not in names]:
        raise DataError(f"--only must name sets in {options.data} ({', '.join(names)}), but names {missing[0]}.")
    if not names:
        raise DataError(f"{options.data} must hold at least one set of photos; --help describes its layout.")
    return [open_set(options.data / name, options.runs) for name in names if name in (options.only or names)]


def find_task(folder: Path) -> Task | None:
    """Return the task that the layout of a set is made for; None if the folder is no set."""
    if (folder / "train").is_dir() and (folder / "train_masks").is_dir():
        return "classes"
    return "foreground" if (folder / "images").is_dir() and (folder / "masks").is_dir() else None


def open_set(folder: Path, runs: Path) -> PhotoSet:
    """List the photos of a set, and convert its ground truth to class indices if it knows only foreground."""
    if find_task(folder) == "foreground":
        photos = open_dataset(folder / "images", labeled=False)
        return PhotoSet(folder.name, "foreground", folder / "images", photos, folder / "masks", None)
    photos, masks, val = open_dataset(folder / "train"), folder / "train_masks", folder / "val"
    known = [photo for photo in photos.photos if mask_path(masks, photo.name).exists()]
    if not known:
        raise DataError(f"{masks} must hold masks (.png) named like the photos in {folder / 'train'}, but has none.")
    if not any(holds_class_above(mask_path(masks, photo.name), 1) for photo in known):
        masks = convert_masks(known, masks, runs / f"{folder.name}-masks")
        print(f"{folder.name}: the ground truth knows only foreground; it gets the class of the photo's folder")
    has_val = (val / "images").is_dir() and (val / "masks").is_dir()
    above = 1 if len(photos.classes) > 2 else 0
    if has_val and not any(holds_class_above(path, above) for path in sorted((val / "masks").rglob("*.png"))):
        print(f"{folder.name}: val is not measured, because its masks hold no class indices")
        has_val = False
    return PhotoSet(folder.name, "classes", folder / "train", photos, masks, val if has_val else None)


def holds_class_above(path: Path, index: int) -> bool:
    """Return whether a mask holds a class index greater than ``index``."""
    return any(label > index for label in classes_in(read_mask(path)))


def convert_masks(photos: Sequence[Photo], masks: Path, out: Path) -> Path:
    """Write masks of foreground as masks of the photos' classes, and return their folder."""
    read = make_foreground_reader([mask_path(masks, photo.name) for photo in photos])

    def convert(photo: Photo) -> None:
        mask = read(mask_path(masks, photo.name))
        write_mask(mask_path(out, photo.name), np.where(mask == 1, np.uint8(photo.label), mask))

    for _ in map_threads(convert, photos, count_cores()):
        pass
    return out


def choose_cases(photo_set: PhotoSet, sizes: Sequence[int | None]) -> Iterator[Case]:
    """Draw the photos of each size from a set; sizes that are not smaller than the set are one case."""
    groups = group_photos(photo_set)
    factor = FOREGROUND_FACTOR if photo_set.task == "foreground" else 1
    largest = max(len(group) for group in groups)
    smaller = sorted({size for size in sizes if size and size * factor < largest})
    for size in smaller:
        drawn = [photo for group in groups for photo in draw(group, size * factor)]
        yield Case(photo_set, size, tuple(sorted(drawn, key=lambda photo: photo.name)))
    if len(smaller) < len(set(sizes)):
        yield Case(photo_set, None, photo_set.dataset.photos)


def group_photos(photo_set: PhotoSet) -> list[list[Photo]]:
    """Return the photos of each class that have ground truth, or all photos of a class in which none has."""
    groups = []
    for label in range(1, len(photo_set.dataset.classes)):
        photos = [photo for photo in photo_set.dataset.photos if photo.label == label]
        known = [photo for photo in photos if mask_path(photo_set.masks, photo.name).exists()]
        if not known:
            print(f"{photo_set.name}: no photo of {photo_set.dataset.classes[label]} has ground truth to measure with")
        groups.append(known or photos)
    return groups


def draw(photos: Sequence[Photo], count: int) -> list[Photo]:
    """Draw photos of one class; a smaller count draws a part of the same photos."""
    shuffled = sorted(photos, key=lambda photo: photo.name)
    Random(1).shuffle(shuffled)
    return shuffled[:count]


def fit_case(case: Case, settings: FitConfig, runs: Path) -> None:
    """Fit and measure one case and write ``result.json``, unless a result of the same photos and settings exists."""
    folder, photo_set = runs / case.name, case.photo_set
    key = {"settings": hash_settings(settings), "photos_hash": hash_of([str(photo.path) for photo in case.photos])}
    if key.items() <= read_json_or_empty(folder / "result.json").items():
        print(f"{case.name}: already done")
        return
    print(f"{case.name}: {len(case.photos)} photos", flush=True)
    data = link_photos(case.photos, folder / "photos") if case.size else photo_set.folder
    ground_truth = [photo_set.masks, *([photo_set.val] if photo_set.val else [])]
    run = fit(data, folder / "run", settings, ground_truth, quiet=False)
    machine = describe_machine()
    about = {
        "set": photo_set.name,
        "task": photo_set.task,
        "size": case.size or "all",
        "photos": len(case.photos),
        "classes": len(photo_set.dataset.classes) - 1,
        "date": find_date(),
        "machine": f"{machine['cores']} cores of {machine.get('gpu') or machine['processor']}",
    }
    write_json(folder / "result.json", key | about | measure_run(run))


def link_photos(photos: Sequence[Photo], folder: Path) -> Path:
    """Fill a folder with links to photos under their names, and return it."""
    shutil.rmtree(folder, ignore_errors=True)
    for photo in photos:
        link = folder / f"{photo.name}{photo.path.suffix if not photo.name.endswith(photo.path.suffix) else ''}"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(photo.path.absolute())
    return folder


def measure_run(run: Run) -> dict[str, Any]:
    """Read the figures of a finished run.

    Returns:
        ``iou``: mean IoU of the training masks: coarse, enhanced, of each round, final. ``mean_iou``: mIoU of the
        network of each round and of the result on val; None without val. ``result_round``: the round that the result
        comes from; 0: it is the enhanced coarse masks, and there is no network. ``undone_rounds``: rounds that do not
        count. ``gain``: final minus enhanced. ``seconds``: time of all stages.
    """
    before, rounds = read_json(run.metrics(0)), read_round_metrics(run)
    result_round = run.count_rounds(load_config(run.config).most_rounds)
    masks = {number: read_iou(metrics, "enhanced") for number, metrics in rounds.items()}
    networks = {number: metrics.get("evaluation", {}).get("mean_iou") for number, metrics in rounds.items()}
    enhanced = read_iou(before, "enhanced")
    final = masks[result_round] if result_round else enhanced
    return {
        "coarse_method": read_coarse_method(run),
        "measured_photos": before.get("training_masks_measured", 0),
        "iou": {"coarse": read_iou(before, "coarse"), "enhanced": enhanced, "rounds": masks, "final": final},
        "mean_iou": {"rounds": networks, "final": networks.get(result_round)},
        "result_round": result_round,
        "undone_rounds": [number for number in rounds if number > result_round],
        "gain": None if final is None or enhanced is None else round(final - enhanced, 5),
        "seconds": round(sum(read_json(path)["seconds"] for path in run.root.rglob("done.json")), 1),
    }


def read_round_metrics(run: Run) -> dict[int, dict[str, Any]]:
    """Read the metrics of all rounds that were computed, also of those that do not count, such as a collapsed one."""
    found = [
        (re.fullmatch(r"(?:\w+-)?round-(\d+)", path.parent.name), path) for path in run.root.glob("*/metrics.json")
    ]
    return dict(sorted((int(match[1]), read_json(path)) for match, path in found if match))


def read_iou(metrics: dict[str, Any], stage: str) -> float | None:
    """Read the mean IoU of the training masks of a stage; None if it was not measured."""
    value = metrics.get("training_masks_iou", {}).get(stage)
    return None if value is None else float(value)


def read_coarse_method(run: Run) -> str:
    """Return the method of the coarse masks: what ``auto`` chose if the run says so, else the setting."""
    choice = read_json_or_empty(run.root / "coarse-choice.json")
    chosen = choice.get("method") or choice.get("chosen")
    setting = load_config(run.config).coarse.method
    return f"{setting}: {chosen}" if chosen and chosen != setting else setting


def read_results(runs: Path) -> list[dict[str, Any]]:
    """Read the results of all finished cases, sorted by set and number of photos."""
    results = [read_json(path) for path in runs.glob("*/result.json")]
    return sorted(results, key=lambda result: (result["task"], result["set"], result["photos"]))


def write_results(
    options: argparse.Namespace, results: Sequence[dict[str, Any]], failures: dict[str, str], settings: FitConfig
) -> None:
    """Print the table, and write it with the plot and the measured values."""
    known = [result for result in results if result["gain"] is not None]
    worst = min(known, key=lambda result: float(result["gain"]), default=None)
    command, machine = describe_command(options), describe_machine()
    measured = f"`{command}` on {machine['cores']} cores of {machine.get('gpu') or machine['processor']}, {find_date()}"
    remarks = [
        "IoU of the masks of the training photos with their ground truth; in brackets: rounds that do not count. size: "
        "photos per class. mIoU: of the final network on val. gain: final minus enhanced.",
        *([describe_worst(worst)] if worst else []),
        *(f"fit failed on {name}: {error}" for name, error in failures.items()),
        f"![IoU by number of photos]({options.name}.png)",
        f"{measured}; coarse2fine {machine['versions']['coarse2fine']}, torch {machine['versions']['torch']}.",
    ]
    title = "# Default settings by domain and number of photos"
    text = "\n".join([title, "", *make_table(results), *(f"\n{remark}" for remark in remarks)]) + "\n"
    write_text(options.results / f"{options.name}.md", text)
    print(text)
    if results:
        draw_plot(results, options.results / f"{options.name}.png")
    figures = {
        "command": command,
        "date": find_date(),
        "settings": settings.model_dump(mode="json", exclude={"coarse": {"folder"}, "network": {"encoder_weights"}}),
        "cases": list(results),
        "failures": failures,
        "largest_loss": worst and {name: worst[name] for name in ("set", "size", "gain")},
    }
    keep(options.name, figures, options.results)


def describe_command(options: argparse.Namespace) -> str:
    """Return the command with what influences the results; of paths only the last part, equal on all machines."""
    sizes = ["all" if size is None else str(size) for size in options.sizes]
    words = ["python", "benchmarks/domains.py", "--data", options.data.resolve().name, "--sizes", *sizes]
    words += ["--only", *options.only] if options.only else []
    words += ["--config", options.config.name] if options.config else []
    words += ["--weights", Path(options.weights).name] if options.weights else []
    return shlex.join(words)


def describe_worst(worst: dict[str, Any]) -> str:
    """Describe the case with the smallest gain."""
    what = "Largest loss" if worst["gain"] < 0 else "No case loses; smallest gain"
    return f"{what}: {worst['gain']:+.3f} ({worst['set']}, size {worst['size']})."


def make_table(results: Sequence[dict[str, Any]]) -> list[str]:
    """Return a Markdown table with one row per case, its columns padded to be readable in a terminal."""
    numbers = list_round_numbers(results)
    headers = ["set", "size", "photos", "classes", "coarse method", "coarse", "enhanced"]
    headers += [f"round {number}" for number in numbers] + ["final", "of round", "gain", "mIoU", "seconds"]
    rows = [headers]
    for result in results:
        iou, undone = result["iou"], result["undone_rounds"]
        rounds = [(number, format_iou(iou["rounds"].get(str(number)))) for number in numbers]
        rows.append(
            [
                result["set"],
                *(str(result[name]) for name in ("size", "photos", "classes", "coarse_method")),
                format_iou(iou["coarse"]),
                format_iou(iou["enhanced"]),
                *(f"({cell})" if number in undone else cell for number, cell in rounds),
                format_iou(iou["final"]),
                str(result["result_round"]),
                "" if result["gain"] is None else f"{result['gain']:+.3f}",
                format_iou(result["mean_iou"]["final"]),
                f"{result['seconds']:.0f}",
            ]
        )
    widths = [max(3, *(len(cell) for cell in column)) for column in zip(*rows, strict=True)]
    rows.insert(1, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
    return ["| " + " | ".join(_align(row, widths)) + " |" for row in rows]


def _align(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Pad the cells of a row, the first to the left, the others to the right."""
    return [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]


def format_iou(value: float | None) -> str:
    """Format an IoU with three decimals; None as an empty cell."""
    return "" if value is None else f"{value:.3f}"


def list_round_numbers(results: Sequence[dict[str, Any]]) -> list[int]:
    """Return the numbers of all rounds that occur in results."""
    return sorted({int(number) for result in results for number in result["iou"]["rounds"]})


def find_date() -> str:
    """Return the date of today in UTC."""
    return datetime.now(UTC).date().isoformat()


def draw_plot(results: Sequence[dict[str, Any]], out: Path) -> None:
    """Plot the IoU by the number of photos, one panel per set."""
    names = list(dict.fromkeys(result["set"] for result in results))
    columns = 2 if len(names) == 4 else min(COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(4.2 * max(columns, 1.3), 3.3 * rows + 0.7), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).flatten()  # .01 looks equal in all sets
    for panel, name in zip(panels, names, strict=False):
        draw_panel(panel, name, [result for result in results if result["set"] == name], list_round_numbers(results))
    for panel in panels[len(names) :]:
        panel.set_axis_off()
    for first in range(0, len(panels), columns):
        panels[first].set_ylabel("IoU of the training masks")
    labeled = {label: line for panel in panels for line, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    labels = sorted(labeled, key=lambda label: label == UNDONE)  # a stable sort: the crosses come last
    lines = [labeled[label] for label in labels]
    figure.legend(lines, labels, loc="outside lower center", ncols=4 if columns < 3 else 8, fontsize=9)
    with write_atomically(out) as file:
        figure.savefig(file, format="png", dpi=130)


def draw_panel(axes: Axes, name: str, results: Sequence[dict[str, Any]], numbers: Sequence[int]) -> None:
    """Plot one set: coarse, enhanced, the rounds that count, the final masks, and crosses for rounds that do not."""
    photos = [result["photos"] for result in results]
    ious = [result["iou"] for result in results]
    axes.plot(photos, as_floats([iou["coarse"] for iou in ious]), "--", color="0.6", marker=".", label="coarse")
    enhanced = as_floats([iou["enhanced"] for iou in ious])
    axes.plot(photos, enhanced, color="tab:orange", marker="o", markersize=4, label="enhanced")
    for number in numbers:
        shade = (0.75 - 0.6 * numbers.index(number) / max(1, len(numbers) - 1),) * 2 + (1.0,)
        values = as_floats([iou["rounds"].get(str(number)) for iou in ious])
        undone = np.array([number in result["undone_rounds"] for result in results])
        axes.plot(photos, np.where(undone, np.nan, values), color=shade, marker=".", lw=1, label=f"round {number}")
        if undone.any():
            crosses = np.where(undone, values, np.nan)
            axes.plot(photos, crosses, "x", color="tab:red", markersize=6, label=UNDONE)
    axes.plot(photos, as_floats([iou["final"] for iou in ious]), color="black", marker="o", markersize=5, label="final")
    shown: list[int] = []
    for count in sorted(photos, reverse=True):
        if not shown or shown[-1] >= MIN_TICK_RATIO * count:
            shown.append(count)
    axes.set(title=name, xlabel="photos", xscale="log")
    axes.set_xticks(shown, [str(count) for count in shown])
    axes.set_xticks([], minor=True)
    axes.locator_params(axis="y", nbins=6)
    axes.grid(alpha=0.3)


def as_floats(values: Sequence[float | None]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Convert values to an array, None to nan."""
    return np.array([np.nan if value is None else value for value in values])


if __name__ == "__main__":
    run_safely(main, sys.argv[1:])
