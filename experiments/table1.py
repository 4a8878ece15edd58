"""Table I: how does the quality of a network depend on the kind of masks that it was trained on?

The paper trains DeepLab v2 once on each kind and evaluates on VOC val: coarse masks, the boxes of the enhanced masks,
enhanced masks, refined masks.

The paper does not say, and we chose: refined masks are the predictions of the network trained on enhanced masks for its
own training photos, constrained to their labels and filtered, without GrabCut; the last row adds GrabCut. All networks
train for the same number of epochs, each starting from the encoder's weights.
"""

import sys
from collections.abc import Sequence

from common import EQUAL_ROUNDS, Experiment, mask_iou, open_experiment, read_network_metrics

from coarse2fine import Run
from coarse2fine.cli.exit_status import run_safely

PAPER = {"coarse": 32.5, "boxes": 35.2, "enhanced": 47.7, "refined": 50.4}


def main(arguments: Sequence[str] | None = None) -> None:
    """Train on each kind of mask and compare the networks."""
    experiment = open_experiment("table1", __doc__, arguments, small=EQUAL_ROUNDS)
    found = {kind: (miou, training_masks_iou) for kind, miou, training_masks_iou in train_networks(experiment)}
    rows = [[kind, _share(PAPER.get(kind)), *measured] for kind, measured in found.items()]
    ours = [found[kind][0] for kind in PAPER]
    holds = ours == sorted(ours)
    verdict = "holds" if holds else "does not hold"
    remarks = [f"The order of the paper, coarse < boxes < enhanced < refined, {verdict} here."]
    experiment.write_results(
        "Table I: networks by the kind of their training masks",
        ["trained on", "paper: mIoU on VOC val", "here: mIoU", "IoU of the masks themselves"],
        rows,
        remarks,
        {"mean_iou": {kind: measured[0] for kind, measured in found.items()}, "order_holds": holds},
    )


def train_networks(experiment: Experiment) -> list[tuple[str, float, float | None]]:
    """Train on each kind of mask; return the kind, the mIoU of the network and the IoU of the masks."""
    with_grabcut = experiment.recursion(2)
    without = experiment.recursion(2, grabcut=False)
    enhanced = {"method": "folder", "folder": {"path": with_grabcut.enhanced(0).absolute().as_posix()}}
    coarse = experiment.fit("table1-coarse", {"enhance": {"method": "none"}}, 1)
    boxes = experiment.fit("table1-boxes", {"coarse": enhanced, "enhance": {"method": "box"}}, 1)
    return [
        ("coarse", _miou(coarse, 1), mask_iou(coarse, 0, "coarse")),
        ("boxes", _miou(boxes, 1), mask_iou(boxes, 0, "enhanced")),
        ("enhanced", _miou(with_grabcut, 1), mask_iou(with_grabcut, 0, "enhanced")),
        ("refined", _miou(without, 2), mask_iou(without, 1, "refined")),
        ("refined, then GrabCut", _miou(with_grabcut, 2), mask_iou(with_grabcut, 1, "enhanced")),
    ]


def _miou(run: Run, number: int) -> float:
    return float(read_network_metrics(run, number)["mean_iou"])


def _share(percent: float | None) -> float | None:
    return None if percent is None else percent / 100


if __name__ == "__main__":
    run_safely(main, sys.argv[1:])
