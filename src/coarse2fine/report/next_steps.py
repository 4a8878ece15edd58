"""Say what to do next with a run, with the command for exactly this run."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from coarse2fine.report.hints import FEW_PHOTOS, MANY_SHARE, find_rise, list_small_classes
from coarse2fine.report.run_summary import RunSummary

DOUBTFUL_SCORE = 0.4
"""A mask with a lower quality score is doubtful.

Such masks had a mean IoU with the ground truth of about .5 or less, masks with higher scores a higher one
(docs/quality.md, the table by score).
"""


@dataclass(frozen=True)
class NextStep:
    """Something to do next.

    Attributes:
        text: Why, and what it does, in one or two sentences.
        command: The command line.
    """

    text: str
    command: str


def find_next_steps(summary: RunSummary) -> list[NextStep]:
    """Find what to do next with a run, the most important step first.

    Args:
        summary: The run, finished or not.

    Returns:
        At least one step. Commands name the run folder as it was given, so they work in the same working directory.
    """
    if not summary.is_finished:
        text = "The run is not finished. Run fit again, with your options if you had others: it resumes."
        return [NextStep(text, _fit(summary))]
    many = len(list_doubtful(summary)) > MANY_SHARE * len(summary.dataset.labeled)
    review, use = [*_review(summary)], [*_add_round(summary), *_use(summary)]
    return [*_after_collapse(summary), *_add_photos(summary), *(review + use if many else use + review)]


def list_doubtful(summary: RunSummary) -> list[str]:
    """List the photos with labels whose last mask is doubtful: a score below `DOUBTFUL_SCORE`, or left out."""
    last = summary.last
    low = {name for name, quality in last.qualities.items() if quality.score < DOUBTFUL_SCORE}
    return [photo.name for photo in summary.dataset.labeled if photo.name in low or photo.name in (last.reasons or {})]


def _after_collapse(summary: RunSummary) -> Iterator[NextStep]:
    if not summary.has_collapsed:
        return
    number = summary.total_rounds + 1
    what = f"Round {number} collapsed: most of its refined masks covered nearly nothing or nearly the whole photo."
    longer = _fit(summary, "--train.min-steps", "300")
    where = "before round 1" if number == 1 else f"of round {number - 1}"
    network = " and there is no network" if number == 1 else ""
    yield NextStep(
        f"{what} The masks shown are those {where}{network}. If they are right, train longer:",
        longer,
    )
    method = summary.coarse_choice.get("method", summary.settings["coarse"]["method"])
    other = "saliency" if method == "student" else "student"
    yield NextStep(
        f"If they are wrong, start from other coarse masks than {method}, in a new run:",
        _fit(summary, "--coarse.method", other, out=_new_run(summary)),
    )


def _add_photos(summary: RunSummary) -> Iterator[NextStep]:
    small = list_small_classes(summary.dataset)
    if small:
        names = ", ".join(small[:3]) + (f" and {len(small) - 3} more" if len(small) > 3 else "")
        yield NextStep(
            f"Fewer than {FEW_PHOTOS} photos: {names}. Add photos to {summary.data}; some dozens of each class are "
            "good. Then start a new run:",
            _fit(summary, out=_new_run(summary)),
        )


def _add_round(summary: RunSummary) -> Iterator[NextStep]:
    rise = find_rise(summary)
    if rise and not summary.has_collapsed:
        yield NextStep(f"{rise} Add a round:", _fit(summary, "--rounds", str(summary.total_rounds + 1)))


def _review(summary: RunSummary) -> Iterator[NextStep]:
    """Steps that correct doubtful masks; none if there are no such masks."""
    photos, doubtful = len(summary.dataset.labeled), len(list_doubtful(summary))
    if not doubtful:
        return
    why = f"score below {DOUBTFUL_SCORE:g} or left out of training" if summary.last.qualities else "left out"
    yield NextStep(
        f"{doubtful} of {photos} masks {'is' if doubtful == 1 else 'are'} doubtful ({why}). Accept, correct or reject "
        f"{'it' if doubtful == 1 else 'them'} on the review page:",
        shlex.join(["coarse2fine", "app", str(summary.run.root)]),
    )
    yield NextStep(
        "After the review, run fit again: it keeps your masks unchanged and computes anew what depends on them.",
        _fit(summary),
    )


def _use(summary: RunSummary) -> Iterator[NextStep]:
    """Steps that use masks and network."""
    root = summary.run.root
    if summary.total_rounds:
        yield NextStep(
            "Find the objects in new photos:" if summary.is_foreground_only else "Find all classes in new photos:",
            shlex.join(["coarse2fine", "predict", str(root), "PHOTOS", "--out", f"{root}-predicted"]),
        )
    yield NextStep(
        "Hand the masks over to another tool; --help lists the formats:",
        shlex.join(["coarse2fine", "export", str(root), "--format", "coco", "--out", f"{root}-coco"]),
    )


def _fit(summary: RunSummary, *options: str, out: Path | None = None) -> str:
    """Return the command that runs ``fit`` with the settings of the run, and with more options."""
    run = summary.run
    command = ["coarse2fine", "fit", str(summary.data), "--out", str(out or run.root)]
    command += ["--config", str(run.config)]
    command += ["--negatives", str(summary.negatives)] if summary.negatives else []
    return shlex.join([*command, *options])


def _new_run(summary: RunSummary) -> Path:
    """Return the path of a new run folder beside the run."""
    root, number = summary.run.root, 2
    while (path := root.with_name(f"{root.name}-{number}")).exists():
        number += 1
    return path
