"""What every experiment shares: arguments, run folders that others reuse, results beside the paper's figures."""

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
from coarse2fine.runtime.files import read_json, write_json, write_text

Changes: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Settings by stage: ``{"train": {"epochs": [3]}}``."""

EQUAL_ROUNDS: Changes = {
    "coarse": {"method": "student"},
    "train": {"epochs": [3], "resize_px": 256, "crop_px": 192},
    "refine": {"scales": [1.0]},
    "predict": {"scales": [1.0]},
}
"""What small versions that compare rounds, masks or networks change of the recipe small: rounds are equally long, and
photos are seen at 256 px and one scale, which takes a third of the time."""


@dataclass(frozen=True)
class Experiment:
    """One experiment: its data, settings and places.

    Attributes:
        name: Of the result's files.
        data: Holds ``train`` with class folders, and ``VOCdevkit/VOC2012``; if small, ``val`` with images and masks,
            and perhaps ``train_masks``.
        small: Whether the data are those of the small version, rather than the paper's.
        runs: Run folders, shared by all experiments, so that none is made twice.
        results: Where figures and tables go.
        base: Settings that the experiment starts from.
        command: As it was called.
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
        """Other photos with true masks."""
        return self.data / ("val" if self.small else "VOCdevkit/VOC2012")

    @property
    def train_masks(self) -> Path | None:
        """True masks of training photos, to measure with, where there are some."""
        folder = self.data / "train_masks"
        return folder if self.small and folder.is_dir() else None

    def fit(self, name: str, changes: Changes, rounds: int | None = None, truth: Sequence[Path] | None = None) -> Run:
        """A run, made or gone on with, measured after every round.

        Args:
            name: Of its folder in ``runs``; experiments that name the same folder share the run.
            changes: Laid over the experiment's settings.
            rounds: At least so many, for another experiment may have asked for more; none: as the settings say.
            truth: To measure with; default: ``val`` and ``train_masks``.
        """
        settings = parse_config(tomli_w.dumps(changes), f"{self.name}.py", self.base)
        run = Run(self.runs / name)
        before = self.rounds_of(run) if run.config.exists() else 0
        settings = settings.model_copy(update={"rounds": max(rounds or settings.rounds, before)})
        given = [self.val, *([self.train_masks] if self.train_masks else [])] if truth is None else truth
        return fit(self.photos, run.root, settings, given, quiet=False)

    def rounds_of(self, run: Run) -> int:
        """Rounds of a run, which may be more than were asked for."""
        return load_config(run.config).rounds

    def seeded(self, seed: int) -> "Experiment":
        """The same experiment with another seed."""
        return replace(self, base=self.base.model_copy(update={"seed": seed}))

    def describe_weights(self) -> str:
        """What the encoder starts from, for people."""
        given = self.base.network.encoder_weights
        return {"imagenet": "ImageNet, from the hub", "none": "random"}.get(given, Path(given).name)

    def recursion(self, rounds: int, grabcut: bool = True) -> Run:
        """The run of rounds of equal length, with GrabCut between them or without."""
        name = "recursion" if grabcut else "recursion-without-grabcut"
        return self.fit(name, {} if grabcut else {"enhance": {"between_rounds": False}}, rounds)

    def keep(
        self,
        title: str,
        headers: Sequence[str],
        rows: Sequence[Sequence[object]],
        remarks: Sequence[str],
        figures: dict[str, Any],
    ) -> None:
        """Write ``<name>.json`` and ``<name>.md``, with ``-small`` in their names for the small version, and print it.

        Args:
            title: What the table shows.
            headers: Of its columns.
            rows: Its cells; numbers are shown with three digits.
            remarks: Sentences below the table.
            figures: All that was measured, for programs.
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
        """The result's file of a kind."""
        return self.results / f"{self.name}{'-small' if self.small else ''}.{ending}"


def open_experiment(
    name: str, doc: str | None, arguments: Sequence[str] | None, task: Task = "classes", small: Changes | None = None
) -> Experiment:
    """Read the arguments that all experiments have, and check that the data are there.

    Args:
        name: Of the experiment's file.
        doc: Its docstring.
        arguments: Of the command line.
        task: What the network learns.
        small: What the small version changes of the recipe; ``--config`` lies over it.

    Raises:
        ConfigError: The settings cannot work.
        DataError: The folder lacks a part.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data (docs/experiments.md)")
    parser.add_argument("--small", action="store_true", help="the data are voc-animals, or shaped like it")
    parser.add_argument("--recipe", help="default: small if small, else paper")
    parser.add_argument("--config", type=Path, help="TOML, laid over the recipe")
    parser.add_argument("--weights", help="network.encoder_weights: a file, or none; default: the recipe's")
    parser.add_argument("--runs", type=Path, default=Path("runs/experiments"), help="where run folders lie")
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("results"))
    options = parser.parse_args(arguments)
    base = load_recipe(options.recipe or ("small" if options.small else "paper"), task)
    if small and options.small:
        base = parse_config(tomli_w.dumps(small), f"{name}.py", base)
    if options.config:
        base = load_config(options.config, base)
    if options.weights:
        base = base.model_copy(update={"network": base.network.model_copy(update={"encoder_weights": options.weights})})
    command = " ".join(["python", f"experiments/{name}.py", *_shown(options)])
    opened = Experiment(name, options.data, options.small, options.runs, options.results, base, command)
    for part in (opened.photos, opened.val):
        if not part.is_dir():
            raise DataError(f"{options.data} must hold the folder {part.relative_to(options.data)}, but it is missing.")
    return opened


def figures_of(run: Run, number: int) -> dict[str, Any]:
    """Figures of a network on photos that it has not seen: mean_iou, iou, confusion_matrix, photos."""
    return dict(read_json(run.metrics(number))["evaluation"])


def mask_iou(run: Run, number: int, stage: str) -> float | None:
    """Mean IoU of the training masks of a stage; none where there is no truth."""
    found = read_json(run.metrics(number)).get("training_masks_iou", {})
    return None if found.get(stage) is None else float(found[stage])


def load_pyplot() -> Any:
    """Matplotlib without a window.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise ConfigError("The plot needs matplotlib: pip install coarse2fine[experiments].") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _shown(options: argparse.Namespace) -> list[str]:
    """The arguments that decide figures; paths by their last part, which is all that others can share."""
    shown = ["--small"] * options.small + ["--data", options.data.name]
    shown += ["--recipe", options.recipe] if options.recipe else []
    shown += ["--config", options.config.name] if options.config else []
    shown += ["--weights", Path(options.weights).name] if options.weights else []
    return [shlex.quote(word) for word in shown]


def _table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    lines = [headers, ["---", *("---:" for _ in headers[1:])], *([_cell(value) for value in row] for row in rows)]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)
