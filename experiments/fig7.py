"""Figure 7: which classes does the network confuse?

The paper shows the confusion matrix on VOC val, and that most errors are between an object and the background. The run
is that of table2.py; it is computed by the experiment that is started first.

For a network of your own, ``--metrics`` draws the confusion matrix that ``coarse2fine evaluate`` measured, and writes
confusion.png beside the file; no other argument is needed::

    coarse2fine evaluate RUN val
    python experiments/fig7.py --metrics RUN/evaluation/metrics.json
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from common import load_pyplot, open_experiment, read_network_metrics, save_plot
from numpy.typing import NDArray

from coarse2fine.cli.exit_status import run_safely
from coarse2fine.errors import DataError
from coarse2fine.runtime.files import read_json

MAX_NUMBERED_CLASSES = 8
MIN_NUMBERED_SHARE = 0.05


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the confusion matrix of the run of table2.py, or of a file of metrics."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--metrics", type=Path)
    options, arguments = parser.parse_known_args(arguments)
    if options.metrics:
        draw_metrics(options.metrics)
        return
    experiment = open_experiment("fig7", __doc__, arguments)
    load_pyplot()
    run = experiment.fit("main", {})
    figures = read_network_metrics(run, experiment.rounds_of(run))
    matrix, classes = np.array(figures["confusion_matrix"]), figures["classes"]
    shares = compute_shares(matrix)
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


def draw_metrics(metrics: Path) -> None:
    """Draw the confusion matrix of a file of ``coarse2fine evaluate`` as confusion.png beside it."""
    figures, out = read_json(metrics), metrics.with_name("confusion.png")
    if not {"classes", "confusion_matrix"} <= figures.keys():
        raise DataError(
            f"{metrics} must be written by coarse2fine evaluate of this version, but holds no confusion_matrix with "
            "classes. Run coarse2fine evaluate again."
        )
    draw(compute_shares(np.array(figures["confusion_matrix"])), figures["classes"], out)
    print(f"{out}: share of the pixels of each ground-truth class (row) by predicted class (column).")


def compute_shares(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Divide each row by its sum; rows without pixels stay 0."""
    shares: NDArray[np.float64] = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    return shares


def draw(shares: NDArray[np.float64], classes: Sequence[str], out: Path) -> None:
    """Plot the matrix, with numbers in its cells; of many classes only those of at least `MIN_NUMBERED_SHARE`."""
    pyplot = load_pyplot()
    side = 2.2 + 0.45 * len(classes)
    figure, axes = pyplot.subplots(figsize=(side, side), layout="constrained")
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(classes))
    axes.set(xlabel="predicted", ylabel="ground truth", xticks=ticks, yticks=ticks)
    axes.set_xticklabels(classes, rotation=90)
    axes.set_yticklabels(classes)
    for row, column in np.argwhere(shares >= (0 if len(classes) <= MAX_NUMBERED_CLASSES else MIN_NUMBERED_SHARE)):
        color = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{shares[row, column]:.2f}", ha="center", va="center", color=color, fontsize=8)
    save_plot(figure, out)


if __name__ == "__main__":
    run_safely(main, sys.argv[1:])
