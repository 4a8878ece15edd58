"""Table III: IoU of every class, after all rounds.

The paper gives VOC val. The run is that of table2.py: whichever of the two comes first makes it.
"""

import sys
from collections.abc import Sequence

from common import figures_of, open_experiment

from coarse2fine.cli.exit_status import run_safely
from coarse2fine.data.voc import normalize_class_name

PAPER = {
    "aeroplane": 77.1, "bicycle": 25.9, "bird": 75.3, "boat": 59.8, "bottle": 62.3, "bus": 80.2, "car": 73.9,
    "cat": 79.7, "chair": 16.9, "cow": 70.7, "diningtable": 32.5, "dog": 73.1, "horse": 72.2, "motorbike": 67.8,
    "person": 69.2, "pottedplant": 45.0, "sheep": 72.6, "sofa": 42.6, "train": 72.3, "tvmonitor": 41.9,
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """The run of table2.py, class by class."""
    experiment = open_experiment("table3", __doc__, arguments)
    run = experiment.fit("main", {})
    figures = figures_of(run, experiment.rounds_of(run))
    published = {name: iou / 100 for name, iou in PAPER.items()}
    rows = [[name, published.get(normalize_class_name(name)), iou] for name, iou in figures["iou"].items()]
    experiment.keep(
        "Table III: IoU by class",
        ["class", "paper", "here"],
        [*rows, ["mean", 0.619, figures["mean_iou"]]],
        ["The paper's mean is over the 21 classes of VOC."],
        {"iou": figures["iou"], "mean_iou": figures["mean_iou"]},
    )


if __name__ == "__main__":
    run_safely(main, sys.argv[1:])
