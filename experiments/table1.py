"""Table I: how good is a network by the kind of masks that it was trained on?

The paper trains DeepLab v2 once on each kind and measures on VOC val: coarse masks, the boxes of the enhanced masks,
enhanced masks, refined masks.

Silent in the paper, and chosen here: refined masks are those that the network trained on enhanced masks gives its own
training photos, constrained to their labels and filtered, without GrabCut after it; the row below has it. All networks
train equally long, each from the encoder's weights.
"""

import sys
from collections.abc import Sequence

from common import EQUAL_ROUNDS, Experiment, figures_of, mask_iou, open_experiment

from coarse2fine import Run
from coarse2fine.cli.exit_status import run_safely

PAPER = {"coarse": 32.5, "boxes": 35.2, "enhanced": 47.7, "refined": 50.4}


def main(arguments: Sequence[str] | None = None) -> None:
    """Train on each kind, compare."""
    experiment = open_experiment("table1", __doc__, arguments, small=EQUAL_ROUNDS)
    found = {kind: (miou, own) for kind, miou, own in make_runs(experiment)}
    rows = [[kind, _share(PAPER.get(kind)), *measured] for kind, measured in found.items()]
    ours = [found[kind][0] for kind in PAPER]
    holds = ours == sorted(ours)
    verdict = "holds" if holds else "does not hold"
    remarks = [f"The order of the paper, coarse < boxes < enhanced < refined, {verdict} here."]
    experiment.keep(
        "Table I: networks by the masks that they were trained on",
        ["trained on", "paper: mIoU on VOC val", "here: mIoU", "IoU of the masks themselves"],
        rows,
        remarks,
        {"mean_iou": {kind: measured[0] for kind, measured in found.items()}, "order_holds": holds},
    )


def make_runs(experiment: Experiment) -> list[tuple[str, float, float | None]]:
    """Kind of mask, mIoU of the network trained on it, IoU of the masks."""
    with_grabcut = experiment.recursion(2)
    without = experiment.recursion(2, grabcut=False)
    enhanced = {"method": "folder", "folder": with_grabcut.enhanced(0).absolute().as_posix()}
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
    return float(figures_of(run, number)["mean_iou"])


def _share(percent: float | None) -> float | None:
    return None if percent is None else percent / 100


if __name__ == "__main__":
    run_safely(main, sys.argv[1:])
