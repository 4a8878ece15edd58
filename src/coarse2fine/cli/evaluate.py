"""``coarse2fine evaluate``: a network or masks against true masks."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from coarse2fine.cli.parser import parse_settings
from coarse2fine.runtime.device import Device, count_cores

if TYPE_CHECKING:
    from coarse2fine.evaluation.result import EvaluationResult
    from coarse2fine.inference.segmenter import Segmenter
    from coarse2fine.runtime.console import Console


def run(arguments: Sequence[str]) -> None:
    """Parse, compare, tell."""
    parse_settings(evaluate, arguments, "evaluate")


def evaluate(
    what: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|MODEL.onnx|MASKS")],
    truth: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="TRUTH")],
    photos: Path | None = None,
    classes: Path | None = None,
    crf: Annotated[bool | None, tyro.conf.arg(metavar="True|False")] = None,
    out: Path | None = None,
    device: Device = "auto",
    threads: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    quiet: bool = False,
) -> None:
    """Compare a run's network, or a folder of masks, with true masks: IoU per class, mIoU, pixel accuracy.

    One confusion matrix over all photos, as PASCAL VOC does it; pixels of value 255 in the truth do not count.

    TRUTH may be a public data set (docs/datasets.md): VOCdevkit/VOC2012 (its val) or one of its lists, DAVIS or one of
    its lists, a folder such as Airplane100 of MIT Object Discovery. Classes are matched by name with those of VOC.
    Where the true masks know only foreground, every class found counts as foreground.

    Like this:
      coarse2fine evaluate runs/pets val                   (val/images and val/masks)
      coarse2fine evaluate runs/pets true_masks --photos photos
      coarse2fine evaluate predicted_masks true_masks --classes classes.txt
      coarse2fine evaluate pets.onnx val
      coarse2fine evaluate runs/voc VOCdevkit/VOC2012
      coarse2fine evaluate runs/voc VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt
      coarse2fine evaluate masks ObjectDiscovery-data/Data/Airplane100

    Args:
        what: A run folder of fit, a network from coarse2fine export, or a folder of predicted masks (PNG, pixel =
            class index).
        truth: A folder of true masks of the same names, or one with images and masks in it, or a public data set.
        photos: The photos of the true masks, where truth has no folder images.
        classes: For a folder of masks: class names in the order of their index, one per line, or a classes.json.
        crf: For a network: draw its masks to the photos' edges with a fully connected CRF; default: as the run was set.
        out: Where metrics.json goes; default: into the folder evaluation of the run, MODEL-evaluation
            beside an exported network, or the folder of masks.
        device: For a network: where it is computed; auto: on the CUDA GPU if there is one.
        threads: For a network: threads of the processor; default: all cores.
        quiet: Print only warnings and errors.
    """
    from coarse2fine.errors import ConfigError
    from coarse2fine.inference.load import is_model, load_model
    from coarse2fine.runtime.console import Console
    from coarse2fine.runtime.files import write_json

    console, threads = Console(quiet), threads or count_cores()
    network = load_model(what, device, threads).drawn(crf) if is_model(what) else None
    if crf and not network:
        raise ConfigError(f"A CRF needs a network's scores, but {what} is a folder of masks; leave out --crf.")
    result, remark = _compare(what, network, truth, photos, classes, threads, console)
    target = out or _choose_place(what)
    path = target if target.suffix == ".json" else target / "metrics.json"
    write_json(path, result.as_dict())
    console.show(result.as_table())
    if remark:
        console.say(remark)
    console.say(f"written: {path}", style="green")


def _choose_place(what: Path) -> Path:
    from coarse2fine.inference.load import is_run

    if is_run(what):
        return what / "evaluation"
    return what.with_name(f"{what.stem}-evaluation") if what.is_file() else what


def _compare(
    what: Path,
    network: "Segmenter | None",
    truth: Path,
    photos: Path | None,
    classes: Path | None,
    threads: int,
    console: "Console",
) -> "tuple[EvaluationResult, str | None]":
    """The figures, and what their reader should know."""
    from coarse2fine.data.public_sets import open_pairs
    from coarse2fine.errors import ConfigError
    from coarse2fine.evaluation.class_names import find_class_names, read_class_names
    from coarse2fine.evaluation.evaluate import (
        evaluate_mask_pairs,
        evaluate_masks,
        evaluate_network_pairs,
    )
    from coarse2fine.evaluation.ground_truth_reader import describe_limits
    from coarse2fine.evaluation.pairing import pair_folders

    true_masks = truth / "masks" if (truth / "masks").is_dir() else truth
    public = open_pairs(truth)
    if public and photos:
        raise ConfigError(f"{public.title} brings its own photos; leave --photos out.")
    if network:
        names = network.classes
        pairs = public or pair_folders(photos or truth / "images", true_masks)
        result = evaluate_network_pairs(
            network, pairs, threads, lambda items, total: console.track(items, total, "evaluating")
        )
    elif public:
        names = find_class_names(classes, what) or public.classes or ()
        result = evaluate_mask_pairs(what, public, names, threads)
    else:
        result = evaluate_masks(what, true_masks, read_class_names(classes, what, true_masks), threads)
    return result, describe_limits(public, names) if public else None
