"""The command line: one file per verb; each parses, calls and prints."""

import sys
from collections.abc import Sequence
from importlib import import_module

from coarse2fine.cli.exit_status import run_safely

VERBS = {
    "demo": "draw a small data set and run the whole pipeline on it",
    "fit": "photos with one class label each -> masks and a network",
    "report": "a run -> one page to look at: masks, quality, figures",
    "app": "a run -> a local page: check its masks, doubtful first; try the network",
    "predict": "a network and photos -> masks with all classes",
    "evaluate": "a network or masks, and true masks -> IoU",
    "export": "masks -> COCO, YOLO, Label Studio, ...; a network -> ONNX, torch.export",
    "serve": "a network -> an HTTP service: a photo in, its mask out",
    "coarse": "stage 1 alone: photos -> foreground masks, without labels",
    "teacher": "videos -> soft masks of what moves in them, and the best of these",
    "student": "a teacher's soft masks -> a small network for stage 1",
    "enhance": "stage 2 alone: photos and rough masks -> sharp masks",
    "imagenet-subset": "ImageNet -> photos with one label each, of the classes of VOC",
    "voc-labels": "PASCAL VOC -> photos with one label each",
    "voc-submission": "a network or masks -> the archive for the evaluation server of VOC",
}

USAGE = "\n".join(
    [
        "usage: coarse2fine VERB ...",
        "",
        "Pixel masks and a segmentation network from photos with one class label each.",
        "",
        *(f"  {verb:<17}{what}" for verb, what in VERBS.items()),
        "",
        "coarse2fine VERB --help tells all about a verb; coarse2fine --version which one this is.",
        "Start with: coarse2fine demo",
    ]
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one verb; exits with 0, or with 2 and one sentence where the input cannot work."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help", "help"):
        print(USAGE)  # noqa: T201
        sys.exit(0 if given else 2)
    if given[0] in ("-V", "--version"):
        from importlib.metadata import version

        print(version("coarse2fine"))  # noqa: T201
        sys.exit(0)
    verb = given[0]
    if verb not in VERBS:
        from difflib import get_close_matches

        near = get_close_matches(verb, VERBS, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else f" The verbs are: {', '.join(VERBS)}."
        print(f"coarse2fine: there is no verb '{verb}'.{hint}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    run_safely(import_module(f"coarse2fine.cli.{verb.replace('-', '_')}").run, given[1:])
