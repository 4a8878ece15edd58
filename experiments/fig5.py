"""Figure 5 (and 1): photos with their coarse masks, enhanced masks, and the masks of every round.

The paper shows one or two photos per class. Here the first photos of each class are shown, so that nobody selects them.
The run is that of fig6.py with GrabCut, with all rounds it has so far.
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
    """Draw the contact sheet."""
    experiment = open_experiment("fig5", __doc__, arguments, small=EQUAL_ROUNDS)
    run = experiment.recursion(ROUNDS)
    rows = pick_rows(open_dataset(experiment.photos).photos, ROWS)
    picture = experiment.path("png")
    draw_rounds(run, rows, experiment.rounds_of(run), picture, experiment.train_masks)
    print(
        f"{picture}: photos, coarse masks, enhanced masks, every round. "
        "Check the license of the photos before you share it."
    )


if __name__ == "__main__":
    run_safely(main, sys.argv[1:])
