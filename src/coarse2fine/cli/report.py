"""``coarse2fine report``: a run folder becomes one page to look at."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from coarse2fine.cli.parser import parse_settings

if TYPE_CHECKING:
    from coarse2fine.runtime.console import Console
    from coarse2fine.store.run import Run
    from coarse2fine.types import Dataset


def run(arguments: Sequence[str]) -> None:
    """Parse, judge what was not judged yet, write the page."""
    parse_settings(report, arguments, "report")


def report(
    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")],
    out: Path | None = None,
    quiet: bool = False,
) -> None:
    """Write one self-contained HTML page about a run: masks from round to round, quality, what was left out and why.

    fit writes it at its end; this verb writes it again, or while a run is not finished. The masks of an older run are
    judged first (quality.csv).

    Like this:
      coarse2fine report runs/pets
      coarse2fine report runs/pets --out pets.html

    Args:
        run: A run folder of fit, finished or not.
        out: The page; default: RUN/report.html.
        quiet: Print only warnings and errors.
    """
    from coarse2fine.report.page import write_report
    from coarse2fine.runtime.console import Console
    from coarse2fine.runtime.device import count_cores
    from coarse2fine.store.photos import read_photos
    from coarse2fine.store.run import Run

    places, console = Run(run), Console(quiet)
    dataset = read_photos(places)
    judge_unless_busy(places, dataset, console)
    target = out or places.report
    write_report(places, dataset, target, count_cores())
    console.say(f"look at it: {target}", style="green")


def judge_unless_busy(run: "Run", dataset: "Dataset", console: "Console") -> None:
    """Judge the rounds that were not judged yet; those of a run that fit works on are left to it."""
    from filelock import FileLock, Timeout

    from coarse2fine.evaluation.mask_quality import list_unmeasured_rounds

    if not list_unmeasured_rounds(run):
        return
    try:
        with FileLock(run.root / ".lock", timeout=0):
            from coarse2fine.pipeline.quality_stage import write_missing_quality
            from coarse2fine.runtime.context import Context

            write_missing_quality(run, dataset, Context(console=console))
    except Timeout:
        console.say(f"fit works on {run.root}: the page tells what is there so far")
