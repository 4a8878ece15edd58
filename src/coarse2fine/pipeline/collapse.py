"""Rounds whose masks flooded or vanished: they are found without ground truth and do not count."""

from collections import Counter
from collections.abc import Mapping

from coarse2fine.pipeline.job import FitJob

MAX_LOST_SHARE = 0.5
"""A round has collapsed if the filter leaves out more than this share of the photos that its network was trained on.

Measured on subsets of 10 to 1,855 photos of voc-animals, pascal20 and blood-cells (docs/log.md, 2026-11-29): 60 of 60
photos are lost after 15 optimizer steps, at most 15 % after 100 steps or more.
"""

MIN_CLASS_PHOTOS = 3
"""Classes with fewer photos are not checked: one or two masks can be lost by chance."""


def explain_collapse(job: FitJob, before: Mapping[str, str], after: Mapping[str, str]) -> str | None:
    """Return a sentence if most photos that trained in a round are left out after it, else None.

    Args:
        job: The run.
        before: Names of the photos that did not train in the round, with the reason.
        after: Names of the photos that the next round would leave out, with the reason.
    """
    trained = [photo.name for photo in job.labeled if photo.name not in before]
    lost = sum(name in after for name in trained)
    if lost <= MAX_LOST_SHARE * len(trained):
        return None
    limits = job.config.filter
    return (
        f"{lost} of its {len(trained)} training photos have a refined mask that covers less than "
        f"{100 * limits.min_share:g} % or more than {100 * limits.max_share:g} % of the photo."
    )


def warn_of_lost_classes(job: FitJob, before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Warn of each class most of whose photos trained in a round and are left out after it."""
    if not job.context.is_main:
        return
    trained = Counter(label for photo in job.labeled if photo.name not in before for label in photo.labels)
    lost = Counter(
        label for photo in job.labeled if photo.name not in before and photo.name in after for label in photo.labels
    )
    names = job.dataset.classes
    found = [
        f"{names[label]} ({lost[label]} of {count})"
        for label, count in sorted(trained.items())
        if count >= MIN_CLASS_PHOTOS and lost[label] > MAX_LOST_SHARE * count
    ]
    if found:
        job.context.console.warn(
            f"Most masks of a class were lost in this round: {', '.join(found)} photos are left out of the next round, "
            "because their mask covers nearly nothing or nearly the whole photo. The network may no longer find this "
            "class. Add photos of it, or correct some of its masks in coarse2fine app and run the same command again."
        )


def undo_round(job: FitJob, number: int, why: str) -> None:
    """Move the folder of a collapsed round out of the way, so that the result is that of the round before, and say so.

    Args:
        job: The run.
        number: The round.
        why: From :func:`explain_collapse`.
    """
    run = job.run
    if job.context.is_main:
        run.round(number).rename(run.collapsed(number))
        job.context.console.warn(
            f"Round {number} collapsed: {why} The run ends with the masks before it, {run.enhanced(number - 1)}; the "
            f"collapsed round is kept in {run.collapsed(number)}. Look at the masks that it was trained on. If they "
            "are good, train longer: --train.min-steps 300. If not, choose another --coarse.method."
        )
    job.context.barrier()


def restore_round(job: FitJob, number: int) -> None:
    """Move the folder of a round that collapsed in an earlier call back, so that the round is not computed again."""
    if job.context.is_main and job.run.collapsed(number).exists():
        job.run.collapsed(number).rename(job.run.round(number))
    job.context.barrier()
