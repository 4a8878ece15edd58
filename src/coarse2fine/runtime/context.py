"""The processes of a run, and where they report to."""

from dataclasses import dataclass, field
from functools import partial

from coarse2fine.runtime.console import Console
from coarse2fine.runtime.metric_loggers import MetricLogger
from coarse2fine.runtime.processes import World, barrier, count_threads


@dataclass(frozen=True)
class Context:
    """The processes that share the work, the console of this process, and the logger of figures.

    Attributes:
        world: Rank of this process, and number of processes.
        console: Where progress, results and warnings are printed.
        logger: Takes the figures of trainings and rounds; None: they are only written to files. Only the main process
            has one.
    """

    world: World = field(default_factory=World)
    console: Console = field(default_factory=partial(Console, quiet=True))
    logger: MetricLogger | None = None

    @property
    def threads(self) -> int:
        """Number of threads that this process uses for the mask stages."""
        return count_threads(self.world)

    @property
    def is_main(self) -> bool:
        """Whether this is the process of rank 0, which writes the files that exist only once."""
        return self.world.rank == 0

    def barrier(self) -> None:
        """Wait until every process has reached this call."""
        barrier(self.world)
