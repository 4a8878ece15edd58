"""Table II: mIoU on VOC val and test after all rounds.

The paper: 61.9 on val, 62.8 on test (through the evaluation server), with DeepLab v2 on ResNet-101 and five rounds on
the ImageNet photos of sub2.

Silent in the paper, and chosen here: epochs per round, fresh or warm networks, scales and CRF at test time; they are
settings of the recipe paper (docs/settings.md). The masks of test are not public: the archive for the server is written
beside the run where the test photos are there.
"""

import sys
from collections.abc import Sequence

from common import Experiment, figures_of, open_experiment

from coarse2fine import Run, Segmenter
from coarse2fine.cli.exit_status import run_safely
from coarse2fine.evaluation.voc_submission import write_network_submission
from coarse2fine.runtime.device import count_cores
from coarse2fine.runtime.files import read_json

PAPER = {"val": 61.9, "test": 62.8}


def main(arguments: Sequence[str] | None = None) -> None:
    """The whole recursion, measured."""
    experiment = open_experiment("table2", __doc__, arguments)
    run = experiment.fit("main", {})
    rounds = experiment.rounds_of(run)
    by_round = [figures_of(run, number)["mean_iou"] for number in range(1, rounds + 1)]
    rate = training_rate(run, rounds)
    remarks = [
        f"mIoU by round: {', '.join(f'{value:.3f}' for value in by_round)}.",
        f"Training: {rate:.1f} photos/s; encoder weights: {experiment.describe_weights()}.",
        submit(experiment, run),
    ]
    experiment.keep(
        "Table II: mIoU after all rounds",
        ["split", "paper", "here"],
        [["val", PAPER["val"] / 100, by_round[-1]], ["test", PAPER["test"] / 100, None]],
        remarks,
        {"mean_iou_by_round": by_round, "training_photos_per_s": rate},
    )


def training_rate(run: Run, rounds: int) -> float:
    """Photos that training saw in a second, over all rounds."""
    done = [read_json(run.training(number) / "done.json") for number in range(1, rounds + 1)]
    seen = sum(record["photos"] * record["settings"]["train.epochs"] for record in done)
    return float(seen / sum(record["seconds"] for record in done))


def submit(experiment: Experiment, run: Run) -> str:
    """Write the archive for the server; says where it is, or why there is none."""
    if experiment.small:
        return "The small version has no test photos: its val stands for VOC val."
    if not (experiment.val / "ImageSets/Segmentation/test.txt").exists():
        return f"No archive for the server: {experiment.val} has no test photos (docs/datasets.md)."
    archive = run.root / "voc-test.tgz"
    write_network_submission(Segmenter.load(run.root), experiment.val, archive, count_cores())
    return f"The archive for VOC's server is {archive.name} in the run's folder."


if __name__ == "__main__":
    run_safely(main, sys.argv[1:])
