"""Rounds that make the masks worse: they are found without ground truth and do not count."""

import shutil
from collections.abc import Mapping

from coarse2fine.pipeline.job import FitJob

MAX_LOST_SHARE = 0.5
"""A round has collapsed if the filter leaves out more than this share of the photos that its network was trained on.

Measured on subsets of 10 to 1,855 photos of voc-animals, pascal20 and blood-cells (docs/log.md, 2026-11-29): 60 of 60
photos are lost after 15 optimizer steps, at most 15 % after 100 steps or more.
"""


def has_collapsed(job: FitJob, before: Mapping[str, str], after: Mapping[str, str]) -> bool:
    """Return whether most photos that trained in a round are left out after it: their masks flooded or vanished.

    Args:
        job: The run.
        before: Names of the photos that did not train in the round, with the reason.
        after: Names of the photos that the next round would leave out, with the reason.
    """
    trained, lost = _find_lost(job, before, after)
    return len(lost) > MAX_LOST_SHARE * len(trained)


def undo_round(job: FitJob, number: int, before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Move a collapsed round out of the way, so that the result is that of the round before, and say so.

    Args:
        job: The run.
        number: The round.
        before: As for :func:`has_collapsed`.
        after: As for :func:`has_collapsed`.
    """
    trained, lost = _find_lost(job, before, after)
    run, limits = job.run, job.config.filter
    if job.context.is_main:
        shutil.rmtree(run.collapsed(number), ignore_errors=True)
        run.round(number).rename(run.collapsed(number))
        job.context.console.warn(
            f"Round {number} collapsed: {len(lost)} of its {len(trained)} training photos have a refined mask that "
            f"covers less than {limits.min_share:.0%} or more than {limits.max_share:.0%} of the photo. The run ends "
            f"with the masks before it, {run.enhanced(number - 1)}; the collapsed round is kept in "
            f"{run.collapsed(number)}. Look at the masks that it was trained on. If they are good, train longer: "
            "--train.min-steps 300. If not, choose another --coarse.method."
        )
    job.context.barrier()


def restore_round(job: FitJob, number: int) -> None:
    """Move the folder of a round that collapsed in an earlier call back, so that the round is not computed again."""
    run = job.run
    if job.context.is_main and run.collapsed(number).exists():
        shutil.rmtree(run.round(number), ignore_errors=True)
        run.collapsed(number).rename(run.round(number))
    job.context.barrier()


def _find_lost(job: FitJob, before: Mapping[str, str], after: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return the names of the photos that trained, and of those among them that are left out afterwards."""
    trained = [photo.name for photo in job.photos if photo.name not in before]
    return trained, [name for name in trained if name in after]
