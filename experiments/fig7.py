"""Figure 7: which classes does the network confuse?

The paper shows the confusion matrix on VOC val, and that most errors are between an object and the background. The run
is that of table2.py; it is computed by the experiment that is started first.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from common import load_pyplot, open_experiment, read_network_metrics
from numpy.typing import NDArray

from coarse2fine.cli.exit_status import run_safely
from coarse2fine.runtime.files import write_atomically

MAX_NUMBERED_CLASSES = 8


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the confusion matrix of the run of table2.py."""
    experiment = open_experiment("fig7", __doc__, arguments)
    load_pyplot()
    run = experiment.fit("main", {})
    figures = read_network_metrics(run, experiment.rounds_of(run))
    matrix, classes = np.array(figures["confusion_matrix"]), list(figures["iou"])
    shares = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    draw(shares, classes, experiment.path("png"))
    wrong = matrix.sum() - np.trace(matrix)
    with_background = (matrix[0].sum() + matrix[:, 0].sum() - 2 * matrix[0, 0]) / max(1, wrong)
    experiment.write_results(
        "Figure 7: confusion matrix",
        ["ground truth", *classes],
        [[name, *map(float, row)] for name, row in zip(classes, shares, strict=True)],
        [
            "Share of the pixels of each ground-truth class (row) by predicted class (column).",
            f"{with_background:.0%} of the wrong pixels are between background and an object.",
            f"![confusion matrix]({experiment.path('png').name})",
        ],
        {"confusion_matrix": figures["confusion_matrix"], "wrong_with_background": float(with_background)},
    )


def draw(shares: NDArray[np.float64], classes: Sequence[str], out: Path) -> None:
    """Plot the matrix, with numbers in its cells if there are at most `MAX_NUMBERED_CLASSES` classes."""
    pyplot = load_pyplot()
    side = 2.2 + 0.45 * len(classes)
    figure, axes = pyplot.subplots(figsize=(side, side), layout="constrained")
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(classes))
    axes.set(xlabel="predicted", ylabel="ground truth", xticks=ticks, yticks=ticks)
    axes.set_xticklabels(classes, rotation=90)
    axes.set_yticklabels(classes)
    for row, column in np.ndindex(shares.shape) if len(classes) <= MAX_NUMBERED_CLASSES else ():
        color = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{shares[row, column]:.2f}", ha="center", va="center", color=color, fontsize=8)
    with write_atomically(out) as file:
        figure.savefig(file, format="png", dpi=120)
    pyplot.close(figure)


if __name__ == "__main__":
    run_safely(main, sys.argv[1:])
