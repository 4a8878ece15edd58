"""Figure 6: how does the network get better from round to round, with GrabCut between the rounds and without?

The paper shows mIoU on VOC val over rounds 0 to 5: with GrabCut it is higher in every round, and rises little after
the third or fourth.

Silent in the paper, and chosen here: round 0 is the network trained on the enhanced masks, before any refinement (our
round 1), so that five refinements need six trainings; all trainings are equally long, each from the encoder's weights.
Without GrabCut, the masks that a network gives are what the next one trains on; the first enhancement is the same.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from common import EQUAL_ROUNDS, figures_of, load_pyplot, mask_iou, open_experiment

from coarse2fine import Run
from coarse2fine.cli.exit_status import run_safely
from coarse2fine.runtime.files import write_atomically

REFINEMENTS = 5


def main(arguments: Sequence[str] | None = None) -> None:
    """Both recursions, side by side."""
    experiment = open_experiment("fig6", __doc__, arguments, small=EQUAL_ROUNDS)
    load_pyplot()
    arms = {
        "with GrabCut": experiment.recursion(REFINEMENTS + 1),
        "without": experiment.recursion(REFINEMENTS + 1, grabcut=False),
    }
    figures = {name: measure(run) for name, run in arms.items()}
    rows = [
        [str(number), *(figures[name][kind][number] for kind in ("mean_iou", "masks") for name in arms)]
        for number in range(REFINEMENTS + 1)
    ]
    gain = [one - other for one, other in zip(*(figures[name]["mean_iou"] for name in arms), strict=True)][1:]
    higher = sum(value > 0 for value in gain)
    draw(figures, experiment.path("png"))
    experiment.keep(
        "Figure 6: rounds with GrabCut between them, and without",
        ["round", "mIoU with", "mIoU without", "training masks' IoU with", "training masks' IoU without"],
        rows,
        [
            f"With GrabCut is higher in {higher} of the {len(gain)} rounds in which the two differ (paper: in all); "
            f"mean difference {sum(gain) / len(gain):+.3f}.",
            f"![mIoU by round]({experiment.path('png').name})",
        ],
        {"by_round": figures},
    )


def measure(run: Run) -> dict[str, list[float | None]]:
    """By round: mIoU of the network, and IoU of the masks that the next one would train on."""
    numbers = range(1, REFINEMENTS + 2)
    return {
        "mean_iou": [figures_of(run, number)["mean_iou"] for number in numbers],
        "masks": [mask_iou(run, number, "enhanced") for number in numbers],
    }


def draw(figures: dict[str, dict[str, list[float | None]]], out: Path) -> None:
    """The plot of the paper."""
    pyplot = load_pyplot()
    figure, axes = pyplot.subplots(figsize=(5, 3.4), layout="constrained")
    for (name, found), marker in zip(figures.items(), "os", strict=True):
        axes.plot(range(REFINEMENTS + 1), found["mean_iou"], marker=marker, label=name)
    axes.set(xlabel="round", ylabel="mIoU", xticks=range(REFINEMENTS + 1))
    axes.grid(alpha=0.3)
    axes.legend()
    with write_atomically(out) as file:
        figure.savefig(file, format="png", dpi=120)
    pyplot.close(figure)


if __name__ == "__main__":
    run_safely(main, sys.argv[1:])
