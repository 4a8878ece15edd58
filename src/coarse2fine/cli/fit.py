"""``coarse2fine fit``: photos with one class label each become masks and a network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from coarse2fine.cli.parser import parse_settings
from coarse2fine.config import FitConfig, find_task, load_config, load_recipe, read_task

RECIPE = "small"


def run(arguments: Sequence[str]) -> None:
    """Parse, fit."""
    recipe, rest = take_option(arguments, "--recipe")
    file, rest = take_option(rest, "--config")
    task = find_task(take_option(rest, "--task")[0]) or (read_task(Path(file)) if file else None)
    base = load_recipe(recipe or RECIPE, task or "classes")
    if file:
        base = load_config(Path(file), base)

    def fit(  # the flags of the command, with their help
        data: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")],
        out: Annotated[Path, tyro.conf.arg(metavar="RUN")],
        settings: Annotated[FitConfig, tyro.conf.arg(name="")] = base,
        recipe: str = recipe or RECIPE,
        config: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
        truth: Annotated[tyro.conf.UseAppendAction[tuple[Path, ...]], tyro.conf.arg(metavar="TRUTH")] = (),
        start_from: Annotated[Path | None, tyro.conf.arg(metavar="MASKS")] = None,
        quiet: bool = False,
    ) -> None:
        """Turn photos with one class label each into pixel masks and a network that finds all classes.

        DATA holds one sub-folder of photos per class, or is a CSV or Parquet table with the columns path and label.
        With --task foreground photos need no label: DATA is any folder of photos, or a table with the column path.
        The same command on the same RUN goes on where it stopped; a changed setting redoes only what depends on it.

        Like this:
          coarse2fine fit photos --out runs/pets
          coarse2fine fit photos --out runs/pets --rounds 4 --coarse.method box --train.epochs 3 4 6
          coarse2fine fit photos.csv --out runs/pets --recipe paper --truth val
          coarse2fine fit photos --out runs/objects --task foreground

        Args:
            data: Class folders (DATA/CLASS/**/photo.jpg), or a .csv or .parquet table.
            out: The run folder: everything goes there.
            settings: Every setting of every stage.
            recipe: Settings to begin with: paper (DeepLab v2, ResNet-101), small (two CPU cores will do) or demo.
            config: A TOML file with settings, laid over the recipe; config.toml of a run fits.
            truth: Measures, never trains: a folder with images and masks, or with true masks named like your photos, or
                a public data set such as VOCdevkit/VOC2012 (see evaluate --help).
            start_from: Masks that people corrected: a folder of masks named like your photos, or an export of Label
                Studio (JSON) or CVAT (CVAT for images 1.1). They are kept in RUN/corrected; every round trains on them
                and leaves them as they are.
            quiet: Print only warnings and errors.
        """
        from coarse2fine.pipeline.fit import fit as run_fit

        run_fit(data, out, settings, truth, quiet, start_from)

    parse_settings(fit, rest, "fit")


def take_option(arguments: Sequence[str], name: str) -> tuple[str | None, list[str]]:
    """Take ``--name VALUE`` or ``--name=VALUE`` out of the arguments; its value decides the defaults of the others."""
    rest = list(arguments)
    for index, argument in enumerate(rest):
        if argument == name and index + 1 < len(rest):
            return rest[index + 1], rest[:index] + rest[index + 2 :]
        if argument.startswith(f"{name}="):
            return argument.partition("=")[2], rest[:index] + rest[index + 1 :]
    return None, rest
