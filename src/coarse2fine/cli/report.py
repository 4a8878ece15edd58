"""``coarse2fine report``: a run folder becomes one HTML page, or the comparison of two runs."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from coarse2fine.cli.parser import Json, Quiet, parse_and_call

if TYPE_CHECKING:
    from coarse2fine.runtime.console import Console
    from coarse2fine.store.run import Run
    from coarse2fine.types import Dataset


def run(arguments: Sequence[str]) -> None:
    """Parse the options, measure missing quality scores and write the page."""
    parse_and_call(report, arguments, "report")


def report(
    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")],
    out: Path | None = None,
    compare: Annotated[Path | None, tyro.conf.arg(metavar="RUN")] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> dict[str, Any]:
    """Write one self-contained HTML page about a run: masks of all rounds, scores, photos left out, what to do next.

    fit writes the page at its end. This command writes it again, or before the run is finished. Quality scores
    (quality.csv) that are missing are measured first. With --compare, the page shows the masks and figures of two runs
    on the same photos beside each other, the photos whose masks differ most first.

    For example:
      coarse2fine report runs/pets
      coarse2fine report runs/pets --out pets.html
      coarse2fine report runs/pets --compare runs/pets-2

    Args:
        run: Run folder of fit, finished or not.
        out: File of the page; default: RUN/report.html, or RUN/comparison.html.
        compare: Another run folder with the same photos; write the comparison of both instead.
        quiet: Print only warnings and errors.
        json: Print the result as one JSON object; all other output goes to standard error.
    """
    from coarse2fine.report.comparison_page import write_comparison
    from coarse2fine.report.next_steps import find_next_steps
    from coarse2fine.report.page import write_report
    from coarse2fine.report.run_summary import read_run_summary
    from coarse2fine.runtime.console import Console
    from coarse2fine.runtime.device import count_cores
    from coarse2fine.store.photos import read_photos
    from coarse2fine.store.run import Run

    places, console = [Run(folder) for folder in (run, compare) if folder], Console(quiet)
    datasets = [read_photos(place) for place in places]
    for place, dataset in zip(places, datasets, strict=True):
        measure_unless_busy(place, dataset, console)
    if compare:
        target = out or run / "comparison.html"
        first, second = map(read_run_summary, places, datasets)
        comparison = write_comparison(first, second, target, count_cores())
        console.say(f"comparison: {target}", style="green")
        return {"report": str(target), "photos": len(comparison.ious), "mean_iou": comparison.mean_iou}
    target = out or places[0].report
    summary = write_report(places[0], datasets[0], target, count_cores())
    console.say(f"report: {target}", style="green")
    steps = find_next_steps(summary)
    console.say(f"next: {steps[0].text}\n  {steps[0].command}")
    return {"report": str(target), "next_steps": [asdict(step) for step in steps]}


def measure_unless_busy(run: "Run", dataset: "Dataset", console: "Console") -> None:
    """Measure the quality scores that are missing, unless fit is running on the run folder."""
    from coarse2fine.evaluation.mask_quality import list_unmeasured_rounds
    from coarse2fine.runtime.lock import LockedError, lock_file
    from coarse2fine.store.lock import LOCK

    if not list_unmeasured_rounds(run):
        return
    locked = f"fit is running on {run.root}: the page shows what is finished so far"
    try:
        with lock_file(run.root / LOCK, locked, "Make it writable, so that quality scores can be saved."):
            from coarse2fine.pipeline.quality_stage import write_missing_quality
            from coarse2fine.runtime.context import Context

            write_missing_quality(run, dataset, Context(console=console))
    except LockedError as error:
        console.say(str(error))
