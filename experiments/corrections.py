"""How much do corrected masks help, and which masks should a person correct first?

The paper corrects no masks. A run of ``fit`` is started from some photos per class. Then a person corrects the masks of
25, 50 or 100 of its photos, and the same command continues the run with them. The person is the ground truth: the masks
of ``train_masks`` take the place of the corrections. Which photos are corrected is decided in two ways:

- doubtful: those with the lowest quality score first; with classes of equal size, the order of ``coarse2fine app``;
- random: in random order.

Ground truth that corrects a mask is the only ground truth that trains. The table has the mean IoU of all training
masks, where a corrected one counts 1, and how much of its gain lies in the corrected masks themselves; the rest is what
the network learned from them. The mIoU is that of the network on val.

    python experiments/corrections.py --small --data voc-animals --photos 50 --counts 25 50 100
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from common import Experiment, load_pyplot, mask_iou, open_experiment, read_network_metrics, save_plot

from coarse2fine import Run, open_dataset
from coarse2fine.cli.exit_status import run_safely
from coarse2fine.errors import DataError
from coarse2fine.evaluation.evaluate import evaluate_training_masks
from coarse2fine.evaluation.quality_table import TABLE, read_scores
from coarse2fine.masks.png import mask_path
from coarse2fine.store.photos import read_photos

ORDERS = ("doubtful", "random")


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit once without corrections, then once for each order and number of corrected masks."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--photos", type=int, default=50, help="photos per class")
    parser.add_argument("--counts", type=int, nargs="+", default=[25, 50, 100], help="numbers of corrected masks")
    options, others = parser.parse_known_args(arguments)
    experiment = open_experiment("corrections", __doc__, others)
    load_pyplot()
    if not experiment.train_masks:
        raise DataError(f"{experiment.data} must hold the folder train_masks, which corrects masks, and needs --small.")
    photos = link_photos(experiment, options.photos)
    base = experiment.fit("base", {}, photos=photos)
    ious = measure_photos(base, experiment.rounds_of(base), experiment.train_masks)
    if max(options.counts) > len(ious):
        raise DataError(
            f"--counts must be at most the number of photos with ground truth, {len(ious)}, but is "
            f"{max(options.counts)}. Give smaller numbers, or a larger --photos."
        )
    runs: dict[str, list[dict[str, Any]]] = {order: [describe_run(experiment, base, ious, [])] for order in ORDERS}
    for count in sorted(options.counts):
        for order in ORDERS:
            names = choose_names(base, list(ious), order)[:count]
            run = correct(experiment, base, photos, names, f"{order}-{count}")
            runs[order].append(describe_run(experiment, run, ious, names))
    write(experiment, runs, len(ious), f"--photos {options.photos} --counts {' '.join(map(str, options.counts))}")


def link_photos(experiment: Experiment, count: int) -> Path:
    """Fill a folder with links to ``count`` photos of each class that have ground truth, and return it."""
    folder = experiment.runs / "photos"
    shutil.rmtree(folder, ignore_errors=True)
    photos = open_dataset(experiment.photos).photos
    for label in sorted({photo.labels for photo in photos}):
        known = [photo for photo in photos if photo.labels == label and has_ground_truth(experiment, photo.name)]
        known.sort(key=lambda photo: photo.name)
        Random(1).shuffle(known)
        for photo in known[:count]:
            link = folder / photo.path.relative_to(experiment.photos)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(photo.path.absolute())
    return folder


def has_ground_truth(experiment: Experiment, name: str) -> bool:
    """Return whether there is a true mask of a photo."""
    assert experiment.train_masks
    return mask_path(experiment.train_masks, name).exists()


def measure_photos(run: Run, number: int, ground_truth: Path) -> dict[str, float]:
    """Compute the IoU of the mask of each photo after a round."""
    photos = read_photos(run).photos
    return {
        photo.name: evaluate_training_masks([photo], [run.enhanced(number)], ground_truth, threads=1)[0][0]
        for photo in photos
    }


def choose_names(run: Run, names: Sequence[str], order: str) -> list[str]:
    """Return the names of photos in the order in which a person corrects them."""
    if order == "random":
        shuffled = sorted(names)
        Random(2).shuffle(shuffled)
        return shuffled
    scores = read_scores(run.root / TABLE)
    return sorted(names, key=lambda name: (scores[name], name))


def correct(experiment: Experiment, base: Run, photos: Path, names: Sequence[str], name: str) -> Run:
    """Continue a copy of a run with the true masks of some photos as corrections, and return it."""
    assert experiment.train_masks
    folder, masks = experiment.runs / name, experiment.runs / f"{name}-masks"
    if not folder.exists():
        shutil.copytree(base.root, folder)
    shutil.rmtree(masks, ignore_errors=True)
    for one in names:
        target = mask_path(masks, one)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(mask_path(experiment.train_masks, one), target)
    return experiment.fit(name, {}, photos=photos, start_from=masks)


def describe_run(
    experiment: Experiment, run: Run, base_ious: dict[str, float], corrected: Sequence[str]
) -> dict[str, Any]:
    """Return the figures of a run.

    Returns:
        ``corrected``: number of corrected masks. ``mask_iou``: of all training masks. ``gain_of_corrected``: by how
        much the corrected masks alone raise that of the run without corrections. ``mean_iou``: of the network on val.
    """
    number = experiment.rounds_of(run)
    return {
        "corrected": len(corrected),
        "rounds": number,
        "mask_iou": mask_iou(run, number, "enhanced"),
        "gain_of_corrected": sum(1 - base_ious[name] for name in corrected) / len(base_ious),
        "mean_iou": read_network_metrics(run, number)["mean_iou"],
    }


def write(experiment: Experiment, runs: dict[str, list[dict[str, Any]]], photos: int, options: str) -> None:
    """Write the table, the plot and all values."""
    start = runs[ORDERS[0]][0]
    rows = [[0, "", start["mask_iou"], 0.0, 0.0, start["mean_iou"]]]
    for at in range(1, len(runs[ORDERS[0]])):
        for order in ORDERS:
            one = runs[order][at]
            gain = one["mask_iou"] - start["mask_iou"]
            own = one["gain_of_corrected"]
            rows.append([one["corrected"], order, one["mask_iou"], own, gain - own, one["mean_iou"]])
    draw(runs, experiment.path("png"))
    experiment.write_results(
        f"Corrected masks: the doubtful ones first, or random ones ({photos} photos)",
        ["corrected", "order", "IoU of all masks", "gain by the corrected", "gain of the others", "mIoU on val"],
        rows,
        [
            "The gain is that of the mean IoU of all training masks over the run without corrections: by the corrected "
            "masks themselves, and by what the networks learned from them. One seed, one random order.",
            f"![masks and network by number of corrected masks]({experiment.path('png').name})",
            f"Further arguments: `{options}`.",
        ],
        {"runs": runs, "photos": photos},
    )


def draw(runs: dict[str, list[dict[str, Any]]], out: Path) -> None:
    """Plot masks and network by the number of corrected masks."""
    pyplot = load_pyplot()
    figure, both = pyplot.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
    for axes, key, label in zip(both, ("mask_iou", "mean_iou"), ("IoU of all masks", "mIoU on val"), strict=True):
        for (order, values), marker in zip(runs.items(), "os", strict=True):
            axes.plot([one["corrected"] for one in values], [one[key] for one in values], marker=marker, label=order)
        axes.set(xlabel="corrected masks", ylabel=label)
        axes.grid(alpha=0.3)
        axes.legend()
    save_plot(figure, out)


if __name__ == "__main__":
    run_safely(main, sys.argv[1:])
