"""Write the report of a run: one self-contained HTML page."""

from pathlib import Path
from typing import Any

from coarse2fine.report import charts
from coarse2fine.report.hints import find_hints
from coarse2fine.report.next_steps import find_next_steps
from coarse2fine.report.photo_rows import draw_groups, draw_left_out
from coarse2fine.report.run_summary import RunSummary, read_run_summary
from coarse2fine.report.tables import count_reasons, count_scores, find_confusions, make_matrix, summarize_class_rows
from coarse2fine.report.template import render_template
from coarse2fine.runtime.files import write_text
from coarse2fine.store.run import Run
from coarse2fine.types import Dataset

TEMPLATE = "page.html.j2"

MAX_SKIPPED = 30
"""Maximum number of skipped files that are listed."""

MAX_NAMED = 50
"""Maximum number of photos with the lowest scores that are listed by name."""


def write_report(run: Run, dataset: Dataset, out: Path, threads: int) -> RunSummary:
    """Write the report page of a run, finished or not.

    Args:
        run: The run folder.
        dataset: Photos of the run.
        out: The HTML file.
        threads: Number of photos that are drawn at the same time.

    Returns:
        What the page shows.

    Raises:
        DataError: The folder is not a run, a file in it is damaged, or the page cannot be written.
    """
    summary = read_run_summary(run, dataset)
    write_text(out, render(summary, threads))
    return summary


def render(summary: RunSummary, threads: int) -> str:
    """Return the page as HTML; the same run gives the same page."""
    return render_template(TEMPLATE, _collect(summary, threads))


def _collect(summary: RunSummary, threads: int) -> dict[str, Any]:
    """Collect the values that the template shows, in the order of the page."""
    qualities = list(summary.last.qualities.values())
    groups = draw_groups(summary, threads)
    return {
        "run": summary,
        "last": summary.last,
        "evaluated": summary.evaluated,
        "photos": len(summary.dataset.photos),
        "missing": [stage.name for stage in summary.stages if not stage.done],
        "steps": find_next_steps(summary),
        "measured": bool(summary.evaluated) or any(one.masks_iou("enhanced") is not None for one in summary.rounds),
        "hints": find_hints(summary),
        "chart": charts,
        "charts": charts.make_charts(summary),
        "classes": summarize_class_rows(summary),
        "groups": groups,
        "shown": sum(len(group.rows) for group in groups),
        "shown_classes": len({group.class_name for group in groups}),
        "scores": count_scores(qualities),
        "lowest": sorted(qualities, key=lambda quality: (quality.score, quality.photo))[:MAX_NAMED],
        "reasons": [(one, count_reasons(one.reasons)) for one in summary.rounds if one.reasons],
        "left_out": draw_left_out(summary, threads),
        "skipped": summary.dataset.skipped[:MAX_SKIPPED],
        "matrix": make_matrix(summary),
        "confusions": find_confusions(summary),
        "versions": next((one.done.get("versions", {}) for one in reversed(summary.stages) if one.done), {}),
    }
