"""The upper bound: how good is the same network if it trains on ground truth, and what share do labels alone reach?

Weakly supervised networks are compared by the ratio weak / full: the paper's is 61.9 / 77.7 = 0.797 on VOC val.

The same network trains, starting from the encoder's weights, on ground truth with all classes: in the small version
voc-animals/train_masks (1,305 of the 1,855 photos have a mask), else the list trainaug of VOC, or train if there is no
such list. It trains on about as many photos (`FIRST_SHARE`), repetitions counted, as the weak run in all its rounds,
then on twice as many, and so on. It stops when doubling raises the mIoU by less than `MIN_GAIN` or by less than the
standard error of this gain, since such a gain might be a loss on other photos. The standard error comes from a
bootstrap over the validation photos, with the same resamples for both trainings; it does not include the variation
between seeds. Each number of epochs is a separate training, because the learning rate falls to zero at the end. The
weak run is that of table2.py.

Only this experiment and table4.py train on ground truth; the weak run never uses it.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from common import Experiment, open_experiment, read_network_metrics, sum_training
from numpy.typing import NDArray

from coarse2fine.cli.exit_status import run_safely
from coarse2fine.data import open_dataset
from coarse2fine.data.photo_mask_pairs import Pairs
from coarse2fine.data.voc import VOC_CLASSES, read_voc_pairs
from coarse2fine.errors import DataError
from coarse2fine.evaluation.evaluate import compute_confusion_matrices
from coarse2fine.evaluation.ground_truth import open_ground_truth
from coarse2fine.evaluation.metrics import mean_iou
from coarse2fine.inference.torch_segmenter import TorchSegmenter
from coarse2fine.masks.png import mask_path
from coarse2fine.networks.build import build_network
from coarse2fine.networks.weights import load_weights, save_weights
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.device import count_cores
from coarse2fine.runtime.seeds import seed_of
from coarse2fine.store.fingerprints import describe_photos, training_settings
from coarse2fine.store.stages import Stage, run_stage
from coarse2fine.training.loop import train
from coarse2fine.training.segmentation import SegmentationJob
from coarse2fine.types import Dataset, Photo

MIN_GAIN = 0.005
FIRST_SHARE = 0.95
RESAMPLES = 2000
PAPER_RATIO = 0.797

Matrices = NDArray[np.int64]
"""Confusion matrix of each photo, shape (N, C, C)."""


@dataclass(frozen=True)
class GroundTruthSet:
    """Training photos with ground truth.

    Attributes:
        classes: Class names by index.
        photos: Photos that have a mask; their labels are not used.
        masks: Folder of the masks.
    """

    classes: tuple[str, ...]
    photos: tuple[Photo, ...]
    masks: Path


@dataclass(frozen=True)
class TrainingResult:
    """Result of one training on ground truth.

    Attributes:
        mean_iou: On the validation photos, 0 to 1.
        gain: Difference to the training with half as many epochs; None for the first training.
        error: Standard error of the gain; None for the first training.
    """

    mean_iou: float
    gain: float | None = None
    error: float | None = None

    @property
    def still_improves(self) -> bool:
        """Whether a training with twice as many epochs should follow."""
        return self.gain is None or self.error is None or self.gain >= max(MIN_GAIN, self.error)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train on ground truth with more and more epochs and compare with the weak run."""
    experiment = open_experiment("bound", __doc__, arguments)
    training_set = find_ground_truth(experiment)  # fails before hours of training if there is no ground truth
    weak = experiment.fit("main", {})
    rounds = experiment.rounds_of(weak)
    seen, _ = sum_training(weak, rounds)
    weak_miou = read_network_metrics(weak, rounds)["mean_iou"]
    for full in train_doubling_epochs(experiment, training_set, seen):
        report(experiment, seen, weak_miou, len(training_set.photos), full)


def report(experiment: Experiment, seen: int, weak_miou: float, photos: int, full: dict[int, TrainingResult]) -> None:
    """Write the results so far after every training, because the next training may take days."""
    ratios = {epochs: weak_miou / one.mean_iou if one.mean_iou else None for epochs, one in full.items()}
    ratio = ratios[max(full, key=lambda epochs: full[epochs].mean_iou)]
    improves = full[max(full)].still_improves
    remarks = [
        f"Ratio weak / full: {'none' if ratio is None else f'{ratio:.3f}'} (paper: {PAPER_RATIO}); "
        f"{photos} photos have ground truth. Each gain is the difference to half as many epochs, its standard error "
        f"that of a bootstrap over the validation photos. The experiment stops when a gain is below {MIN_GAIN} or "
        "below its standard error."
    ]
    if improves:
        remarks.append("Not finished: a training with twice as many epochs follows.")
    experiment.write_results(
        "Upper bound: labels alone against ground truth",
        ["training masks", "photos trained on", "mIoU", "gain", "standard error", "labels alone / this"],
        [
            ["labels alone, all rounds", seen, weak_miou, None, None, None],
            *(
                [f"ground truth, {n} epochs", n * photos, one.mean_iou, one.gain, one.error, ratios[n]]
                for n, one in full.items()
            ),
        ],
        remarks,
        {
            "weak": weak_miou,
            "full": {str(n): asdict(one) for n, one in full.items()},
            "ratio": ratio,
            "rising": improves,
        },
    )


