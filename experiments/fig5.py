"""Figure 5 (and 1): photos with their coarse and enhanced masks and those of every round.

The paper shows one or two photos per class. Here they are the first photos of each class in turn, so nobody chose them.
The run is that of fig6.py with GrabCut, as far as it has come.
"""

import sys
from collections.abc import Sequence

from common import EQUAL_ROUNDS, open_experiment

from coarse2fine.cli.exit_status import run_safely
from coarse2fine.data import open_dataset
from coarse2fine.report.contact_sheet import draw_rounds, pick_rows

ROWS = 10
ROUNDS = 3


def main(arguments: Sequence[str] | None = None) -> None:
    """One picture."""
    experiment = open_experiment("fig5", __doc__, arguments, small=EQUAL_ROUNDS)
    run = experiment.recursion(ROUNDS)
    rows = pick_rows(open_dataset(experiment.photos).photos, ROWS)
    picture = experiment.path("png")
    draw_rounds(run, rows, experiment.rounds_of(run), picture, experiment.train_masks)
    print(f"{picture}: photos, coarse and enhanced masks, every round. Mind the terms of the photos before sharing it.")


if __name__ == "__main__":
    run_safely(main, sys.argv[1:])
