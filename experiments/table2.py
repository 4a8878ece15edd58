"""Table II: mIoU on VOC val and test after all rounds.

The paper: 61.9 on val, 62.8 on test (through the evaluation server), with DeepLab v2 on ResNet-101 and five rounds on
the ImageNet photos of sub2.

The paper does not say, and we chose: epochs per round, new or continued networks, scales and CRF at test time; they are
settings of the recipe ``paper`` (docs/settings.md). The ground truth of test is not public: if the test photos exist,
the archive for the evaluation server is written to the run folder.
"""

import sys
from collections.abc import Sequence

from common import Experiment, open_experiment, read_network_metrics, sum_training

from coarse2fine import Run
from coarse2fine.cli.exit_status import run_safely
from coarse2fine.evaluation.voc_submission import write_network_submission
from coarse2fine.inference.segmenter import Segmenter
from coarse2fine.runtime.device import count_cores

PAPER = {"val": 61.9, "test": 62.8}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the whole recursion and evaluate it."""
    experiment = open_experiment("table2", __doc__, arguments)
    run = experiment.fit("main", {})
    rounds = experiment.rounds_of(run)
    by_round = [read_network_metrics(run, number)["mean_iou"] for number in range(1, rounds + 1)]
    photos, seconds = sum_training(run, rounds)
    remarks = [
        f"mIoU by round: {', '.join(f'{value:.3f}' for value in by_round)}.",
        f"Training: {photos / seconds:.1f} photos/s; encoder weights: {experiment.describe_weights()}.",
        submit(experiment, run),
    ]
    experiment.write_results(
        "Table II: mIoU after all rounds",
        ["split", "paper", "here"],
        [["val", PAPER["val"] / 100, by_round[-1]], ["test", PAPER["test"] / 100, None]],
        remarks,
        {"mean_iou_by_round": by_round, "training_photos_per_s": photos / seconds},
    )


def submit(experiment: Experiment, run: Run) -> str:
    """Write the archive for the evaluation server; return a sentence with its path, or why it was not written."""
    if experiment.small:
        return "The small version has no test photos; its val replaces VOC val."
    if not (experiment.val / "ImageSets/Segmentation/test.txt").exists():
        return f"No archive for the evaluation server: {experiment.val} has no test photos (see docs/datasets.md)."
    archive = run.root / "voc-test.tgz"
    write_network_submission(Segmenter.load(run.root), experiment.val, archive, count_cores())
    return f"The archive for the evaluation server of VOC is {archive.name} in the run folder."


if __name__ == "__main__":
    run_safely(main, sys.argv[1:])
