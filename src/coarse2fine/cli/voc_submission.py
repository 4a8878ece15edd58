"""``coarse2fine voc-submission``: the archive for the evaluation server of PASCAL VOC."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from coarse2fine.cli.parser import parse_settings


def run(arguments: Sequence[str]) -> None:
    """Parse, predict, pack, tell."""
    parse_settings(voc_submission, arguments, "voc-submission")


def voc_submission(
    what: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|MODEL.onnx|MASKS")],
    voc: Annotated[Path, tyro.conf.arg(metavar="DIR")],
    out: Annotated[Path, tyro.conf.arg(metavar="FILE.tgz")],
    classes: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    crf: Annotated[bool | None, tyro.conf.arg(metavar="True|False")] = None,
    quiet: bool = False,
) -> None:
    """Write the archive that the evaluation server of PASCAL VOC 2012 takes: a mask for every photo of the test list.

    In it: results/VOC2012/Segmentation/comp6_test_cls/ID.png, with VOC's class indices. Classes are matched by name, in
    VOC's spelling or a usual one (airplane, dining table, tv).

    Like this:
      coarse2fine voc-submission runs/voc --voc VOCdevkit/VOC2012 --out results.tgz
      coarse2fine voc-submission predicted/masks --voc VOCdevkit/VOC2012 --out results.tgz

    Args:
        what: A run folder of fit, a network from coarse2fine export, or a folder of masks ID.png (pixel = class index).
        voc: The folder VOC2012 of VOCdevkit, with the photos and the list of test.
        out: The archive to upload.
        classes: For a folder of masks: class names by index, one per line, or a classes.json; default: the classes.json
            in or beside the folder, else the indices are VOC's.
        crf: For a network: draw its masks to the photos' edges with a fully connected CRF; default: as the run was set.
        quiet: Print only warnings and errors.
    """
    from coarse2fine.data.voc import need_voc
    from coarse2fine.errors import ConfigError
    from coarse2fine.evaluation.class_names import find_class_names
    from coarse2fine.evaluation.voc_submission import write_mask_submission, write_network_submission
    from coarse2fine.inference.load import is_model, load_model
    from coarse2fine.runtime.console import Console
    from coarse2fine.runtime.device import count_cores

    console, threads, folder = Console(quiet), count_cores(), need_voc(voc)
    if is_model(what):
        network = load_model(what).drawn(crf)
        count = write_network_submission(
            network, folder, out, threads, lambda items, total: console.track(items, total, "predicting")
        )
    elif crf:
        raise ConfigError(f"A CRF needs a network's scores, but {what} is a folder of masks; leave out --crf.")
    else:
        count = write_mask_submission(what, find_class_names(classes, what), folder, out, threads)
    console.say(f"{count} masks: {out}", style="green")
    console.say("upload it, after registration: http://host.robots.ox.ac.uk:8080 (VOC2012, comp6)", style="green")
