"""Figure 7: which classes does the network take for which?

The paper shows the confusion matrix on VOC val, and that most errors are between object and background. The run is that
of table2.py: whichever of the two comes first makes it.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from common import figures_of, load_pyplot, open_experiment
from numpy.typing import NDArray

from coarse2fine.cli.exit_status import run_safely
from coarse2fine.runtime.files import write_atomically

MOST_NUMBERED = 8


def main(arguments: Sequence[str] | None = None) -> None:
    """The run of table2.py, its confusion matrix."""
    experiment = open_experiment("fig7", __doc__, arguments)
    load_pyplot()
    run = experiment.fit("main", {})
    figures = figures_of(run, experiment.rounds_of(run))
    matrix, classes = np.array(figures["confusion_matrix"]), list(figures["iou"])
    shares = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    draw(shares, classes, experiment.path("png"))
    wrong = matrix.sum() - np.trace(matrix)
    with_background = (matrix[0].sum() + matrix[:, 0].sum() - 2 * matrix[0, 0]) / max(1, wrong)
    experiment.keep(
        "Figure 7: confusion matrix",
        ["true class", *classes],
        [[name, *map(float, row)] for name, row in zip(classes, shares, strict=True)],
        [
            "Share of each true class's pixels by what the network says.",
            f"{with_background:.0%} of the wrong pixels are between background and an object.",
            f"![confusion matrix]({experiment.path('png').name})",
        ],
        {"confusion_matrix": figures["confusion_matrix"], "wrong_with_background": float(with_background)},
    )


def draw(shares: NDArray[np.float64], classes: Sequence[str], out: Path) -> None:
    """The matrix as a picture; its cells carry numbers where these can be read."""
    pyplot = load_pyplot()
    side = 2.2 + 0.45 * len(classes)
    figure, axes = pyplot.subplots(figsize=(side, side), layout="constrained")
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(classes))
    axes.set(xlabel="predicted", ylabel="true", xticks=ticks, yticks=ticks)
    axes.set_xticklabels(classes, rotation=90)
    axes.set_yticklabels(classes)
    for row, column in np.ndindex(shares.shape) if len(classes) <= MOST_NUMBERED else ():
        color = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{shares[row, column]:.2f}", ha="center", va="center", color=color, fontsize=8)
    with write_atomically(out) as file:
        figure.savefig(file, format="png", dpi=120)
    pyplot.close(figure)


if __name__ == "__main__":
    run_safely(main, sys.argv[1:])
