"""Log of a training: loss and learning rate over the optimizer steps."""

import importlib.util
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from coarse2fine.runtime.files import read_csv, write_csv
from coarse2fine.runtime.metric_loggers import MetricLogger

LOG_EVERY_STEPS = 10
COLUMNS = ("step", "loss", "learning_rate")


class Log(Protocol):
    """Write the loss and the learning rate of an optimizer step."""

    def __call__(self, step: int, loss: float, learning_rate: float) -> None: ...  # noqa: D102


@contextmanager
def open_log(
    folder: Path, first_step: int, title: str = "training", logger: MetricLogger | None = None
) -> Iterator[Log]:
    """Open ``<folder>/log.csv`` and, if tensorboard is installed, an event file in ``<folder>/tensorboard``.

    Rows of steps before ``first_step`` are kept. Later rows come from a training that was killed after its last
    checkpoint: they are removed, because the resumed training writes them again.

    Args:
        folder: Folder of the training.
        first_step: Step at which the training starts or resumes.
        title: Title of the training. It names the figures in ``logger``: "round 1: training" as ``round-1-training``.
        logger: Takes the same figures. Unlike the files, it keeps later rows.

    Yields:
        A function that logs a step. It writes every tenth step and ignores the others.
    """
    path, group = folder / "log.csv", re.sub(r"\W+", "-", title)
    rows = read_csv(path, COLUMNS) if first_step and path.exists() else []
    write_csv(path, COLUMNS, [[row[name] for name in COLUMNS] for row in rows if int(row["step"]) < first_step])
    board = None
    if importlib.util.find_spec("tensorboard"):
        from torch.utils.tensorboard.writer import SummaryWriter

        board = SummaryWriter(folder / "tensorboard", purge_step=first_step)
    with path.open("a", encoding="utf-8", newline="") as file:

        def log(step: int, loss: float, learning_rate: float) -> None:
            if step % LOG_EVERY_STEPS:
                return
            file.write(f"{step},{loss:.6g},{learning_rate:.6g}\r\n")
            file.flush()
            if board:
                board.add_scalar("loss", loss, step)
                board.add_scalar("learning_rate", learning_rate, step)
            if logger:
                logger.log(group, step, {"loss": loss, "learning_rate": learning_rate})

        try:
            yield log
        finally:
            if board:
                board.close()
