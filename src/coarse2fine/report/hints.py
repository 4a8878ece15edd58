"""Point out unusual results of a run, by plain rules; ``next_steps.py`` names the commands."""

from collections import Counter
from collections.abc import Sequence

from coarse2fine.evaluation.mask_quality import summarize_classes
from coarse2fine.report.run_summary import RoundSummary, RunSummary
from coarse2fine.types import Dataset

MIN_RISE = 0.01
"""A metric that rises by more than this in the last round is still rising."""

WEAK_BY = 0.1
"""A class is weak if its mean score is lower than the mean of all masks by more than this."""

MIN_GOOD_LEFT_OUT = 3
"""At least this many photos with good scores must be left out before the limits are questioned."""

MANY_SHARE = 0.1
"""More than this share of the photos are many."""

FEW_PHOTOS = 10
"""A class with fewer photos is small.

With 2 or 5 photos per class the masks were no better after three rounds than before training; with 12 per class they
were .002 to .065 better (docs/log.md, 2026-11-29, voc-animals, pascal20 and blood-cells).
"""

MIN_CLASS_SHARE = 0.1
"""A class with fewer photos than this share of the largest class is much smaller than the others.

The share of eosinophils in the largest class of blood-cells is .13, and they are learned (docs/log.md, 2026-11-29).
"""


def find_hints(summary: RunSummary) -> list[str]:
    """Return one sentence or two about each unusual result, with a setting to change; empty if nothing is unusual."""
    hints = [
        _check_weak_classes(summary),
        *_explain_rare_classes(summary.dataset),
        _check_left_out(summary),
        _check_good_left_out(summary.last),
    ]
    return [hint for hint in hints if hint]


def find_rise(summary: RunSummary) -> str | None:
    """Return a sentence if the metric on other photos still rose in the last round; None if not or not known.

    The mean quality score does not tell: it rises with each round, as networks agree more with themselves, also
    where the masks get worse (docs/log.md, 2026-11-30).
    """
    values = [one.main_metric for one in summary.rounds if one.main_metric is not None]
    if len(values) < 2 or values[-1] - values[-2] <= MIN_RISE:
        return None
    name = summary.rounds[-1].main_metric_name
    return f"The {name} still rose in the last round, from {values[-2]:.3f} to {values[-1]:.3f}."


def _check_weak_classes(summary: RunSummary) -> str | None:
    classes, mean = summarize_classes(list(summary.last.qualities.values())), summary.last.mean_score
    weak = [one.class_name for one in classes if mean is not None and one.mean_score < mean - WEAK_BY]
    if not weak:
        return None
    return f"The masks of {_join(weak)} have lower scores than those of the other classes. Check these masks first."


def explain_small_classes(dataset: Dataset) -> list[str]:
    """Return a sentence or two about classes with few photos, and about classes with many fewer than the largest."""
    few = list_small_classes(dataset)
    hint = (
        f"Fewer than {FEW_PHOTOS} photos: {_join(few)}. Training hardly improves the masks of so small a class, "
        "and other photos are not recognized reliably. Add photos; some dozens of each class are good."
    )
    return [hint] * bool(few) + _explain_rare_classes(dataset)


def _explain_rare_classes(dataset: Dataset) -> list[str]:
    named = _count_photos(dataset)
    largest = max((count for _, count in named), default=0)
    rare = [f"{name} ({count})" for name, count in named if FEW_PHOTOS <= count < MIN_CLASS_SHARE * largest]
    hint = (
        f"Fewer than {100 * MIN_CLASS_SHARE:g} % of the photos of the largest class ({largest}): {_join(rare)}. "
        "Training draws these photos more often, but different photos would help more. Add photos of these classes."
    )
    return [hint] * bool(rare)


def list_small_classes(dataset: Dataset) -> list[str]:
    """List the classes with fewer than `FEW_PHOTOS` photos, each with its number of photos, such as ``cat (3)``."""
    return [f"{name} ({count})" for name, count in _count_photos(dataset) if count < FEW_PHOTOS]


def _count_photos(dataset: Dataset) -> list[tuple[str, int]]:
    """Count the photos of each class."""
    counts = Counter(label for photo in dataset.photos for label in photo.labels)
    return [(name, counts[label]) for label, name in enumerate(dataset.classes) if label]


def _check_left_out(summary: RunSummary) -> str | None:
    photos, gone = len(summary.dataset.labeled), len(summary.last.reasons or {})
    if gone <= MANY_SHARE * photos:
        return None
    if not summary.last.number:
        return (
            f"{gone} of {photos} photos were left out {summary.last.when}, because their mask is empty or a person "
            "rejected them. If many masks are empty, choose another --coarse.method."
        )
    return (
        f"{gone} of {photos} photos were left out {summary.last.when}. Check under 'Photos left out' that their "
        "masks are wrong; if they are right, change the limits --filter.min-share and --filter.max-share."
    )


def _check_good_left_out(last: RoundSummary) -> str | None:
    """Check for left-out masks with scores above the mean: usually objects that fill the photo, or tiny ones."""
    mean = last.mean_score
    scores = [last.qualities[name].score for name in last.reasons or {} if name in last.qualities]
    good = [score for score in scores if mean is not None and score > mean]
    if len(good) < MIN_GOOD_LEFT_OUT or len(good) <= MANY_SHARE * len(scores):
        return None
    return (
        f"{len(good)} of the {len(scores)} photos left out {last.when} have masks with scores above the mean. "
        "If they look right under 'Photos left out', change the limits --filter.min-share and --filter.max-share."
    )


def _join(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
