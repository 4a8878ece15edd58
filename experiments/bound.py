"""The bound: how good is the same network when it trains on true masks, and what share of that do labels alone reach?

Weakly supervised networks are judged by the ratio weak / full: the paper's is 61.9 / 77.7 = 0.797 on VOC val.

The same network trains once, from the encoder's weights, on true masks with all classes in them: in the small version
those of voc-animals/train_masks (1,305 of the 1,855 photos have one), else the list trainaug of VOC, or train where
there is no such list. It sees about as many photos (FIRST_SHARE) as the weak run saw in all its rounds, then twice as
many, and so on, until doubling brings less than STILL_RISING, or less than its own standard error: a gain that other
photos might turn into a loss is none. The error is that of a bootstrap over the photos that measure, each resample the
same for both trainings; it knows nothing of other seeds. Each length is a training of its own, since the learning rate
falls to zero at its end. The weak run is that of table2.py.

True masks train here and nowhere else; the weak run never sees them.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from common import Experiment, figures_of, open_experiment
from numpy.typing import NDArray

from coarse2fine import Run
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
from coarse2fine.runtime.files import read_json
from coarse2fine.runtime.seeds import seed_of
from coarse2fine.store.fingerprints import describe_photos, training_settings
from coarse2fine.store.stages import Stage, run_stage
from coarse2fine.training.segmentation import SegmentationJob, train_segmentation
from coarse2fine.types import Dataset, Photo

STILL_RISING = 0.005
FIRST_SHARE = 0.95
RESAMPLES = 2000
PAPER = 0.797

Matrices = NDArray[np.int64]
"""Confusion matrix of every photo, shape (N, C, C)."""


@dataclass(frozen=True)
class Lesson:
    """Photos with true masks.

    Attributes:
        classes: Names by index.
        photos: Each with a mask; their labels are not used.
        masks: Folder of the masks.
    """

    classes: tuple[str, ...]
    photos: tuple[Photo, ...]
    masks: Path


@dataclass(frozen=True)
class Length:
    """What one training on true masks gave.

    Attributes:
        mean_iou: On the photos that measure, 0 to 1.
        gain: Over the training of half the length; none for the first.
        error: Standard error of the gain.
    """

    mean_iou: float
    gain: float | None = None
    error: float | None = None

    @property
    def rises(self) -> bool:
        """Whether twice the length is worth a try."""
        return self.gain is None or self.error is None or self.gain >= max(STILL_RISING, self.error)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train on true masks, longer and longer; compare."""
    experiment = open_experiment("bound", __doc__, arguments)
    lesson = find_lesson(experiment)  # before hours of training, should there be none
    weak = experiment.fit("main", {})
    rounds = experiment.rounds_of(weak)
    seen = photos_seen(weak, rounds)
    weak_miou = figures_of(weak, rounds)["mean_iou"]
    for full in train_longer_and_longer(experiment, lesson, seen):
        report(experiment, seen, weak_miou, len(lesson.photos), full)


def report(experiment: Experiment, seen: int, weak_miou: float, photos: int, full: dict[int, Length]) -> None:
    """Keep what is known so far, so that a training of days is not lost on the next."""
    ratios = {epochs: weak_miou / one.mean_iou if one.mean_iou else None for epochs, one in full.items()}
    ratio = ratios[max(full, key=lambda epochs: full[epochs].mean_iou)]
    rising = full[max(full)].rises
    remarks = [
        f"Ratio weak / full: {'none' if ratio is None else f'{ratio:.3f}'} (paper: {PAPER}); "
        f"{photos} photos have true masks. Gains are over half as many epochs, their standard errors those of a "
        f"bootstrap over the photos that measure. The end is where a gain is below {STILL_RISING} or its error."
    ]
    if rising:
        remarks.append("Not at its end: twice as many epochs come next.")
    experiment.keep(
        "Bound: labels alone against true masks",
        ["training", "photos seen", "mIoU", "gain", "standard error", "labels alone / this"],
        [
            ["labels alone, all rounds", seen, weak_miou, None, None, None],
            *(
                [f"true masks, {n} epochs", n * photos, one.mean_iou, one.gain, one.error, ratios[n]]
                for n, one in full.items()
            ),
        ],
        remarks,
        {"weak": weak_miou, "full": {str(n): asdict(one) for n, one in full.items()}, "ratio": ratio, "rising": rising},
    )


