"""``coarse2fine demo``: the whole pipeline on drawn photos, without any download."""

from collections.abc import Sequence
from pathlib import Path

from coarse2fine.cli.parser import parse_settings

ROWS = 8


def run(arguments: Sequence[str]) -> None:
    """Parse, draw, fit, show."""
    parse_settings(demo, arguments, "demo")


def demo(out: Path = Path("demo"), seed: int = 0, quiet: bool = False) -> None:
    """Draw photos of six classes and turn their labels into masks and a network, in a few minutes on two cores.

    Writes OUT/data (photos, true masks to measure with), OUT/run (the run) and OUT/rounds.png (how the masks grow).
    Use it on your own photos in the same way: coarse2fine fit PHOTOS --out RUN.

    Args:
        out: Where everything goes.
        seed: Other seeds draw other photos.
        quiet: Print only warnings and errors.
    """
    from coarse2fine.config import load_recipe
    from coarse2fine.data import open_dataset
    from coarse2fine.data.synthetic import draw_dataset
    from coarse2fine.pipeline.fit import fit
    from coarse2fine.report.contact_sheet import draw_rounds, pick_rows
    from coarse2fine.runtime.console import Console

    console = Console(quiet)
    data, settings = out / "data", load_recipe("demo")
    if not (data / "classes.txt").exists():
        console.say("drawing photos ...")
        draw_dataset(data, seed)
    run = fit(data / "train", out / "run", settings, [data / "val", data / "train_masks"], quiet)
    picture = out / "rounds.png"
    rows = pick_rows(open_dataset(data / "train").photos, ROWS)
    draw_rounds(run, rows, settings.rounds, picture, data / "train_masks")
    console.say(f"look at {picture}: photos, coarse masks, enhanced masks, every round, truth", style="bold green")
