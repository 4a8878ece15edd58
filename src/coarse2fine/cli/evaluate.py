"""``coarse2fine evaluate``: measure a network or masks with ground truth."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from coarse2fine.cli.parser import Quiet, parse_and_call
from coarse2fine.runtime.device import Device, count_cores

if TYPE_CHECKING:
    from coarse2fine.data.photo_mask_pairs import Pairs
    from coarse2fine.evaluation.result import EvaluationResult
    from coarse2fine.inference.segmenter import Segmenter
    from coarse2fine.runtime.console import Console


def run(arguments: Sequence[str]) -> None:
    """Parse the options, measure and print."""
    parse_and_call(evaluate, arguments, "evaluate")


def evaluate(
    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|MODEL.onnx|MASKS")],
    ground_truth: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="GROUND_TRUTH")],
    photos: Path | None = None,
    classes: Path | None = None,
    crf: bool | None = None,
    out: Path | None = None,
    device: Device = "auto",
    threads: int | None = None,
    quiet: Quiet = False,
) -> None:
    """Measure a network or a folder of masks with ground truth: IoU per class, mean IoU, pixel accuracy.

    As in PASCAL VOC, one confusion matrix is summed over all photos, without pixels of value 255 in the ground truth.

    GROUND_TRUTH may be a public data set (docs/datasets.md): VOCdevkit/VOC2012 (its val) or one of its lists, DAVIS or
    one of its lists, or a folder such as Airplane100 of MIT Object Discovery. Classes are matched by name with those of
    VOC. If the ground truth has only foreground and background, all predicted classes count as foreground.

    For example:
      coarse2fine evaluate runs/pets val                   (val/images and val/masks)
      coarse2fine evaluate runs/pets ground_truth --photos photos
      coarse2fine evaluate predicted_masks ground_truth --classes classes.txt
      coarse2fine evaluate pets.onnx val
      coarse2fine evaluate runs/voc VOCdevkit/VOC2012
      coarse2fine evaluate runs/voc VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt
      coarse2fine evaluate masks ObjectDiscovery-data/Data/Airplane100

    Args:
        source: Run folder of fit, network written by coarse2fine export, or folder of predicted masks (PNG, pixel =
            class index).
        ground_truth: Folder of masks of the same names, or a folder with images and masks in it, or a public data set.
        photos: Folder of the photos, if GROUND_TRUTH has no folder images.
        classes: For a folder of masks: file of class names in the order of their index, one per line, or a
            classes.json.
        crf: For a network: align the masks with image edges by a fully connected CRF; default: the setting of the run.
        out: Folder or .json file for the figures; default: the folder evaluation in the run, MODEL-evaluation beside an
            exported network, or the folder of masks; in a folder the file is metrics.json.
        device: For a network: where it is computed; auto: on the CUDA GPU if there is one.
        threads: For a network: CPU threads; default: one per core.
        quiet: Print only warnings and errors.
    """
    from coarse2fine.data.public_datasets import open_public_dataset
    from coarse2fine.errors import ConfigError
    from coarse2fine.evaluation.ground_truth_reader import describe_limits
    from coarse2fine.inference.load import is_model, load_model
    from coarse2fine.runtime.console import Console
    from coarse2fine.runtime.files import write_json

    console, threads, public = Console(quiet), threads or count_cores(), open_public_dataset(ground_truth)
    if public and photos:
        raise ConfigError(f"{public.title} has its own photos; leave out --photos.")
    if is_model(source):
        network = load_model(source, device, threads).with_crf(crf)
        result, names = _measure_network(network, ground_truth, public, photos, console, threads)
    elif crf:
        raise ConfigError(f"--crf needs a network, but {source} is a folder of masks; leave out --crf.")
    else:
        result, names = _measure_masks(source, ground_truth, public, classes, threads)
    target = out or _choose_place(source)
    path = target if target.suffix == ".json" else target / "metrics.json"
    console.show(result.as_table())
    remark = describe_limits(public, names) if public else None
    if remark:
        console.say(remark)
    write_json(path, result.as_dict())  # the table is shown even if this folder is not writable
    console.say(f"written: {path}", style="green")


def _choose_place(source: Path) -> Path:
    from coarse2fine.inference.load import is_run

    if is_run(source):
        return source / "evaluation"
    return source.with_name(f"{source.stem}-evaluation") if source.is_file() else source


def _measure_network(
    network: "Segmenter",
    ground_truth: Path,
    public: "Pairs | None",
    photos: Path | None,
    console: "Console",
    threads: int,
) -> "tuple[EvaluationResult, tuple[str, ...]]":
    from coarse2fine.evaluation.evaluate import evaluate_network_pairs
    from coarse2fine.evaluation.pairing import pair_folders

    pairs = public or pair_folders(photos or ground_truth / "images", _find_masks(ground_truth))
    result = evaluate_network_pairs(
        network, pairs, threads, lambda items, total: console.track(items, total, "evaluating")
    )
    return result, network.classes


def _measure_masks(
    masks: Path, ground_truth: Path, public: "Pairs | None", classes: Path | None, threads: int
) -> "tuple[EvaluationResult, tuple[str, ...]]":
    from coarse2fine.evaluation.class_names import find_class_names, read_class_names
    from coarse2fine.evaluation.evaluate import evaluate_mask_pairs, evaluate_masks

    if public:
        names = find_class_names(classes, masks) or public.classes or ()
        return evaluate_mask_pairs(masks, public, names, threads), names
    names = read_class_names(classes, masks, _find_masks(ground_truth))
    return evaluate_masks(masks, _find_masks(ground_truth), names, threads), names


def _find_masks(ground_truth: Path) -> Path:
    inner = ground_truth / "masks"
    return inner if inner.is_dir() else ground_truth
