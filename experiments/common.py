"""Shared parts of the experiments: command-line arguments, reusable run folders, and result files."""

import argparse
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import tomli_w

from coarse2fine import FitConfig, Run, fit
from coarse2fine.config import Task, load_config, load_recipe, parse_config
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.runtime.device import describe_machine
from coarse2fine.runtime.files import read_json, write_atomically, write_json, write_text
from coarse2fine.store.records import read_done

Changes: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Settings by section: ``{"train": {"epochs": [3]}}``."""

EQUAL_ROUNDS: Changes = {
    "coarse": {"method": "student"},
    "train": {"epochs": [3], "resize_px": 256, "crop_px": 192},
    "predict": {"scales": [1.0]},
}
"""Changes to the recipe ``small`` in the small versions of the experiments that compare rounds, masks or networks: all
rounds have the same number of epochs, and photos are processed at 256 px and one scale, which takes a third of the
time."""


@dataclass(frozen=True)
class Experiment:
    """One experiment: its data, settings and output folders.

    Attributes:
        name: Name of the result files, without ending.
        data: Folder with ``train`` (class folders) and ``VOCdevkit/VOC2012``; for the small version with ``train``,
            ``val`` (images and masks) and optionally ``train_masks``.
        small: True for the small version, False for the paper's data.
        runs: Folder of the run folders; all experiments share it, so that no run is computed twice.
        results: Folder for figures and tables.
        base: Settings that the experiment starts from.
        command: The command that started the experiment, without machine-specific paths.
    """

    name: str
    data: Path
    small: bool
    runs: Path
    results: Path
    base: FitConfig
    command: str

    @property
    def photos(self) -> Path:
        """Training photos, one folder per class."""
        return self.data / "train"

    @property
    def val(self) -> Path:
        """Validation photos with ground truth."""
        return self.data / ("val" if self.small else "VOCdevkit/VOC2012")

    @property
    def train_masks(self) -> Path | None:
        """Ground truth of training photos, used only to measure; None if there is no such folder."""
        folder = self.data / "train_masks"
        return folder if self.small and folder.is_dir() else None

    def fit(
        self,
        name: str,
        changes: Changes,
        rounds: int | None = None,
        photos: Path | None = None,
        start_from: Path | None = None,
    ) -> Run:
        """Start or resume a run and evaluate it on ``val`` and ``train_masks`` after every round.

        Args:
            name: Name of its folder in ``runs``; experiments that use the same name share the run.
            changes: Settings that replace those of the experiment.
            rounds: Minimum number of rounds: a run that another experiment has already continued further keeps its
                rounds. Default: the number in the settings.
            photos: Training photos, if not all of the experiment.
            start_from: Masks that replace those of the run, see `~coarse2fine.fit`.

        Returns:
            The finished run.
        """
        settings = parse_config(tomli_w.dumps(changes), f"{self.name}.py", self.base)
        run = Run(self.runs / name)
        existing_rounds = self.rounds_of(run) if run.config.exists() else 0
        settings = settings.model_copy(update={"rounds": max(rounds or settings.most_rounds, existing_rounds)})
        ground_truth = [self.val, *([self.train_masks] if self.train_masks else [])]
        return fit(photos or self.photos, run.root, settings, ground_truth, quiet=False, start_from=start_from)

    def rounds_of(self, run: Run) -> int:
        """Count the rounds of a run, without a collapsed one; another experiment may have continued it further."""
        return run.count_rounds(load_config(run.config).most_rounds)

    def seeded(self, seed: int) -> "Experiment":
        """Return the same experiment with another seed."""
        return replace(self, base=self.base.model_copy(update={"seed": seed}))

    def describe_weights(self) -> str:
        """Describe the initial weights of the encoder in words."""
        weights = self.base.network.encoder_weights
        return {"imagenet": "ImageNet, from the hub", "none": "random"}.get(weights, Path(weights).name)

    def recursion(self, rounds: int, grabcut: bool = True) -> Run:
        """Start or resume the recursion with rounds of equal length, with or without GrabCut between the rounds."""
        name = "recursion" if grabcut else "recursion-without-grabcut"
        return self.fit(name, {} if grabcut else {"enhance": {"between_rounds": False}}, rounds)

    def write_results(
        self,
        title: str,
        headers: Sequence[str],
        rows: Sequence[Sequence[object]],
        remarks: Sequence[str],
        figures: dict[str, Any],
    ) -> None:
        """Write ``<name>.json`` and ``<name>.md`` (``<name>-small`` for the small version) and print the table.

        Args:
            title: Title of the table.
            headers: Column headers.
            rows: Cells of the table; floats are printed with three decimals, None as an empty cell.
            remarks: Sentences printed below the table.
            figures: All measured values, for the JSON file.
        """
        machine = describe_machine()
        lines = [f"# {title}", "", *_table(headers, rows), "", *(f"{remark}\n" for remark in remarks)]
        lines += [f"`{self.command}` on {machine['cores']} cores of {machine.get('gpu') or machine['processor']}."]
        text = "\n".join(lines) + "\n"
        write_text(self.path("md"), text)
        settings = self.base.model_dump(mode="json", exclude={"coarse": {"folder"}, "network": {"encoder_weights"}})
        write_json(self.path("json"), {"machine": machine, "command": self.command, "settings": settings} | figures)
        print(text)

    def path(self, ending: str) -> Path:
        """Return the path of the result file with an ending such as ``png``."""
        return self.results / f"{self.name}{'-small' if self.small else ''}.{ending}"


def open_experiment(
    name: str, doc: str | None, arguments: Sequence[str] | None, task: Task = "classes", small: Changes | None = None
) -> Experiment:
    """Parse the command line of an experiment and check that its data exist.

    Args:
        name: Name of the experiment's file, without ending.
        doc: Docstring of the experiment's module, used as its help text.
        arguments: Command-line arguments; default: those of the process.
        task: Task of the network.
        small: Settings of the small version that replace those of the recipe; ``--config`` replaces both.

    Returns:
        The experiment.

    Raises:
        ConfigError: A setting is invalid.
        DataError: The data folder lacks a required folder.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, required=True, help="data folder; its layout is described in docs/experiments.md"
    )
    parser.add_argument(
        "--small", action="store_true", help="run the small version, on voc-animals or data with the same layout"
    )
    parser.add_argument("--recipe", help="recipe to start from; default: small with --small, else paper")
    parser.add_argument("--config", type=Path, help="TOML file with settings that replace those of the recipe")
    parser.add_argument(
        "--weights", help="value of network.encoder_weights: a file, or none; default: that of the recipe"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/experiments"), help="folder of the run folders")
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("results"), help="folder for results")
    options = parser.parse_args(arguments)
    base = load_recipe(options.recipe or ("small" if options.small else "paper"), task)
    if small and options.small:
        base = parse_config(tomli_w.dumps(small), f"{name}.py", base)
    if options.config:
        base = load_config(options.config, base)
    if options.weights:
        base = base.model_copy(update={"network": base.network.model_copy(update={"encoder_weights": options.weights})})
    command = " ".join(["python", f"experiments/{name}.py", *_shared_arguments(options)])
    opened = Experiment(name, options.data, options.small, options.runs, options.results, base, command)
    for part in (opened.photos, opened.val):
        if not part.is_dir():
            raise DataError(
                f"{options.data} must hold the folder {part.relative_to(options.data)}, but it is missing; "
                "see docs/experiments.md for the layout of --data."
            )
    return opened


