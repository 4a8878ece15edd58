"""``coarse2fine evaluate``: measure a network or masks with ground truth."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from coarse2fine.cli.parser import Json, Quiet, parse_and_call
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
    ground_truth_classes: Path | None = None,
    crf: bool | None = None,
    out: Path | None = None,
    device: Device = "auto",
    threads: int | None = None,
    quiet: Quiet = False,
    json: Json = False,
) -> dict[str, Any]:
    """Measure a network or a folder of masks with ground truth: IoU per class, mean IoU, pixel accuracy.

    As in PASCAL VOC, one confusion matrix is summed over all photos, without pixels of value 255 in the ground truth.

    GROUND_TRUTH may be a public data set (docs/datasets.md): VOCdevkit/VOC2012 (its val) or one of its lists, DAVIS or
    one of its lists, or a folder such as Airplane100 of MIT Object Discovery. Classes are matched by name with those of
    VOC, of --ground-truth-classes, or of a classes.json in or beside the folder of masks; without names, by index. If
    the ground truth has only foreground and background, all predicted classes count as foreground.

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
        ground_truth_classes: File of the class names of the ground-truth masks in the order of their index, background
            first, one per line, or a classes.json.
        crf: For a network: align the masks with image edges by a fully connected CRF; default: the setting of the run.
        out: Folder or .json file for the figures; default: the folder evaluation in the run, MODEL-evaluation beside an
            exported network, or the folder of masks; in a folder the file is metrics.json.
        device: For a network: where it is computed; auto: on the CUDA GPU if there is one.
        threads: For a network: CPU threads; default: one per core.
        quiet: Print only warnings and errors.
        json: Print the result as one JSON object; all other output goes to standard error.
    """
    from coarse2fine.data.public_datasets import open_public_dataset
    from coarse2fine.errors import ConfigError
    from coarse2fine.evaluation.class_names import find_class_names, find_ground_truth_classes, read_class_names
    from coarse2fine.evaluation.evaluate import evaluate_mask_pairs, evaluate_masks
    from coarse2fine.evaluation.ground_truth_reader import describe_limits
    from coarse2fine.evaluation.pairing import pair_folders
    from coarse2fine.inference.load import is_model, load_model
    from coarse2fine.runtime.console import Console
    from coarse2fine.runtime.files import write_json

    console, threads, public = Console(quiet), threads or count_cores(), open_public_dataset(ground_truth)
    if public and photos:
        raise ConfigError(f"{public.title} has its own photos; leave out --photos.")
    if public and ground_truth_classes:
        raise ConfigError(f"{public.title} has its own class names; leave out --ground-truth-classes.")
    masks, pairs = _find_masks(ground_truth), public
    if is_model(source):
        pairs = public or pair_folders(photos or ground_truth / "images", masks, ground_truth_classes)
        network = load_model(source, device, threads).with_crf(crf)
        result, names = _measure_network(network, pairs, console, threads), network.classes
    elif crf:
        raise ConfigError(f"--crf needs a network, but {source} is a folder of masks; leave out --crf.")
    else:
        known = public.classes if public else find_ground_truth_classes(ground_truth_classes, masks)
        names = find_class_names(classes, source) or known or ()
        pairs = public or (_name_masks(masks, known) if known and known != names else None)
        if pairs:
            result = evaluate_mask_pairs(source, pairs, names, threads)
        else:
            result = evaluate_masks(source, masks, names or read_class_names(None, source, masks), threads)
    target = out or _choose_place(source)
    path = target if target.suffix == ".json" else target / "metrics.json"
    console.show(result.as_table())
    remark = describe_limits(pairs, names) if pairs else None
    if remark:
        console.say(remark)
    write_json(path, result.as_dict())  # the table is shown even if this folder is not writable
    console.say(f"written: {path}", style="green")
    return result.as_dict() | {"file": str(path)}


def _choose_place(source: Path) -> Path:
    from coarse2fine.inference.load import is_run

    if is_run(source):
        return source / "evaluation"
    return source.with_name(f"{source.stem}-evaluation") if source.is_file() else source


def _measure_network(network: "Segmenter", pairs: "Pairs", console: "Console", threads: int) -> "EvaluationResult":
    from coarse2fine.evaluation.evaluate import evaluate_network_pairs

    return evaluate_network_pairs(
        network, pairs, threads, lambda items, total: console.track(items, total, "evaluating")
    )


def _name_masks(masks: Path, classes: tuple[str, ...]) -> "Pairs":
    """Return the ground-truth masks of a folder with their class names; without photos, masks are in their place."""
    from coarse2fine.data.mask_files import list_masks
    from coarse2fine.data.photo_mask_pairs import Pairs

    listed = list_masks(masks)
    return Pairs(str(masks), tuple(listed), tuple(listed.values()), tuple(listed.values()), classes)


def _find_masks(ground_truth: Path) -> Path:
    inner = ground_truth / "masks"
    return inner if inner.is_dir() else ground_truth