def photos_seen(run: Run, rounds: int) -> int:
    """Photos that the weak run trained on, every time counted."""
    done = [read_json(run.training(number) / "done.json") for number in range(1, rounds + 1)]
    return sum(record["photos"] * record["settings"]["train.epochs"] for record in done)


def find_lesson(experiment: Experiment) -> Lesson:
    """The photos that have true masks.

    Raises:
        DataError: None has one.
    """
    if experiment.small:
        dataset, masks = open_dataset(experiment.photos), experiment.data / "train_masks"
        photos = [photo for photo in dataset.photos if mask_path(masks, photo.name).exists()]
        if not photos:
            raise DataError(
                f"True masks to train on must lie in {masks}, named like the photos of {experiment.photos}, but none "
                "of these has one there; see docs/experiments.md on what --data holds."
            )
        return Lesson(dataset.classes, tuple(photos), masks)
    longest = experiment.val / "ImageSets/Segmentation/trainaug.txt"
    pairs = read_voc_pairs(experiment.val, "trainaug" if longest.exists() else "train")
    photos = [Photo(path, name, 1) for path, name in zip(pairs.photos, pairs.names, strict=True)]
    masks = experiment.runs / "bound-masks"  # of VOC and of SBD, which lie in two folders
    masks.mkdir(parents=True, exist_ok=True)
    for name, mask in zip(pairs.names, pairs.masks, strict=True):
        link = mask_path(masks, name)
        if not link.exists():
            link.symlink_to(mask.absolute())
    return Lesson(VOC_CLASSES, tuple(photos), masks)


def train_longer_and_longer(experiment: Experiment, lesson: Lesson, seen: int) -> Iterator[dict[int, Length]]:
    """What is known by number of epochs, after each training."""
    dataset = Dataset(lesson.classes, lesson.photos, ())
    val = open_ground_truth([experiment.val], dataset).pairs
    assert val is not None
    found: dict[int, Length] = {}
    epochs, before = max(1, round(FIRST_SHARE * seen / len(lesson.photos))), None
    while not found or found[max(found)].rises:
        matrices = train(experiment, f"bound-{epochs}-epochs", lesson, epochs, val)
        gain = () if before is None else (gain_of(before, matrices), standard_error(before, matrices))
        found[epochs] = Length(mean_iou(matrices.sum(axis=0)), *gain)
        yield dict(found)
        epochs, before = 2 * epochs, matrices


def gain_of(before: Matrices, after: Matrices) -> float:
    """How much the mIoU rises."""
    return mean_iou(after.sum(axis=0)) - mean_iou(before.sum(axis=0))


def standard_error(before: Matrices, after: Matrices) -> float:
    """How far :func:`gain_of` would scatter with other photos: a bootstrap, the same photos for both.

    Source: Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 1979.
    """
    generator, photos = np.random.default_rng(0), len(before)
    draws = (generator.integers(photos, size=photos) for _ in range(RESAMPLES))
    return float(np.std([gain_of(before[draw], after[draw]) for draw in draws]))


def train(experiment: Experiment, name: str, lesson: Lesson, epochs: int, val: Pairs) -> Matrices:
    """What one training finds in the photos of val; it is kept in the folder ``name`` of ``runs`` and not repeated."""
    config, folder, context = experiment.base, experiment.runs / name, Context(console=Console())
    settings = training_settings(config, 1) | {"train.epochs": epochs, "photos": describe_photos(lesson.photos)}
    stage = Stage(folder / "training", f"true masks, {epochs} epochs", settings)
    torch.manual_seed(seed_of(config.seed, 1, 0))
    network = build_network(config.network, len(lesson.classes))
    job = SegmentationJob(
        config.network.encoder,
        lesson.photos,
        lesson.masks,
        config.train,
        epochs,
        seed_of(config.seed, 1),
        stage.folder,
        stage.title,
    )

    def learn() -> dict[str, object]:
        loss = train_segmentation(network, job, context)
        save_weights(network, folder / "weights.safetensors")
        return {"loss": loss}

    run_stage(stage, context, learn)
    load_weights(network, folder / "weights.safetensors")
    view = (config.predict.flip, config.predict.scales, config.train.precision)
    segmenter = TorchSegmenter(network, lesson.classes, config.network, config.view_px, *view).to()
    return np.stack(list(compute_confusion_matrices(segmenter, val, count_cores())))


if __name__ == "__main__":
    run_safely(main, sys.argv[1:])