def read_network_metrics(run: Run, number: int) -> dict[str, Any]:
    """Read the metrics of a round's network on the validation photos: mean_iou, iou, confusion_matrix, photos."""
    return dict(read_json(run.metrics(number))["evaluation"])


def sum_training(run: Run, rounds: int) -> tuple[int, float]:
    """Return the number of photos that a run trained on in all rounds, repetitions included, and the seconds spent."""
    done = [read_done(run.training(number)) for number in range(1, rounds + 1)]
    photos = sum(record["settings"]["train.steps"] * record["settings"]["train.batch"] for record in done)
    return photos, sum(record["seconds"] for record in done)


def mask_iou(run: Run, number: int, stage: str) -> float | None:
    """Read the mean IoU of the training masks of a stage; None without ground truth."""
    found = read_json(run.metrics(number)).get("training_masks_iou", {})
    return None if found.get(stage) is None else float(found[stage])


def load_pyplot() -> Any:
    """Import ``matplotlib.pyplot`` with a backend that opens no window.

    Raises:
        ConfigError: Matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise ConfigError("The plot needs matplotlib: pip install '.[experiments]' in the clone.") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def save_plot(figure: Any, out: Path) -> None:
    """Write a figure of matplotlib as PNG, and close it."""
    with write_atomically(out) as file:
        figure.savefig(file, format="png", dpi=120)
    load_pyplot().close(figure)


def _shared_arguments(options: argparse.Namespace) -> list[str]:
    """List the arguments that influence the results; of paths only the last part, equal on all machines."""
    shared = ["--small"] * options.small + ["--data", options.data.name]
    shared += ["--recipe", options.recipe] if options.recipe else []
    shared += ["--config", options.config.name] if options.config else []
    shared += ["--weights", Path(options.weights).name] if options.weights else []
    return [shlex.quote(word) for word in shared]


def _table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    lines = [headers, ["---", *("---:" for _ in headers[1:])], *([_cell(value) for value in row] for row in rows)]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)