def find_ground_truth(experiment: Experiment) -> GroundTruthSet:
    """Find the training photos that have ground truth.

    Raises:
        DataError: No photo has a mask.
    """
    if experiment.small:
        dataset, masks = open_dataset(experiment.photos), experiment.data / "train_masks"
        photos = [photo for photo in dataset.photos if mask_path(masks, photo.name).exists()]
        if not photos:
            raise DataError(
                f"Ground truth to train on must be in {masks}, with the names of the photos in {experiment.photos}, "
                "but no photo has a mask there; see docs/experiments.md for the layout of --data."
            )
        return GroundTruthSet(dataset.classes, tuple(photos), masks)
    longest = experiment.val / "ImageSets/Segmentation/trainaug.txt"
    pairs = read_voc_pairs(experiment.val, "trainaug" if longest.exists() else "train")
    photos = [Photo(path, name, (1,)) for path, name in zip(pairs.photos, pairs.names, strict=True)]
    masks = experiment.runs / "bound-masks"  # links to the masks of VOC and of SBD, which are in two folders
    masks.mkdir(parents=True, exist_ok=True)
    for name, mask in zip(pairs.names, pairs.masks, strict=True):
        link = mask_path(masks, name)
        if not link.exists():
            link.symlink_to(mask.absolute())
    return GroundTruthSet(VOC_CLASSES, tuple(photos), masks)


def train_doubling_epochs(
    experiment: Experiment, training_set: GroundTruthSet, seen: int
) -> Iterator[dict[int, TrainingResult]]:
    """Train with 1, 2, 4, ... times the epochs; yield all results by number of epochs after each training."""
    dataset = Dataset(training_set.classes, training_set.photos, ())
    val = open_ground_truth([experiment.val], dataset).pairs
    assert val is not None
    found: dict[int, TrainingResult] = {}
    epochs, before = max(1, round(FIRST_SHARE * seen / len(training_set.photos))), None
    while not found or found[max(found)].still_improves:
        matrices = train_and_evaluate(experiment, f"bound-{epochs}-epochs", training_set, epochs, val)
        gain = () if before is None else (gain_of(before, matrices), standard_error(before, matrices))
        found[epochs] = TrainingResult(mean_iou(matrices.sum(axis=0)), *gain)
        yield dict(found)
        epochs, before = 2 * epochs, matrices


def gain_of(before: Matrices, after: Matrices) -> float:
    """Compute the difference of the mIoU."""
    return mean_iou(after.sum(axis=0)) - mean_iou(before.sum(axis=0))


def standard_error(before: Matrices, after: Matrices) -> float:
    """Estimate the standard error of :func:`gain_of` by a bootstrap over the photos, the same resamples for both.

    Source: Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 1979.
    """
    generator, photos = np.random.default_rng(0), len(before)
    draws = (generator.integers(photos, size=photos) for _ in range(RESAMPLES))
    return float(np.std([gain_of(before[draw], after[draw]) for draw in draws]))


def train_and_evaluate(
    experiment: Experiment, name: str, training_set: GroundTruthSet, epochs: int, val: Pairs
) -> Matrices:
    """Train on ground truth, or load the weights of an earlier call; evaluate on val.

    Args:
        experiment: Its settings are used.
        name: Folder in ``runs`` for the training and its weights.
        training_set: Photos and masks to train on.
        epochs: Number of epochs.
        val: Photos and masks to evaluate on.

    Returns:
        Confusion matrix of each photo of ``val``.
    """
    config, folder, context = experiment.base, experiment.runs / name, Context(console=Console())
    steps = config.train.count_steps(len(training_set.photos), epochs)
    settings = training_settings(config, 1, steps) | {"photos": describe_photos(training_set.photos)}
    stage = Stage(folder / "training", f"ground truth, {epochs} epochs", settings)
    torch.manual_seed(seed_of(config.seed, 1, 0))
    network = build_network(config.network, len(training_set.classes))
    job = SegmentationJob(
        config.network.encoder,
        training_set.photos,
        training_set.masks,
        config.train,
        steps,
        seed_of(config.seed, 1),
        stage.folder,
        stage.title,
    )

    def run_training() -> dict[str, object]:
        loss = train(network, job, context)
        save_weights(network, folder / "weights.safetensors")
        return {"loss": loss}

    run_stage(stage, context, run_training)
    load_weights(network, folder / "weights.safetensors")
    predict = config.predict
    view = (predict.flip, predict.scales, predict.foreground_first, config.train.precision)
    segmenter = TorchSegmenter(network, training_set.classes, config.network, config.view_px, *view).to()
    return np.stack(list(compute_confusion_matrices(segmenter, val, count_cores())))


if __name__ == "__main__":
    run_safely(main, sys.argv[1:])
