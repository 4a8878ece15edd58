"""Figure 6: how does the mIoU change from round to round, with and without GrabCut between the rounds?

The paper shows the mIoU on VOC val over rounds 0 to 5: with GrabCut it is higher in every round, and it rises little
after the third or fourth.

The paper does not say, and we chose: round 0 is the network trained on the enhanced masks, before any refinement (our
round 1), so five refinements need six trainings; all trainings have the same number of epochs, each starting from the
encoder's weights. Without GrabCut, the next network trains on the refined masks of the last one; the enhancement before
the first round is the same.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from common import EQUAL_ROUNDS, load_pyplot, mask_iou, open_experiment, read_network_metrics, save_plot

from coarse2fine import Run
from coarse2fine.cli.exit_status import run_safely

REFINEMENTS = 5


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare the recursions with and without GrabCut."""
    experiment = open_experiment("fig6", __doc__, arguments, small=EQUAL_ROUNDS)
    load_pyplot()
    runs = {
        "with GrabCut": experiment.recursion(REFINEMENTS + 1),
        "without": experiment.recursion(REFINEMENTS + 1, grabcut=False),
    }
    figures = {name: measure(run) for name, run in runs.items()}
    rows = [
        [str(number), *(figures[name][kind][number] for kind in ("mean_iou", "masks") for name in runs)]
        for number in range(REFINEMENTS + 1)
    ]
    gains = [one - other for one, other in zip(*(figures[name]["mean_iou"] for name in runs), strict=True)][1:]
    higher = sum(value > 0 for value in gains)
    draw(figures, experiment.path("png"))
    experiment.write_results(
        "Figure 6: rounds with and without GrabCut between them",
        ["round", "mIoU with", "mIoU without", "IoU of the training masks with", "IoU of the training masks without"],
        rows,
        [
            f"The mIoU with GrabCut is higher in {higher} of the {len(gains)} rounds after round 0 (paper: in all); "
            f"mean difference {sum(gains) / len(gains):+.3f}.",
            f"![mIoU by round]({experiment.path('png').name})",
        ],
        {"by_round": figures},
    )


def measure(run: Run) -> dict[str, list[float | None]]:
    """Read the mIoU of the network and the IoU of the next training masks, by round."""
    numbers = range(1, REFINEMENTS + 2)
    return {
        "mean_iou": [read_network_metrics(run, number)["mean_iou"] for number in numbers],
        "masks": [mask_iou(run, number, "enhanced") for number in numbers],
    }


def draw(figures: dict[str, dict[str, list[float | None]]], out: Path) -> None:
    """Plot the mIoU over the rounds, as the paper does."""
    pyplot = load_pyplot()
    figure, axes = pyplot.subplots(figsize=(5, 3.4), layout="constrained")
    for (name, values), marker in zip(figures.items(), "os", strict=True):
        axes.plot(range(REFINEMENTS + 1), values["mean_iou"], marker=marker, label=name)
    axes.set(xlabel="round", ylabel="mIoU", xticks=range(REFINEMENTS + 1))
    axes.grid(alpha=0.3)
    axes.legend()
    save_plot(figure, out)


if __name__ == "__main__":
    run_safely(main, sys.argv[1:])
