"""Table IV: FPN and DFPN on the foreground task.

The paper trains both without labels on the ImageNet photos and measures the IoU of the foreground on MIT Object
Discovery (airplane, car, horse; the subsets of 100 and the full sets), where DFPN is 2.6 and 2.3 points better.

The paper does not say, and we chose: the dilation rates of DFPN (DFPN_RATES) and the settings that docs/settings.md
lists as open. The IoU is the mean over photos, as is usual on Object Discovery; the IoU over all pixels is in the JSON
file. The small version evaluates one round on voc-animals/val at 256 px with three seeds, because the difference is
small. It also trains both networks once on ground truth, to separate the influence of the network from that of the
training masks.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from bound import find_ground_truth, train_and_evaluate
from common import EQUAL_ROUNDS, Experiment, open_experiment, read_network_metrics

from coarse2fine import Segmenter
from coarse2fine.cli.exit_status import run_safely
from coarse2fine.data.public_datasets import open_public_dataset
from coarse2fine.errors import DataError
from coarse2fine.evaluation.evaluate import evaluate_network_pairs
from coarse2fine.evaluation.ground_truth import open_ground_truth
from coarse2fine.evaluation.metrics import iou_per_class
from coarse2fine.masks.png import mask_path, read_mask, write_mask
from coarse2fine.masks.regions import foreground_mask
from coarse2fine.runtime.device import count_cores
from coarse2fine.types import FOREGROUND_CLASSES, IGNORE, Dataset

PAPER = {  # FPN, DFPN
    "Airplane100": (61.09, 64.92), "Car100": (76.22, 77.60), "Horse100": (57.89, 60.36),
    "Airplane": (61.93, 65.88), "Car": (75.94, 77.07), "Horse": (64.03, 65.82),
}  # fmt: skip
NETWORKS = ("fpn", "dfpn")
SEEDS = (0, 1, 2)
ROUNDS = 1
GROUND_TRUTH_EPOCHS = 5
IOU = "foreground_iou_mean_over_photos"


def main(arguments: Sequence[str] | None = None) -> None:
    """Train both networks on the same photos for the same number of epochs and compare them."""
    experiment = open_experiment("table4", __doc__, arguments, "foreground", EQUAL_ROUNDS)
    if experiment.small:
        compare_seeds(experiment)
    else:
        compare_sets(experiment)


def compare_sets(experiment: Experiment) -> None:
    """Compare the networks on Object Discovery, as in the paper."""
    root = experiment.data / "ObjectDiscovery-data/Data"
    missing = [name for name in PAPER if not (root / name).is_dir()]
    if missing:
        raise DataError(
            f"{root} must hold the folders of MIT Object Discovery, but {', '.join(missing)} are missing; see "
            "docs/datasets.md for the download."
        )
    runs = {name: experiment.fit(f"table4-{name}", {"network": {"name": name}}) for name in NETWORKS}
    found = {name: _evaluate_subsets(Segmenter.load(run.root), root) for name, run in runs.items()}
    rows: list[list[object]] = []
    for subset, published in PAPER.items():
        rows.append([subset, *(value / 100 for value in published), *(found[name][subset][IOU] for name in NETWORKS)])
    experiment.write_results(
        "Table IV: foreground of MIT Object Discovery, IoU",
        ["photos", "paper: FPN", "paper: DFPN", "here: FPN", "here: DFPN"],
        rows,
        [],
        {"figures": found},
    )


def compare_seeds(experiment: Experiment) -> None:
    """Compare the networks on voc-animals/val over several seeds."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in NETWORKS}
    for seed in SEEDS:
        seeded = experiment.seeded(seed)
        for name in NETWORKS:
            run = seeded.fit(f"table4-{name}-{seed}", {"network": {"name": name}}, ROUNDS)
            found[name].append(read_network_metrics(run, ROUNDS))
    by_seed = {name: [figures["iou"]["foreground"] for figures in found[name]] for name in NETWORKS}
    rows: list[list[object]] = [[f"seed {seed}", *pair] for seed, *pair in zip(SEEDS, *by_seed.values(), strict=True)]
    rows.append(["mean", *(mean(by_seed[name]) for name in NETWORKS)])
    rows.append(["standard deviation", *(stdev(by_seed[name]) for name in NETWORKS)])
    full = {name: train_on_ground_truth(experiment, name) for name in NETWORKS} if experiment.train_masks else {}
    rows += [[f"on ground truth, {GROUND_TRUTH_EPOCHS} epochs", *full.values()]] if full else []
    gains = [dilated - plain for plain, dilated in zip(*(by_seed[name] for name in NETWORKS), strict=True)]
    experiment.write_results(
        "Table IV: foreground of voc-animals/val, IoU over all pixels",
        ["", "FPN", "DFPN"],
        rows,
        [
            f"DFPN minus FPN, by seed: {', '.join(f'{gain:+.3f}' for gain in gains)}; mean {mean(gains):+.3f}. "
            "The paper: +0.026 and +0.023 on its two sets."
        ],
        {
            "iou": by_seed,
            "iou_on_true_masks": full,
            IOU: {name: [figures[IOU] for figures in found[name]] for name in NETWORKS},
        },
    )


def train_on_ground_truth(experiment: Experiment, name: str) -> float:
    """Train a network on ground truth, as bound.py does; return its foreground IoU on val."""
    training_set = find_ground_truth(experiment)
    masks = experiment.runs / "table4-true-masks"
    for photo in training_set.photos:
        if not mask_path(masks, photo.name).exists():
            mask = read_mask(mask_path(training_set.masks, photo.name))
            write_mask(mask_path(masks, photo.name), np.where(mask == IGNORE, np.uint8(IGNORE), foreground_mask(mask)))
    training_set = replace(training_set, classes=FOREGROUND_CLASSES, masks=masks)
    val = open_ground_truth([experiment.val], Dataset(training_set.classes, training_set.photos, ())).pairs
    assert val is not None
    network = experiment.base.network.model_copy(update={"name": name})
    chosen = replace(experiment, base=experiment.base.model_copy(update={"network": network}))
    matrices = train_and_evaluate(chosen, f"table4-true-{name}", training_set, GROUND_TRUTH_EPOCHS, val)
    return float(iou_per_class(matrices.sum(axis=0))[FOREGROUND_CLASSES.index("foreground")])


def _evaluate_subsets(segmenter: Segmenter, root: Path) -> Mapping[str, Any]:
    metrics = {}
    for subset in PAPER:
        pairs = open_public_dataset(root / subset)
        assert pairs is not None
        metrics[subset] = evaluate_network_pairs(segmenter, pairs, count_cores()).as_dict()
    return metrics


if __name__ == "__main__":
    run_safely(main, sys.argv[1:])
