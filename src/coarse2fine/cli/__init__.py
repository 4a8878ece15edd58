"""The command line: one file per command; each parses, calls the library and prints.

parser.py makes the flags and their help from functions and settings classes, exit_status.py turns errors into one
sentence and an exit status, completion.py makes the completion of shells. The other files are the commands: app.py,
coarse.py, demo.py, doctor.py, enhance.py, evaluate.py, export.py, fit.py, imagenet_subset.py, info.py, predict.py,
push.py, report.py, serve.py, student.py, teacher.py, voc_labels.py, voc_submission.py.
"""

import sys
from collections.abc import Sequence
from importlib import import_module

from coarse2fine.cli.exit_status import run_safely
from coarse2fine.runtime.standard_output import safe_output

COMMANDS = {
    "demo": "draw a small data set and run the whole pipeline on it",
    "fit": "photos with one class label each -> masks and a network",
    "report": "a run -> one HTML page with masks, quality scores and figures",
    "app": "a run -> a local web page to review masks and try the network",
    "predict": "a network and photos -> masks of all classes",
    "evaluate": "a network or masks, and ground truth -> IoU",
    "export": "masks -> COCO, YOLO, Label Studio, ...; a network -> ONNX, torch.export",
    "push": "a network -> the Hugging Face Hub, with a model card",
    "serve": "a network -> an HTTP service: a photo in, its mask out",
    "info": "a run or an exported network -> its classes, sizes, figures and versions",
    "doctor": "this machine -> devices, versions, and what is missing for which command",
    "coarse": "stage 1 alone: photos -> foreground masks, without labels",
    "enhance": "stage 2 alone: photos and rough masks -> masks along image edges",
    "teacher": "videos -> soft masks of moving objects, without labels",
    "student": "soft masks of the teacher -> a small network for stage 1",
    "imagenet-subset": "ImageNet -> photos with one label each, of the classes of VOC",
    "voc-labels": "PASCAL VOC -> photos with one label each",
    "voc-submission": "a network or masks -> the archive for the VOC evaluation server",
}

USAGE = "\n".join(
    [
        "usage: coarse2fine COMMAND ...",
        "",
        "Train pixel masks and a segmentation network from photos with one class label each.",
        "",
        *(f"  {command:<17}{summary}" for command, summary in COMMANDS.items()),
        "",
        "coarse2fine COMMAND --help shows the options of a command, coarse2fine --version the version.",
        "coarse2fine --print-completion bash prints a script by which bash completes them; also zsh.",
        "Start with: coarse2fine demo",
    ]
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command.

    Args:
        arguments: Words of the command line; default: those of the process.

    Raises:
        SystemExit: With 0 after help, with 2 and one sentence if the input is wrong.
    """
    with safe_output():
        _run(list(sys.argv[1:] if arguments is None else arguments))


def _run(given: list[str]) -> None:
    if not given or given[0] in ("-h", "--help", "help"):
        print(USAGE)  # noqa: T201
        sys.exit(0 if given else 2)
    if given[0] in ("-V", "--version"):
        from importlib.metadata import version

        print(version("coarse2fine"))  # noqa: T201
        sys.exit(0)
    if given[0] == "--print-completion":
        from coarse2fine.cli.completion import print_completion

        run_safely(lambda words: print_completion(words, [*COMMANDS]), given[1:])
    command = given[0]
    if command not in COMMANDS:
        from difflib import get_close_matches  # tyro would have to import all commands

        near = get_close_matches(command, COMMANDS, n=1)
        hint = f"Did you mean '{near[0]}'?" if near else f"The commands are: {', '.join(COMMANDS)}."
        print(f"coarse2fine: there is no command '{command}'. {hint}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    run_safely(import_module(f"coarse2fine.cli.{command.replace('-', '_')}").run, given[1:])
