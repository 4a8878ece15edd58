"""``coarse2fine fit``: photos with class labels, usually one each, become masks and a network."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
from pydantic import create_model

from coarse2fine.cli.parser import Json, Quiet, parse_ahead, parse_and_call
from coarse2fine.config import FitConfig, Settings, find_task, load_config, load_recipe, read_task
from coarse2fine.runtime.device import Device
from coarse2fine.runtime.metric_loggers import LoggerName, check_logger

SHORT_HELP = (
    "task",
    "rounds",
    "seed",
    "coarse.method",
    "enhance.method",
    "network.name",
    "network.encoder",
    "network.encoder_weights",
    "train.epochs",
    "train.batch",
    "train.resize_px",
)
"""Settings that ``fit --help`` shows; ``fit --help-all`` shows all."""


def run(arguments: Sequence[str]) -> None:
    """Parse the options and run fit; ``--recipe``, ``--config`` and ``--task`` decide the defaults of all settings."""
    recipe, base = parse_ahead(choose_defaults, arguments, "fit")
    if "--help-all" in arguments:
        parse_and_call(_make_command(FitConfig, base, recipe), ["--help"], "fit")
    elif {"-h", "--help"} & set(arguments):
        short = select_settings(FitConfig, SHORT_HELP)
        values = short.model_validate(_pick(base.model_dump(), short))
        parse_and_call(_make_command(short, values, recipe), ["--help"], "fit")
    parse_and_call(_make_command(FitConfig, base, recipe), arguments, "fit")


def choose_defaults(
    recipe: str = "small", config: Path | None = None, task: str | None = None
) -> tuple[str, FitConfig]:
    """Return the name of the recipe, and the settings that apply if no other option is given."""
    base = load_recipe(recipe, find_task(task) or (read_task(config) if config else None) or "classes")
    return recipe, load_config(config, base) if config else base


def select_settings(kind: type[Settings], names: Sequence[str], prefix: str = "") -> type[Settings]:
    """Return a class with only some of the settings of another one, given by their full names."""
    fields: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        path, section = f"{prefix}{name}", field.annotation
        if isinstance(section, type) and issubclass(section, Settings):
            if any(one.startswith(f"{path}.") for one in names):
                inner = select_settings(section, names, f"{path}.")
                fields[name] = (inner, inner())
        elif path in names:
            fields[name] = (section, field)
    return create_model(kind.__name__, __base__=Settings, __doc__=kind.__doc__, **fields)


def _pick(values: dict[str, Any], kind: type[Settings]) -> dict[str, Any]:
    picked: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Settings):
            picked[name] = _pick(values[name], section)
        else:
            picked[name] = values[name]
    return picked


def _make_command(kind: type[Settings], base: Settings, name: str) -> Callable[..., dict[str, Any] | None]:
    def fit(
        data: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")],
        out: Annotated[Path, tyro.conf.arg(metavar="RUN")],
        settings: Annotated[kind, tyro.conf.arg(name="")] = base,  # type: ignore[valid-type]
        recipe: Annotated[str, tyro.conf.arg(metavar="NAME")] = name,
        config: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
        ground_truth: Annotated[tyro.conf.UseAppendAction[tuple[Path, ...]], tyro.conf.arg(metavar="DIR")] = (),
        start_from: Annotated[Path | None, tyro.conf.arg(metavar="MASKS")] = None,
        negatives: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
        device: Device = "auto",
        threads: int | None = None,
        logger: Annotated[LoggerName | None, tyro.conf.arg(metavar="NAME")] = None,
        quiet: Quiet = False,
        json: Json = False,
        help_all: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    ) -> dict[str, Any] | None:
        """Train masks and a segmentation network from photos with class labels.

        DATA has one sub-folder of photos per class, or is a table with the columns path and label. The same command
        resumes a stopped run; a changed setting redoes only what depends on it, and deletes the files that this
        replaces.

        For example:
          coarse2fine fit photos --out runs/pets
          coarse2fine fit photos --out runs/objects --task foreground

        Args:
            data: Class folders, a table, or an archive.
            out: Run folder for all results.
            settings: Settings of all stages.
            recipe: small, paper (a GPU), demo (drawn photos).
            config: TOML settings file, on top of the recipe.
            ground_truth: Masks to measure with, never to train: of these photos or of others, see evaluate --help.
            start_from: Corrected masks, used unchanged: a folder, or an export of Label Studio or CVAT.
            negatives: Folder of photos without any class.
            device: auto: the CUDA GPU if there is one.
            threads: CPU threads; default: one per core.
            logger: Send figures to wandb or mlflow.
            quiet: Print only warnings and errors.
            json: Print JSON; all else goes to stderr.
            help_all: Show the help of all settings.
        """
        from coarse2fine.data import check_dataset_path

        check_logger(logger)
        full: FitConfig = settings
        check_dataset_path(data, full.task == "classes")  # importing torch takes seconds: check first
        from coarse2fine.pipeline.fit import fit as run_fit
        from coarse2fine.report.facts import describe_run
        from coarse2fine.runtime.processes import find_world

        run = run_fit(data, out, full, ground_truth, quiet, start_from, negatives, device, threads, logger)
        return describe_run(run) if find_world().rank == 0 else None

    return fit


fit_with_defaults = _make_command(FitConfig, FitConfig(), "small")
"""The command with the defaults of the recipe ``small``."""
