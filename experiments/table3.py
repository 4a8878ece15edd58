"""Table III: IoU of every class after all rounds.

The paper reports VOC val. The run is that of table2.py; it is computed by the experiment that is started first.
"""

import sys
from collections.abc import Sequence

from common import open_experiment, read_network_metrics

from coarse2fine.cli.exit_status import run_safely
from coarse2fine.data.voc import normalize_class_name

PAPER = {
    "aeroplane": 77.1, "bicycle": 25.9, "bird": 75.3, "boat": 59.8, "bottle": 62.3, "bus": 80.2, "car": 73.9,
    "cat": 79.7, "chair": 16.9, "cow": 70.7, "diningtable": 32.5, "dog": 73.1, "horse": 72.2, "motorbike": 67.8,
    "person": 69.2, "pottedplant": 45.0, "sheep": 72.6, "sofa": 42.6, "train": 72.3, "tvmonitor": 41.9,
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the IoU of every class of the run of table2.py."""
    experiment = open_experiment("table3", __doc__, arguments)
    run = experiment.fit("main", {})
    figures = read_network_metrics(run, experiment.rounds_of(run))
    published = {name: iou / 100 for name, iou in PAPER.items()}
    rows = [[name, published.get(normalize_class_name(name)), iou] for name, iou in figures["iou"].items()]
    experiment.write_results(
        "Table III: IoU by class",
        ["class", "paper", "here"],
        [*rows, ["mean", 0.619, figures["mean_iou"]]],
        ["The paper's mean is over the 21 classes of VOC."],
        {"iou": figures["iou"], "mean_iou": figures["mean_iou"]},
    )


if __name__ == "__main__":
    run_safely(main, sys.argv[1:])
