"""Who works on a stage, and how a stage is done once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from coarse2fine.runtime.console import Console
from coarse2fine.runtime.processes import World, barrier, count_threads
from coarse2fine.store.run import Stage, measure_seconds


@dataclass(frozen=True)
class Crew:
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
    def leads(self) -> bool:
        """Whether this is the first process, which writes what there is only one of."""
        return self.world.rank == 0

    def wait(self) -> None:
        """Until every process has come this far."""
        barrier(self.world)


def run_stage(stage: Stage, crew: Crew, work: Callable[[], dict[str, object] | None]) -> bool:
    """Do a stage unless it is done; go on with it where an earlier run stopped.

    Args:
        stage: Its folder, and what it depends on.
        crew: Who works.
        work: Does it, in every process; may return counts for ``done.json``.

    Returns:
        Whether there was something to do.
    """
    if stage.is_done():
        crew.console.say(f"{stage.title}: done before", style="dim")
        return False
    crew.wait()
    if crew.leads:
        why = stage.begin()
        if why:
            crew.console.say(f"{stage.title}: done again, because {why}", style="yellow")
    crew.wait()
    with measure_seconds() as seconds:
        counts = work() or {}
        crew.wait()
    if crew.leads:
        stage.finish(seconds[0], **counts)
    crew.wait()
    return True
