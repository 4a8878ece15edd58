"""``rounds = auto``: end a run with one long round as soon as the masks hardly change."""

from coarse2fine.pipeline.job import FitJob
from coarse2fine.runtime.files import write_json
from coarse2fine.store.stages import Stage

CONVERGED_AGREEMENT = 0.9
"""A run has converged if the refined masks of a round agree with its training masks, on average, by this IoU.

After round 1 the mean agreement is .93 on blood-cells, where no round changes the IoU of the masks, .78 on 60 photos of
voc-animals and .58 on pascal20, where rounds improve them (docs/log.md, 2026-11-29).
"""


def forget_early_end(job: FitJob) -> int:
    """Remove the record of an early end, which an earlier call wrote, and return the largest number of rounds."""
    if job.context.is_main:
        job.run.early_end.unlink(missing_ok=True)
    job.context.barrier()
    return job.config.most_rounds


def has_converged(job: FitJob, quality: Stage) -> bool:
    """Return whether ``rounds = auto`` skips to the last round.

    Args:
        job: The run.
        quality: The quality stage of the round that is done.
    """
    return job.config.rounds == "auto" and quality.done().get("agreement", 0) >= CONVERGED_AGREEMENT


def end_early(job: FitJob, number: int) -> int:
    """Record that a round is the last one, say so, and return its number."""
    if job.context.is_main:
        write_json(job.run.early_end, {"round": number})
        job.context.console.say(
            f"Round {number - 1} hardly changed the masks, so round {number} is the last one. It trains as long as "
            f"round {job.config.most_rounds} would. For more rounds, set --rounds {job.config.most_rounds}.",
            style="bold",
        )
    job.context.barrier()
    return number
