"""Who works on a stage, and how a stage is done once."""

from dataclasses import dataclass, field
from functools import partial

from coarse2fine.runtime.console import Console
from coarse2fine.runtime.processes import World, barrier, count_threads


@dataclass(frozen=True)
class Context:
    """Who works, and who talks.

    Attributes:
        world: The processes of the run.
        console: What a person sees.
    """

    world: World = field(default_factory=World)
    console: Console = field(default_factory=partial(Console, quiet=True))

    @property
    def threads(self) -> int:
        """Threads of this process's mask stages."""
        return count_threads(self.world)

    @property
    def is_main(self) -> bool:
        """Whether this is the first process, which writes what there is only one of."""
        return self.world.rank == 0

    def barrier(self) -> None:
        """Until every process has come this far."""
        barrier(self.world)
