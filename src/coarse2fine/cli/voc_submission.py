"""``coarse2fine voc-submission``: the archive for the evaluation server of PASCAL VOC."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from coarse2fine.cli.parser import Json, Quiet, parse_and_call
from coarse2fine.runtime.device import Device, count_cores


def run(arguments: Sequence[str]) -> None:
    """Parse the options and write the archive."""
    parse_and_call(voc_submission, arguments, "voc-submission")


def voc_submission(
    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|MODEL.onnx|MASKS")],
    voc: Annotated[Path, tyro.conf.arg(metavar="DIR")],
    out: Annotated[Path, tyro.conf.arg(metavar="FILE.tgz")],
    classes: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    crf: bool | None = None,
    device: Device = "auto",
    threads: int | None = None,
    quiet: Quiet = False,
    json: Json = False,
) -> dict[str, Any]:
    """Write the archive for the evaluation server of PASCAL VOC 2012: a mask for each photo of the test list.

    The archive holds results/VOC2012/Segmentation/comp6_test_cls/ID.png, with VOC's class indices. Classes are matched
    by name, in VOC's spelling or a common one (airplane, dining table, tv).

    For example:
      coarse2fine voc-submission runs/voc --voc VOCdevkit/VOC2012 --out results.tgz
      coarse2fine voc-submission predicted/masks --voc VOCdevkit/VOC2012 --out results.tgz

    Args:
        source: Run folder of fit, network written by coarse2fine export, or folder of masks ID.png (pixel = class
            index).
        voc: Folder VOC2012 of VOCdevkit, with photos and list of the test set.
        out: Archive to upload.
        classes: For a folder of masks: file of class names in the order of their index, one per line, or a
            classes.json; default: the classes.json in or beside the folder; without one, the indices are VOC's.
        crf: For a network: align the masks with image edges by a fully connected CRF; default: the setting of the run.
        device: For a network: where it is computed; auto: on the CUDA GPU if there is one.
        threads: For a network: CPU threads; default: one per core.
        quiet: Print only warnings and errors.
        json: Print the result as one JSON object; all other output goes to standard error.
    """
    from coarse2fine.data.voc import require_voc
    from coarse2fine.errors import ConfigError
    from coarse2fine.evaluation.class_names import find_class_names
    from coarse2fine.evaluation.voc_submission import write_mask_submission, write_network_submission
    from coarse2fine.inference.load import is_model, load_model
    from coarse2fine.runtime.console import Console

    console, threads, folder = Console(quiet), threads or count_cores(), require_voc(voc)
    if is_model(source):
        network = load_model(source, device, threads).with_crf(crf)
        count = write_network_submission(
            network, folder, out, threads, lambda items, total: console.track(items, total, "predicting")
        )
    elif crf:
        raise ConfigError(f"--crf needs a network, but {source} is a folder of masks; leave out --crf.")
    else:
        count = write_mask_submission(source, find_class_names(classes, source), folder, out, threads)
    console.say(f"{count} masks: {out}", style="green")
    console.say("upload it after registration: http://host.robots.ox.ac.uk:8080 (VOC2012, comp6)", style="green")
    return {"archive": str(out), "masks": count}
